// Where chunks live. With the mocked seam: which calls each policy makes, in which order, and what
// each errno leads to. On the real kernel: what a reader that reads late receives when the memory
// is used again, which is the property that the policies exist for.
#include "core/aio/chunk_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "core/aio/send_step.h"
#include "core/base/units.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/raii.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/loopback.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::InSequence;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::StrEq;
using ::testing::StrictMock;

constexpr uint64_t kChunkBytes = 64_KiB;
constexpr int kFd = 77;

// --- Which calls are made.

class ShmMemoryCallsTest : public ::testing::Test {
 protected:
  ShmMemoryCallsTest() {
    const auto huge = ::mmap(nullptr, sizeof_arena_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    arena_ = static_cast<char*>(huge);
  }
  ~ShmMemoryCallsTest() override { ::munmap(arena_, sizeof_arena_); }

  // A memfd of `count` chunks is made and mapped, and huge folios are forbidden, in this order.
  void ExpectArena(uint64_t bytes) {
    InSequence in_sequence;
    EXPECT_CALL(kernel_, memfd_create(_, MFD_CLOEXEC)).WillOnce(Return(kFd));
    EXPECT_CALL(kernel_, ftruncate(kFd, static_cast<off_t>(bytes))).WillOnce(Return(Status{}));
    EXPECT_CALL(kernel_, mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, kFd, 0))
        .WillOnce(Return(static_cast<void*>(arena_)));
    EXPECT_CALL(kernel_, madvise(arena_, bytes, MADV_NOHUGEPAGE)).WillOnce(Return(Status{}));
  }
  void ExpectCleanUp(uint64_t bytes) {
    EXPECT_CALL(kernel_, munmap(arena_, bytes)).WillOnce(Return(Status{}));
    EXPECT_CALL(kernel_, close(kFd)).WillOnce(Return(Status{}));
  }
  static constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

  const size_t sizeof_arena_ = 4 * kChunkBytes;
  char* arena_;
  StrictMock<MockKernel> kernel_;
};

TEST_F(ShmMemoryCallsTest, PunchMakesOneFileAndPunchesExactlyTheChunk) {
  ExpectArena(4 * kChunkBytes);
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 4, Retire::kPunch, "");
  ASSERT_TRUE(memory);
  EXPECT_TRUE((*memory)->by_reference());

  Chunk chunk;
  chunk.index = 2;
  ASSERT_TRUE((*memory)->Provide(chunk));
  EXPECT_EQ(chunk.shm_fd, kFd);
  EXPECT_EQ(chunk.shm_offset, 2 * kChunkBytes);
  EXPECT_EQ(chunk.memory, arena_ + 2 * kChunkBytes);

  chunk.warm = true;
  EXPECT_CALL(kernel_, fallocate(kFd, kPunch, 2 * kChunkBytes, kChunkBytes))
      .WillOnce(Return(Status{}));
  ASSERT_TRUE((*memory)->Retire(chunk));
  EXPECT_FALSE(chunk.warm);  // the next read has to allocate its pages
  ExpectCleanUp(4 * kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, AnInterruptedPunchIsRepeated) {
  ExpectArena(kChunkBytes);
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "");
  ASSERT_TRUE(memory);
  Chunk chunk;
  ASSERT_TRUE((*memory)->Provide(chunk));
  EXPECT_CALL(kernel_, fallocate(kFd, kPunch, 0, kChunkBytes))
      .WillOnce(Return(Err(EINTR, "fallocate")))
      .WillOnce(Return(Err(EINTR, "fallocate")))
      .WillOnce(Return(Status{}));
  EXPECT_TRUE((*memory)->Retire(chunk));
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, APunchThatFailsIsReported) {
  ExpectArena(kChunkBytes);
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "");
  ASSERT_TRUE(memory);
  Chunk chunk;
  ASSERT_TRUE((*memory)->Provide(chunk));
  for (const int code : {ENOMEM, ENOSPC, EOPNOTSUPP, EPERM, EIO}) {
    EXPECT_CALL(kernel_, fallocate).WillOnce(Return(Err(code, "fallocate")));
    EXPECT_EQ((*memory)->Retire(chunk).error().code, code);
  }
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, ReuseRetiresWithoutACall) {
  ExpectArena(kChunkBytes);
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kReuse, "");
  ASSERT_TRUE(memory);
  Chunk chunk;
  chunk.warm = true;
  ASSERT_TRUE((*memory)->Provide(chunk));
  ASSERT_TRUE((*memory)->Retire(chunk));
  EXPECT_TRUE(chunk.warm);
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, FreshMakesAFileAChunkWhenItIsNeededAndThrowsItAway) {
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 4, Retire::kFresh, "");
  ASSERT_TRUE(memory);  // without a call: StrictMock
  EXPECT_TRUE((*memory)->by_reference());

  Chunk chunk;
  chunk.index = 3;
  ExpectArena(kChunkBytes);
  ASSERT_TRUE((*memory)->Provide(chunk));
  EXPECT_EQ(chunk.shm_fd, kFd);
  EXPECT_EQ(chunk.shm_offset, 0u);
  EXPECT_EQ(chunk.memory, arena_);
  ASSERT_TRUE((*memory)->Provide(chunk));  // nothing of it was sent: the file serves again

  ExpectCleanUp(kChunkBytes);
  ASSERT_TRUE((*memory)->Retire(chunk));
  EXPECT_EQ(chunk.shm_fd, -1);
  EXPECT_EQ(chunk.memory, nullptr);
  ::testing::Mock::VerifyAndClearExpectations(&kernel_);

  ExpectArena(kChunkBytes);
  ASSERT_TRUE((*memory)->Provide(chunk));
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, ADirectoryMeansAnUnlinkedFileInIt) {
  EXPECT_CALL(kernel_, openat(AT_FDCWD, StrEq("/dev/shm"), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600))
      .WillOnce(Return(kFd));
  EXPECT_CALL(kernel_, ftruncate(kFd, kChunkBytes)).WillOnce(Return(Status{}));
  EXPECT_CALL(kernel_, mmap).WillOnce(Return(static_cast<void*>(arena_)));
  EXPECT_CALL(kernel_, madvise).WillOnce(Return(Status{}));
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "/dev/shm");
  ASSERT_TRUE(memory);
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, AnInterruptedOpenOrTruncateIsRepeated) {
  EXPECT_CALL(kernel_, openat).WillOnce(Return(Err(EINTR, "openat"))).WillOnce(Return(kFd));
  EXPECT_CALL(kernel_, ftruncate)
      .WillOnce(Return(Err(EINTR, "ftruncate")))
      .WillOnce(Return(Status{}));
  EXPECT_CALL(kernel_, mmap).WillOnce(Return(static_cast<void*>(arena_)));
  EXPECT_CALL(kernel_, madvise).WillOnce(Return(Status{}));
  ASSERT_TRUE(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "/dev/shm") &&
              (ExpectCleanUp(kChunkBytes), true));
}

TEST_F(ShmMemoryCallsTest, AnErrorOfTheFileIsReported) {
  for (const int code : {EMFILE, ENFILE, ENOMEM, EINVAL, ENOSYS}) {
    EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(Err(code, "memfd_create")));
    EXPECT_EQ(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "").error().code, code);
  }
  for (const int code : {ENOENT, EACCES, EOPNOTSUPP, ENOSPC, EROFS}) {
    EXPECT_CALL(kernel_, openat).WillOnce(Return(Err(code, "openat")));
    EXPECT_EQ(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "/x").error().code, code);
  }
}

TEST_F(ShmMemoryCallsTest, AnErrorOfTheSizeClosesTheFile) {
  for (const int code : {EFBIG, EINVAL, EPERM}) {
    EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(kFd));
    EXPECT_CALL(kernel_, ftruncate).WillOnce(Return(Err(code, "ftruncate")));
    EXPECT_CALL(kernel_, close(kFd)).WillOnce(Return(Status{}));
    EXPECT_EQ(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "").error().code, code);
  }
}

TEST_F(ShmMemoryCallsTest, AnErrorOfTheMappingClosesTheFile) {
  for (const int code : {ENOMEM, EPERM}) {
    EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(kFd));
    EXPECT_CALL(kernel_, ftruncate).WillOnce(Return(Status{}));
    EXPECT_CALL(kernel_, mmap).WillOnce(Return(Err(code, "mmap")));
    EXPECT_CALL(kernel_, close(kFd)).WillOnce(Return(Status{}));
    EXPECT_EQ(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "").error().code, code);
  }
}

TEST_F(ShmMemoryCallsTest, AKernelWithoutHugePagesCannotForbidThemAndNeedNot) {
  EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(kFd));
  EXPECT_CALL(kernel_, ftruncate).WillOnce(Return(Status{}));
  EXPECT_CALL(kernel_, mmap).WillOnce(Return(static_cast<void*>(arena_)));
  EXPECT_CALL(kernel_, madvise).WillOnce(Return(Err(EINVAL, "madvise")));
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "");
  EXPECT_TRUE(memory);
  ExpectCleanUp(kChunkBytes);
}

TEST_F(ShmMemoryCallsTest, MemoryThatMightGetHugePagesIsRefused) {
  EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(kFd));
  EXPECT_CALL(kernel_, ftruncate).WillOnce(Return(Status{}));
  EXPECT_CALL(kernel_, mmap).WillOnce(Return(static_cast<void*>(arena_)));
  EXPECT_CALL(kernel_, madvise).WillOnce(Return(Err(ENOMEM, "madvise")));
  ExpectCleanUp(kChunkBytes);
  EXPECT_EQ(MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kPunch, "").error().code, ENOMEM);
}

TEST_F(ShmMemoryCallsTest, FreshReportsWhatProvidingMet) {
  auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, Retire::kFresh, "");
  ASSERT_TRUE(memory);
  EXPECT_CALL(kernel_, memfd_create).WillOnce(Return(Err(EMFILE, "memfd_create")));
  Chunk chunk;
  EXPECT_EQ((*memory)->Provide(chunk).error().code, EMFILE);
}

TEST(CopyMemoryTest, ChunksAreNeighboursFromAHugePageOnAndAreReusedAtOnce) {
  LinuxKernel kernel;
  auto memory = MakeCopyMemory(kernel, kChunkBytes, 8);
  ASSERT_TRUE(memory);
  EXPECT_FALSE((*memory)->by_reference());
  Chunk first, last;
  last.index = 7;
  ASSERT_TRUE((*memory)->Provide(first));
  ASSERT_TRUE((*memory)->Provide(last));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first.memory) % 2_MiB, 0u);
  EXPECT_EQ(last.memory, first.memory + 7 * kChunkBytes);
  std::memset(last.memory, 1, kChunkBytes);  // all of it is there
}

TEST(CopyMemoryTest, AnErrorOfTheMappingIsReported) {
  StrictMock<MockKernel> kernel;
  EXPECT_CALL(kernel, mmap).WillOnce(Return(Err(ENOMEM, "mmap")));
  EXPECT_EQ(MakeCopyMemory(kernel, kChunkBytes, 8).error().code, ENOMEM);
}

TEST(CopyMemoryTest, AKernelWithoutHugePagesWillDo) {
  LinuxKernel linux;
  NiceMock<MockKernel> kernel;
  kernel.DelegateTo(linux);
  EXPECT_CALL(kernel, madvise(_, _, MADV_HUGEPAGE)).WillOnce(Return(Err(EINVAL, "madvise")));
  EXPECT_TRUE(MakeCopyMemory(kernel, kChunkBytes, 8));
}

// --- What a late reader receives. Each round fills the chunk, sends it by reference, retires it
// and fills it again while the bytes are still in the socket's queue. The order of events alone
// decides: the reader reads when all is over.

struct Case {
  const char* name;
  Retire retire;
  const char* shm_dir;
};

class LateReaderTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr int kRounds = 4;

  // What arrived of kRounds rounds. The rounds' bytes are successive parts of one pattern.
  std::string Arrived() {
    Loopback loopback(kernel_, {.send_buffer = 4 << 20, .receive_buffer = 4 << 20});
    auto memory = MakeShmMemory(kernel_, kChunkBytes, 1, GetParam().retire, GetParam().shm_dir);
    EXPECT_TRUE(memory);
    Chunk chunk;
    for (int round = 0; round < kRounds; ++round) {
      EXPECT_TRUE((*memory)->Provide(chunk));
      // As a direct read would: the test may store where the server must not.
      const std::string bytes = Pattern(round * kChunkBytes, kChunkBytes);
      std::memcpy(chunk.memory, bytes.data(), bytes.size());
      const SendStep sent = SendfileStep(kernel_, loopback.socket()->get(), chunk.shm_fd,
                                         chunk.shm_offset, kChunkBytes);
      EXPECT_EQ(sent.bytes, kChunkBytes);
      EXPECT_TRUE((*memory)->Retire(chunk));
    }
    memory->reset();  // the sockets keep what they hold
    return loopback.ReadExactly(kRounds * kChunkBytes);
  }

  LinuxKernel kernel_;
};

TEST_P(LateReaderTest, GetsTheBytesOfEveryRound) {
  const std::string bytes = Arrived();
  ASSERT_EQ(bytes.size(), kRounds * kChunkBytes);
  if (GetParam().retire == Retire::kReuse) {
    // The specimen: the last round's bytes have overwritten all others.
    EXPECT_GE(WrongBytes(bytes), (kRounds - 2) * kChunkBytes / 8);
    EXPECT_TRUE(HoldsPattern(std::span(bytes).last(kChunkBytes), (kRounds - 1) * kChunkBytes));
    EXPECT_EQ(bytes.substr(0, kChunkBytes), Pattern((kRounds - 1) * kChunkBytes, kChunkBytes));
  } else {
    EXPECT_TRUE(HoldsPattern(bytes));
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, LateReaderTest,
                         ::testing::Values(Case{"Punch", Retire::kPunch, ""},
                                           Case{"Fresh", Retire::kFresh, ""},
                                           Case{"Reuse", Retire::kReuse, ""},
                                           Case{"PunchInDevShm", Retire::kPunch, "/dev/shm"},
                                           Case{"FreshInDevShm", Retire::kFresh, "/dev/shm"}),
                         [](const auto& tested) { return tested.param.name; });

// --- Properties of the mapping that punching stands on.

// VmFlags of the mapping at `address` (proc_pid_smaps(5)).
std::string VmFlags(const char* address) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool found = false;
  while (std::getline(smaps, line)) {
    uintptr_t from = 0, to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      const auto at = reinterpret_cast<uintptr_t>(address);
      found = from <= at && at < to;
    }
    if (found && line.rfind("VmFlags:", 0) == 0) return line;
  }
  return "";
}

TEST(ShmMemoryTest, NeitherArenaNorFreshFileMayGetHugePages) {
  LinuxKernel kernel;
  for (const Retire retire : {Retire::kPunch, Retire::kFresh}) {
    auto memory = MakeShmMemory(kernel, 2_MiB, 2, retire, "");
    ASSERT_TRUE(memory);
    Chunk chunk;
    chunk.index = 1;
    ASSERT_TRUE((*memory)->Provide(chunk));
    EXPECT_NE(VmFlags(chunk.memory).find(" nh"), std::string::npos) << VmFlags(chunk.memory);
  }
}

TEST(ShmMemoryTest, PunchingGivesThePagesBack) {
  LinuxKernel kernel;
  auto memory = MakeShmMemory(kernel, kChunkBytes, 4, Retire::kPunch, "");
  ASSERT_TRUE(memory);
  Chunk first, second;
  second.index = 1;
  ASSERT_TRUE((*memory)->Provide(first));
  ASSERT_TRUE((*memory)->Provide(second));
  std::memset(first.memory, 1, kChunkBytes);
  std::memset(second.memory, 2, kChunkBytes);
  struct stat st {};
  ASSERT_TRUE(kernel.fstat(first.shm_fd, &st));
  EXPECT_EQ(st.st_blocks, 2 * static_cast<blkcnt_t>(kChunkBytes) / 512);
  ASSERT_TRUE((*memory)->Retire(first));
  ASSERT_TRUE(kernel.fstat(first.shm_fd, &st));
  EXPECT_EQ(st.st_blocks, static_cast<blkcnt_t>(kChunkBytes) / 512);
  EXPECT_EQ(st.st_size, static_cast<off_t>(4 * kChunkBytes));
  EXPECT_EQ(std::string(second.memory, kChunkBytes), std::string(kChunkBytes, 2));
}

TEST(ShmMemoryTest, NothingIsLeftOfItInTheDirectory) {
  const TempDir dir;
  LinuxKernel kernel;
  auto memory = MakeShmMemory(kernel, kChunkBytes, 1, Retire::kPunch, "/dev/shm");
  ASSERT_TRUE(memory);
  Chunk chunk;
  ASSERT_TRUE((*memory)->Provide(chunk));
  struct stat st {};
  ASSERT_TRUE(kernel.fstat(chunk.shm_fd, &st));
  EXPECT_EQ(st.st_nlink, 0u);
}

}  // namespace
}  // namespace pollux
