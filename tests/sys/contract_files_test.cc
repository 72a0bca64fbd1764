// Contract: files, memory files, and what sendfile(2) leaves behind in a socket's queue.
//
// The reuse cases are the data path's reason for retiring chunks: a socket's queue holds references
// to pages, not copies, until the far end has consumed the bytes.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "tests/base/missing.h"
#include "tests/sys/kernel_world.h"

namespace pollux {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kRound = 64 * 1024;

class FileContractTest : public ContractTest {
 protected:
  Fd OpenFile(size_t size) {
    const std::string path = world_->MakeFile(size);
    return {kernel_, kernel_.openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0).value()};
  }
};

TEST_P(FileContractTest, PreadIsShortAtTheEndAndZeroBehindIt) {
  InWorld([&] {
    Fd file = OpenFile(100);
    char buffer[64];
    EXPECT_EQ(kernel_.pread(file.get(), buffer, 64, 80).value(), 20u);
    EXPECT_EQ(std::string(buffer, 20), FileBytes(80, 20));
    EXPECT_EQ(kernel_.pread(file.get(), buffer, 64, 100).value(), 0u);
  });
}

TEST_P(FileContractTest, StatSeesSizeAndTimeThroughTheDescriptor) {
  InWorld([&] {
    Fd file = OpenFile(12'345);
    struct stat info {};
    ASSERT_TRUE(kernel_.fstat(file.get(), &info));
    EXPECT_EQ(info.st_size, 12'345);
    EXPECT_TRUE(S_ISREG(info.st_mode));
    struct statx extended {};
    ASSERT_TRUE(kernel_.statx(file.get(), "", AT_EMPTY_PATH, STATX_SIZE | STATX_MTIME, &extended));
    EXPECT_EQ(extended.stx_size, 12'345u);
    EXPECT_NE(info.st_mtim.tv_sec, 0);
    EXPECT_EQ(extended.stx_mtime.tv_sec, info.st_mtim.tv_sec);
  });
}

TEST_P(FileContractTest, NowaitReadOfCachedPagesSucceeds) {
  InWorld([&] {
    Fd file = OpenFile(kPage);
    char buffer[kPage];
    ASSERT_EQ(kernel_.pread(file.get(), buffer, kPage, 0).value(), kPage);  // now cached
    iovec part{buffer, 100};
    EXPECT_EQ(kernel_.preadv2(file.get(), &part, 1, 50, RWF_NOWAIT).value(), 100u);
    EXPECT_EQ(std::string(buffer, 100), FileBytes(50, 100));
  });
}

TEST_P(FileContractTest, MissingFileIsEnoentAndClosedDescriptorEbadf) {
  InWorld([&] {
    const std::string path = world_->MakeFile(1);
    EXPECT_EQ(kernel_.openat(AT_FDCWD, (path + "x").c_str(), O_RDONLY, 0).error().code, ENOENT);
    const int fd = kernel_.openat(AT_FDCWD, path.c_str(), O_RDONLY, 0).value();
    ASSERT_TRUE(kernel_.close(fd));
    EXPECT_EQ(kernel_.close(fd).error().code, EBADF);
  });
}

TEST_P(FileContractTest, FileUsedAsAFolderIsEnotdir) {
  InWorld([&] {
    const std::string path = world_->MakeFile(1);
    for (const char* rest : {"/", "/x", "/x/y"}) {
      EXPECT_EQ(kernel_.openat(AT_FDCWD, (path + rest).c_str(), O_RDONLY, 0).error().code, ENOTDIR)
          << rest;
    }
  });
}

TEST_P(FileContractTest, AFolderIsReadInPiecesToItsEnd) {
  InWorld([&] {
    const std::string path = world_->MakeFile(1), other = world_->MakeFile(12'345);
    const size_t slash = path.rfind('/');
    ASSERT_EQ(other.rfind('/'), slash);
    Fd folder(kernel_, kernel_
                           .openat(AT_FDCWD, path.substr(0, slash).c_str(),
                                   O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0)
                           .value());
    std::vector<std::string> names;
    char buffer[64];  // not all at once
    for (;;) {
      const size_t got = kernel_.getdents64(folder.get(), buffer, sizeof buffer).value();
      if (got == 0) break;
      for (size_t at = 0; at < got;) {
        uint16_t length = 0;
        std::memcpy(&length, buffer + at + offsetof(dirent64, d_reclen), sizeof length);
        names.emplace_back(buffer + at + offsetof(dirent64, d_name));
        at += length;
      }
    }
    for (const std::string& name :
         {std::string("."), std::string(".."), path.substr(slash + 1), other.substr(slash + 1)}) {
      EXPECT_EQ(std::count(names.begin(), names.end(), name), 1) << name;
    }
    struct statx info {};
    ASSERT_TRUE(kernel_.statx(folder.get(), other.substr(slash + 1).c_str(), AT_SYMLINK_NOFOLLOW,
                              STATX_TYPE | STATX_SIZE, &info));
    EXPECT_EQ(info.stx_size, 12'345u);
    EXPECT_TRUE(S_ISREG(info.stx_mode));
    EXPECT_EQ(kernel_.statx(folder.get(), "missing", 0, STATX_TYPE, &info).error().code, ENOENT);
    EXPECT_EQ(kernel_.getdents64(folder.get(), buffer, 8).value_or(0), 0u);  // at the end
    Fd again(kernel_,
             kernel_.openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0).value());
    EXPECT_EQ(kernel_.getdents64(again.get(), buffer, 8).error().code, EINVAL);  // no room for one
  });
}

TEST_P(FileContractTest, ResolveBeneathRefusesToLeaveTheFolder) {
  InWorld([&] {
    const std::string path = world_->MakeFile(10);
    const std::string folder = path.substr(0, path.rfind('/'));
    Fd root(kernel_,
            kernel_.openat(AT_FDCWD, folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0).value());
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    const std::string name = path.substr(folder.size() + 1);
    Fd inside(kernel_, kernel_.openat2(root.get(), name.c_str(), how).value());
    EXPECT_TRUE(inside.valid());
    EXPECT_EQ(kernel_.openat2(root.get(), "../x", how).error().code, EXDEV);
    EXPECT_EQ(kernel_.openat2(root.get(), path.c_str(), how).error().code, EXDEV);
  });
}

// --- sendfile(2)

TEST_P(FileContractTest, SendfileAdvancesItsOffsetAndStopsAtTheEnd) {
  InWorld([&] {
    Fd file = OpenFile(kPage + 100);
    Connection connection = Connect();
    off_t offset = 200;
    EXPECT_EQ(kernel_.sendfile(connection.fd.get(), file.get(), &offset, 10 * kPage).value(),
              kPage - 100);
    EXPECT_EQ(offset, static_cast<off_t>(kPage + 100));
    EXPECT_EQ(kernel_.sendfile(connection.fd.get(), file.get(), &offset, 10 * kPage).value(), 0u);
    EXPECT_EQ(connection.peer->Receive(kPage - 100), FileBytes(200, kPage - 100));
  });
}

TEST_P(FileContractTest, SendfileIntoAFullSocketIsShortAndThenEagain) {
  InWorld([&] {
    constexpr size_t kSize = 64 << 20;
    Fd file = OpenFile(kSize);
    Connection connection = Connect();
    off_t offset = 0;
    Result<size_t> sent = 0;
    do {
      sent = kernel_.sendfile(connection.fd.get(), file.get(), &offset, kSize);
    } while (sent && *sent > 0);
    ASSERT_FALSE(sent) << "a socket that takes 64 MiB from a peer that does not read";
    EXPECT_EQ(sent.error().code, EAGAIN);
    EXPECT_GT(offset, 0);
    EXPECT_EQ(connection.peer->Receive(1000), FileBytes(0, 1000));
  });
}

TEST_P(FileContractTest, SendfileOfAnUnalignedOffsetFromADirectDescriptorIsEinval) {
  InWorld([&] {
    Fd file = OpenDirect(4 * kPage);
    if (!file.valid()) SKIP_FOR_WANT_OF("a build tree on a file system with O_DIRECT");
    Connection connection = Connect();
    off_t offset = 1;
    Result<size_t> sent = kernel_.sendfile(connection.fd.get(), file.get(), &offset, kPage);
    ASSERT_FALSE(sent);
    EXPECT_EQ(sent.error().code, EINVAL);
  });
}

// --- Memory files, and pages that a socket's queue refers to

// The page that it is cut off in is zeroed from there on, under a queue that refers to it; whole
// pages behind it are let go as they are. (Linux zeroes them as well, if they are of the same
// folio.)
TEST_P(FileContractTest, TruncationZeroesTheRestOfThePageThatASocketRefersTo) {
  InWorld([&] {
    const std::string path = world_->MakeFile(kRound);
    Fd file(kernel_, kernel_.openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0).value());
    Connection connection = Connect();
    ASSERT_EQ(kernel_.sendfile(connection.fd.get(), file.get(), nullptr, kRound).value(), kRound);
    world_->Truncate(path, 5000);
    const std::string received = connection.peer->Receive(kRound);
    ASSERT_EQ(received.size(), kRound);
    EXPECT_EQ(received.substr(0, 5000), FileBytes(0, 5000));
    EXPECT_EQ(received.substr(5000, 2 * kPage - 5000), std::string(2 * kPage - 5000, '\0'));
    for (size_t at = 2 * kPage; at < kRound; at += kPage) {
      const std::string page = received.substr(at, kPage);
      EXPECT_TRUE(page == FileBytes(at, kPage) || page == std::string(kPage, '\0')) << at;
    }
  });
}

TEST_P(FileContractTest, TruncationShowsInTheSizeAndTheTimeOfTheLastChange) {
  InWorld([&] {
    const std::string path = world_->MakeFile(kRound);
    Fd file(kernel_, kernel_.openat(AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC, 0).value());
    struct stat before = {}, after = {};
    ASSERT_TRUE(kernel_.fstat(file.get(), &before));
    world_->Truncate(path, 5000);
    ASSERT_TRUE(kernel_.fstat(file.get(), &after));
    EXPECT_EQ(before.st_size, static_cast<off_t>(kRound));
    EXPECT_EQ(after.st_size, 5000);
    EXPECT_GT(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  });
}

class ChunkContractTest : public ContractTest {
 protected:
  static constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

  // A memory file of one round, mapped with small pages and filled with `c`.
  void MakeChunk(char c) {
    file_ = Fd(kernel_, kernel_.memfd_create("chunk", MFD_CLOEXEC).value());
    ASSERT_TRUE(kernel_.ftruncate(file_.get(), kRound));
    memory_ = Mapping(
        kernel_,
        kernel_.mmap(nullptr, kRound, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0).value(),
        kRound);
    // EINVAL where the kernel was built without huge pages, which is as good.
    Status advised = kernel_.madvise(memory_.data(), kRound, MADV_NOHUGEPAGE);
    ASSERT_TRUE(advised || advised.error().code == EINVAL);
    Fill(c);
  }
  void Fill(char c) { std::fill_n(memory_.data(), kRound, c); }
  void Send(Connection& connection) {
    off_t offset = 0;
    ASSERT_EQ(kernel_.sendfile(connection.fd.get(), file_.get(), &offset, kRound).value(), kRound);
  }

  Fd file_;
  Mapping memory_;
};

TEST_P(ChunkContractTest, PunchedHoleReadsAsZeroAndKeepsTheSize) {
  InWorld([&] {
    MakeChunk('A');
    ASSERT_TRUE(kernel_.fallocate(file_.get(), kPunch, 0, kPage));
    struct stat info {};
    ASSERT_TRUE(kernel_.fstat(file_.get(), &info));
    EXPECT_EQ(info.st_size, static_cast<off_t>(kRound));
    // Before the hole is looked at: that would put a page of zeroes there.
    EXPECT_EQ(info.st_blocks, static_cast<blkcnt_t>((kRound - kPage) / 512));
    EXPECT_EQ(std::string(memory_.data(), 2 * kPage),
              std::string(kPage, '\0') + std::string(kPage, 'A'));
  });
}

// What the backend of 2006 did: the next round overwrites what the last one queued.
TEST_P(ChunkContractTest, BufferReusedBeforeThePeerReadCorruptsWhatWasSent) {
  InWorld([&] {
    MakeChunk('A');
    Connection connection = Connect();
    Send(connection);
    Fill('B');
    EXPECT_EQ(connection.peer->Receive(kRound), std::string(kRound, 'B'));
  });
}

TEST_P(ChunkContractTest, PunchingWholePagesKeepsWhatWasSent) {
  InWorld([&] {
    MakeChunk('A');
    Connection connection = Connect();
    Send(connection);
    ASSERT_TRUE(kernel_.fallocate(file_.get(), kPunch, 0, kRound));
    Fill('B');
    EXPECT_EQ(connection.peer->Receive(kRound), std::string(kRound, 'A'));
  });
}

TEST_P(ChunkContractTest, PunchingPartOfAPageZeroesItInPlace) {
  InWorld([&] {
    MakeChunk('A');
    Connection connection = Connect();
    Send(connection);
    ASSERT_TRUE(kernel_.fallocate(file_.get(), kPunch, 0, 5000));
    const std::string received = connection.peer->Receive(kRound);
    // The first page was detached whole; the 904 bytes of the second were zeroed under the queue.
    EXPECT_EQ(std::count(received.begin(), received.end(), '\0'), 904);
    EXPECT_EQ(received.substr(0, kPage), std::string(kPage, 'A'));
  });
}

TEST_P(ChunkContractTest, FreshFileKeepsWhatWasSentFromTheLast) {
  InWorld([&] {
    MakeChunk('A');
    Connection connection = Connect();
    Send(connection);
    MakeChunk('B');
    EXPECT_EQ(connection.peer->Receive(kRound), std::string(kRound, 'A'));
  });
}

TEST_P(ChunkContractTest, SendCopiesSoThatTheBufferIsFreeAtOnce) {
  InWorld([&] {
    MakeChunk('A');
    Connection connection = Connect();
    ASSERT_EQ(kernel_.send(connection.fd.get(), memory_.data(), kRound, MSG_NOSIGNAL).value(),
              kRound);
    Fill('B');
    EXPECT_EQ(connection.peer->Receive(kRound), std::string(kRound, 'A'));
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, FileContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);
INSTANTIATE_TEST_SUITE_P(Contract, ChunkContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);

}  // namespace
}  // namespace pollux
