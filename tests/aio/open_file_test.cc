// Goal: FileOpener asks the dentry cache on the loop and a worker for the rest, fails closed, leaks
// no descriptor and lets no path out of the root. Method: the real loop and pool; openat2(2) and
// fstat(2) answered by a mock where errnos matter, by Linux where paths do.
#include "core/aio/open_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/openat2.h>

#include <filesystem>
#include <fstream>
#include <unordered_set>
#include <vector>

#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/mock_transfer.h"
#include "tests/aio/world.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::Field;
using ::testing::InSequence;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::StrEq;

constexpr uint64_t kResolveAlways = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
constexpr int kRoot = 70;
constexpr int kOpened = 1071;  // a number that no real descriptor of the test has

class OpenFileTest : public ::testing::Test {
 protected:
  static MockKernel& Prepared(MockKernel& mock, Kernel& kernel) {
    mock.DelegateTo(kernel);
    EXPECT_CALL(mock, close).Times(::testing::AnyNumber());  // of the loop's descriptors
    return mock;
  }

  // Opens and turns the loop until the answer is there.
  Result<std::shared_ptr<OpenFile>> Open(FileOpener& opener, const std::string& path) {
    std::optional<Result<std::shared_ptr<OpenFile>>> answer;
    int calls = 0;
    opener.Open(path, [&](auto file) {
      answer = std::move(file);
      ++calls;
    });
    at_once_ = calls == 1;
    EXPECT_TRUE(world_.RunUntil([&] { return calls > 0 && world_.workers().queued() == 0; }));
    EXPECT_EQ(calls, 1);
    if (!answer) return Err(ENOTRECOVERABLE, "no answer");
    return *answer;
  }
  Result<std::shared_ptr<OpenFile>> Open(const std::string& path) { return Open(opener_, path); }

  auto& OnLoop() {
    return EXPECT_CALL(
        kernel_,
        openat2(kRoot, StrEq("a/b"), Field(&open_how::resolve, kResolveAlways | RESOLVE_CACHED)));
  }
  auto& OnWorker() {
    return EXPECT_CALL(kernel_,
                       openat2(kRoot, StrEq("a/b"), Field(&open_how::resolve, kResolveAlways)));
  }
  void ExpectFstatAndClose() {
    EXPECT_CALL(kernel_, fstat(kOpened, _)).WillOnce([](int, struct stat* out) {
      *out = {};
      out->st_mode = S_IFREG | 0644;
      out->st_dev = 1;
      out->st_ino = 2;
      out->st_size = 3;
      out->st_mtim = {4, 5};
      out->st_ctim = {6, 7};
      return Status();
    });
    EXPECT_CALL(kernel_, close(kOpened)).WillOnce(Return(Status()));
  }

  LinuxKernel linux_;
  NiceMock<MockKernel> kernel_;
  AioWorld world_{Prepared(kernel_, linux_), CoordinationKind::kEventfd};
  FileOpener opener_{kernel_, world_.workers(), kRoot};
  bool at_once_ = false;  // the last answer came before Open returned
};

TEST_F(OpenFileTest, CachedPathIsOpenedOnTheLoopAtOnce) {
  OnLoop().WillOnce(Return(kOpened));
  ExpectFstatAndClose();
  const auto file = Open("a/b");
  ASSERT_TRUE(file);
  EXPECT_TRUE(at_once_);
  EXPECT_EQ((*file)->fd.get(), kOpened);
  EXPECT_EQ((*file)->mode, static_cast<mode_t>(S_IFREG | 0644));
  EXPECT_EQ((*file)->key, (FileKey{1, 2, 3, 4'000'000'005, 6'000'000'007}));
  EXPECT_EQ((*file)->mtime_s, 4);
  EXPECT_EQ((*file)->size(), 3u);
}

TEST_F(OpenFileTest, NeverWaitsForAPartnerNorInheritsNorTakesATerminal) {
  EXPECT_CALL(kernel_, openat2).WillOnce([](int, const char*, const open_how& how) {
    EXPECT_EQ(how.flags, uint64_t{O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC});
    EXPECT_EQ(how.mode, 0u);
    return Result<int>(Err(ENOENT, "openat2"));
  });
  EXPECT_THAT(Open("a/b"), FailsWith(ENOENT, "openat2"));
}

// EAGAIN: not in the dentry cache. EINVAL: a kernel that does not know RESOLVE_CACHED.
class OpenOnWorkerTest : public OpenFileTest, public ::testing::WithParamInterface<int> {};

TEST_P(OpenOnWorkerTest, IsTheSecondWay) {
  InSequence s;
  OnLoop().WillOnce(Return(Err(GetParam(), "openat2")));
  OnWorker().WillOnce(Return(kOpened));
  ExpectFstatAndClose();
  EXPECT_TRUE(Open("a/b"));
  EXPECT_FALSE(at_once_);
}
INSTANTIATE_TEST_SUITE_P(Openat2, OpenOnWorkerTest, ::testing::Values(EAGAIN, EINVAL),
                         ErrnoNamer());

class OpenErrnoTest : public OpenFileTest, public ::testing::WithParamInterface<int> {};

TEST_P(OpenErrnoTest, OfTheLoopIsTheAnswer) {
  OnLoop().WillOnce(Return(Err(GetParam(), "openat2")));
  EXPECT_CALL(kernel_, thread_create).Times(0);
  EXPECT_THAT(Open("a/b"), FailsWith(GetParam(), "openat2"));
  EXPECT_TRUE(at_once_);
}

TEST_P(OpenErrnoTest, OfTheWorkerIsTheAnswer) {
  InSequence s;
  OnLoop().WillOnce(Return(Err(EAGAIN, "openat2")));
  OnWorker().WillOnce(Return(Err(GetParam(), "openat2")));
  EXPECT_THAT(Open("a/b"), FailsWith(GetParam(), "openat2"));
}
INSTANTIATE_TEST_SUITE_P(OpenManPage, OpenErrnoTest,
                         ::testing::Values(ENOENT, EACCES, ELOOP, EXDEV, ENOTDIR, ENAMETOOLONG,
                                           EMFILE, ENFILE, ENOMEM, EIO, ENXIO, ENODEV, ENOSYS,
                                           EPERM, E2BIG, ETXTBSY, EOVERFLOW),
                         ErrnoNamer());

TEST_F(OpenFileTest, OldKernelThatMeansAnotherEinvalSaysSoOnTheWorker) {
  InSequence s;
  OnLoop().WillOnce(Return(Err(EINVAL, "openat2")));
  OnWorker().WillOnce(Return(Err(EINVAL, "openat2")));
  EXPECT_THAT(Open("a/b"), FailsWith(EINVAL, "openat2"));
}

TEST_F(OpenFileTest, InterruptedOpenIsMadeAgainWhereItWas) {
  InSequence s;
  OnLoop().WillOnce(Return(Err(EINTR, "openat2")));
  OnLoop().WillOnce(Return(Err(EAGAIN, "openat2")));
  OnWorker().WillOnce(Return(Err(EINTR, "openat2")));
  OnWorker().WillOnce(Return(kOpened));
  ExpectFstatAndClose();
  EXPECT_TRUE(Open("a/b"));
}

TEST_F(OpenFileTest, RenameRaceIsTriedAgain) {
  InSequence s;
  OnLoop().WillOnce(Return(Err(EAGAIN, "openat2")));
  OnWorker().Times(3).WillRepeatedly(Return(Err(EAGAIN, "openat2")));
  OnWorker().WillOnce(Return(kOpened));
  ExpectFstatAndClose();
  EXPECT_TRUE(Open("a/b"));
}

TEST_F(OpenFileTest, RenameRaceWithoutEndIsGivenUp) {
  OnLoop().WillOnce(Return(Err(EAGAIN, "openat2")));
  OnWorker().Times(17).WillRepeatedly(Return(Err(EAGAIN, "openat2")));
  EXPECT_THAT(Open("a/b"), FailsWith(EAGAIN, "openat2"));
}

class FstatErrnoTest : public OpenFileTest, public ::testing::WithParamInterface<int> {};

TEST_P(FstatErrnoTest, IsTheAnswerAndTheDescriptorIsClosed) {
  for (const bool cached : {true, false}) {
    InSequence s;
    if (!cached) OnLoop().WillOnce(Return(Err(EAGAIN, "openat2")));
    (cached ? OnLoop() : OnWorker()).WillOnce(Return(kOpened));
    EXPECT_CALL(kernel_, fstat(kOpened, _)).WillOnce(Return(Err(GetParam(), "fstat")));
    EXPECT_CALL(kernel_, close(kOpened)).WillOnce(Return(Status()));
    EXPECT_THAT(Open("a/b"), FailsWith(GetParam(), "fstat"));
  }
}
INSTANTIATE_TEST_SUITE_P(StatManPage, FstatErrnoTest,
                         ::testing::Values(EIO, ENOMEM, EOVERFLOW, ESTALE), ErrnoNamer());

TEST_F(OpenFileTest, DateBeyond2262IsAKeyLikeAnyOther) {
  OnLoop().WillOnce(Return(kOpened));
  EXPECT_CALL(kernel_, fstat(kOpened, _)).WillOnce([](int, struct stat* out) {
    *out = {};
    out->st_mtim = {99'999'999'999, 999'999'999};
    return Status();
  });
  EXPECT_CALL(kernel_, close(kOpened)).WillOnce(Return(Status()));
  const auto file = Open("a/b");
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->mtime_s, 99'999'999'999);
}

TEST(FileKeyTest, NeighboursHaveHashesOfTheirOwn) {
  std::unordered_set<size_t> hashes;
  const FileKeyHash hash;
  for (uint64_t i = 0; i < 1000; ++i) {
    hashes.insert(hash({1, i, 4096, 0}));
    hashes.insert(hash({1, 5000, 4096 + i * 4096, 0}));
    hashes.insert(hash({1, 6000, 4096, static_cast<int64_t>(i) * 1'000'000'000}));
  }
  EXPECT_GE(hashes.size(), 2990u);
}

// --- Real paths.

class OpenBeneathTest : public OpenFileTest {
 protected:
  OpenBeneathTest() {
    std::filesystem::create_directories(dir_.path() + "/root/sub");
    std::ofstream(dir_.path() + "/outside") << "secret";
    std::ofstream(dir_.path() + "/root/file") << "12345";
    std::ofstream(dir_.path() + "/root/sub/inner") << "123";
    root_ = Fd(linux_, ::open((dir_.path() + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  Result<std::shared_ptr<OpenFile>> OpenReal(const std::string& path) {
    FileOpener opener(kernel_, world_.workers(), root_.get());
    return Open(opener, path);
  }
  std::string Inside(const std::string& name) const { return dir_.path() + "/root/" + name; }

  TempDir dir_;
  Fd root_;
};

TEST_F(OpenBeneathTest, FilesAndDirectoriesInsideAreOpened) {
  const auto file = OpenReal("file");
  ASSERT_TRUE(file);
  EXPECT_TRUE(S_ISREG((*file)->mode));
  EXPECT_EQ((*file)->size(), 5u);
  EXPECT_TRUE(OpenReal("sub/inner"));
  EXPECT_TRUE(OpenReal("sub/../file"));
  const auto directory = OpenReal("sub");
  ASSERT_TRUE(directory);
  EXPECT_TRUE(S_ISDIR((*directory)->mode));
  const auto self = OpenReal(".");
  ASSERT_TRUE(self);
  EXPECT_TRUE(S_ISDIR((*self)->mode));
}

TEST_F(OpenBeneathTest, NoPathLeadsOutside) {
  std::filesystem::create_symlink("../outside", Inside("up"));
  std::filesystem::create_symlink("/etc/passwd", Inside("absolute"));
  std::filesystem::create_symlink("/proc/self/root", Inside("magic"));
  std::filesystem::create_symlink("..", Inside("sub/parent"));
  for (const char* path : {"../outside", "sub/../../outside", "up", "absolute", "magic/etc/passwd",
                           "sub/parent/../outside", "/etc/passwd", ".."}) {
    const auto file = OpenReal(path);
    ASSERT_FALSE(file) << path;
    EXPECT_EQ(file.error().code, EXDEV) << path;
  }
}

TEST_F(OpenBeneathTest, LinkThatStaysInsideIsFollowedAndALoopIsNot) {
  std::filesystem::create_symlink("sub/inner", Inside("link"));
  std::filesystem::create_symlink("loop", Inside("loop"));
  const auto file = OpenReal("link");
  ASSERT_TRUE(file);
  EXPECT_EQ((*file)->size(), 3u);
  EXPECT_THAT(OpenReal("loop"), FailsWith(ELOOP, "openat2"));
}

// --symlinks: which links each kind follows, and that none of them follows a magic one.
TEST_F(OpenBeneathTest, SymlinksSayWhichLinksAreFollowed) {
  std::filesystem::create_symlink("sub/inner", Inside("stays"));
  std::filesystem::create_symlink("sub", Inside("folder"));
  std::filesystem::create_symlink("../outside", Inside("leaves"));
  std::filesystem::create_symlink(Inside("file"), Inside("absolute"));
  std::filesystem::create_symlink("/proc/self/root/etc/passwd", Inside("magic"));
  struct Row {
    const char* path;
    int inside, follow, none;  // the errno; 0 for success
  };
  const std::vector<Row> rows = {{"file", 0, 0, 0},
                                 {"sub/inner", 0, 0, 0},
                                 {"stays", 0, 0, ELOOP},
                                 {"folder/inner", 0, 0, ELOOP},
                                 {"leaves", EXDEV, 0, ELOOP},
                                 {"absolute", EXDEV, 0, ELOOP},
                                 {"magic", EXDEV, ELOOP, ELOOP}};
  for (const Row& row : rows) {
    for (const auto& [symlinks, code] :
         {std::pair{Symlinks::kInside, row.inside}, std::pair{Symlinks::kFollow, row.follow},
          std::pair{Symlinks::kNone, row.none}}) {
      FileOpener opener(kernel_, world_.workers(), root_.get(), symlinks);
      const auto file = Open(opener, row.path);
      EXPECT_EQ(file ? 0 : file.error().code, code) << row.path << " " << ToString(symlinks);
    }
  }
}

TEST(SymlinksTest, EachWordNamesWhatPrintsAsIt) {
  for (const char* word : {"inside", "follow", "none"}) {
    ASSERT_TRUE(ParseSymlinks(word));
    EXPECT_STREQ(ToString(*ParseSymlinks(word)), word);
  }
  EXPECT_FALSE(ParseSymlinks("some"));
}

TEST_F(OpenBeneathTest, FifoWithoutAWriterDoesNotBlock) {
  ASSERT_EQ(::mkfifo(Inside("fifo").c_str(), 0644), 0);
  const auto fifo = OpenReal("fifo");
  ASSERT_TRUE(fifo);
  EXPECT_TRUE(S_ISFIFO((*fifo)->mode));
}

TEST_F(OpenBeneathTest, NameThatWasNeverLookedUpGoesToAWorker) {
  EXPECT_THAT(OpenReal("never-seen"), FailsWith(ENOENT, "openat2"));
  EXPECT_FALSE(at_once_);
  EXPECT_TRUE(OpenReal("file"));
  EXPECT_TRUE(OpenReal("file"));
  EXPECT_TRUE(at_once_);
}

TEST_F(OpenBeneathTest, EveryStateOfAFileHasAKeyOfItsOwn) {
  const auto first = OpenReal("file");
  ASSERT_TRUE(first);
  const auto again = OpenReal("file");
  ASSERT_TRUE(again);
  EXPECT_EQ((*first)->key, (*again)->key);

  std::ofstream(Inside("file")) << "123456";  // longer
  const auto longer = OpenReal("file");
  ASSERT_TRUE(longer);
  EXPECT_NE((*longer)->key, (*first)->key);

  const timespec before[2] = {{0, UTIME_OMIT}, {0, (*longer)->key.mtime_ns % 1'000'000'000}};
  timespec set_back[2] = {before[0], before[1]};
  set_back[1].tv_sec = (*longer)->key.mtime_ns / 1'000'000'000;
  std::ofstream(Inside("file")) << "abcdef";  // other bytes, and the time set back
  ASSERT_EQ(::utimensat(AT_FDCWD, Inside("file").c_str(), set_back, 0), 0);
  const auto hidden = OpenReal("file");
  ASSERT_TRUE(hidden);
  EXPECT_EQ((*hidden)->key.mtime_ns, (*longer)->key.mtime_ns);
  EXPECT_NE((*hidden)->key, (*longer)->key);

  const timespec times[2] = {{1, 0}, {1, 7}};  // the same bytes, written at another time
  ASSERT_EQ(::utimensat(AT_FDCWD, Inside("file").c_str(), times, 0), 0);
  const auto later = OpenReal("file");
  ASSERT_TRUE(later);
  EXPECT_NE((*later)->key, (*longer)->key);

  std::ofstream(Inside("new")) << "654321";  // another file of the same size and time
  ASSERT_EQ(::utimensat(AT_FDCWD, Inside("new").c_str(), times, 0), 0);
  std::filesystem::rename(Inside("new"), Inside("file"));
  const auto replaced = OpenReal("file");
  ASSERT_TRUE(replaced);
  EXPECT_EQ((*replaced)->size(), (*later)->size());
  EXPECT_EQ((*replaced)->key.mtime_ns, (*later)->key.mtime_ns);
  EXPECT_NE((*replaced)->key, (*later)->key);
}

}  // namespace
}  // namespace pollux
