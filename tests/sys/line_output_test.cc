// Lines go to a descriptor that nobody waits for: which way is taken for what, on a mock, and that
// a reader who is not there holds nobody up, on the running kernel.
#include "core/sys/line_output.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "core/sys/linux_kernel.h"
#include "fakes/forwarding_kernel.h"
#include "fakes/mock_kernel.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::StrEq;
using ::testing::StrictMock;

Result<size_t> Takes(int, const void*, size_t count) { return count; }

auto IsA(mode_t kind) {
  return [kind](int, struct stat* out) {
    *out = {};
    out->st_mode = kind;
    return Status();
  };
}

TEST(LineOutputTest, ARegularFileIsUsedAsItIsInOneWrite) {
  StrictMock<MockKernel> kernel;
  EXPECT_CALL(kernel, fstat(1, _)).WillOnce(IsA(S_IFREG));
  LineOutput output = LineOutput::WithoutWaiting(kernel, 1);
  EXPECT_CALL(kernel, write(1, _, 100'000)).WillOnce(Takes);
  EXPECT_EQ(output.Write(std::string(100'000, 'x')).value(), 100'000u);
}

TEST(LineOutputTest, APipeIsOpenedAgainSoThatNobodyElsesBecomesNonBlocking) {
  StrictMock<MockKernel> kernel;
  EXPECT_CALL(kernel, fstat(2, _)).WillOnce(IsA(S_IFIFO));
  EXPECT_CALL(kernel, openat(AT_FDCWD, StrEq("/proc/self/fd/2"),
                             O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0))
      .WillOnce(Return(Result<int>(7)));
  LineOutput output = LineOutput::WithoutWaiting(kernel, 2);
  EXPECT_CALL(kernel, write(7, _, 5)).WillOnce(Return(Err(EAGAIN, "write")));
  EXPECT_EQ(output.Write("line\n").error().code, EAGAIN);
  EXPECT_CALL(kernel, close(7)).WillOnce(Return(Status()));
}

TEST(LineOutputTest, WhereThatIsRefusedPollIsAskedBeforeEachWrite) {
  for (const int refused : {EACCES, ENOENT, ENXIO, EMFILE, ENFILE, EPERM, EINTR}) {
    StrictMock<MockKernel> kernel;
    EXPECT_CALL(kernel, fstat(1, _)).WillOnce(IsA(S_IFCHR));
    EXPECT_CALL(kernel, openat).WillOnce(Return(Err(refused, "openat")));
    LineOutput output = LineOutput::WithoutWaiting(kernel, 1);
    EXPECT_CALL(kernel, poll(_, 1, 0))
        .WillOnce([](pollfd* fds, nfds_t, int) -> Result<int> {
          EXPECT_EQ(fds->fd, 1);
          EXPECT_EQ(fds->events, POLLOUT);
          return 0;
        })
        .WillOnce(Return(Err(EINTR, "poll")))
        .WillOnce(Return(Result<int>(1)));
    EXPECT_EQ(output.Write("line\n").error().code, EAGAIN);  // and no write
    EXPECT_EQ(output.Write("line\n").error().code, EINTR);
    EXPECT_CALL(kernel, write(1, _, 5)).WillOnce(Takes);
    EXPECT_EQ(output.Write("line\n").value(), 5u);
  }
}

TEST(LineOutputTest, ASocketIsNotWaitedFor) {
  StrictMock<MockKernel> kernel;
  EXPECT_CALL(kernel, fstat(2, _)).WillOnce(IsA(S_IFSOCK));
  LineOutput output = LineOutput::WithoutWaiting(kernel, 2);
  EXPECT_CALL(kernel, send(2, _, 5, MSG_DONTWAIT | MSG_NOSIGNAL))
      .WillOnce(Return(Err(EAGAIN, "send")));
  EXPECT_EQ(output.Write("line\n").error().code, EAGAIN);
}

TEST(LineOutputTest, APipeGetsAsManyWholeLinesAsItDoesNotTearApart) {
  NiceMock<MockKernel> kernel;
  ON_CALL(kernel, fstat).WillByDefault(IsA(S_IFIFO));
  ON_CALL(kernel, openat).WillByDefault(Return(Result<int>(7)));
  ON_CALL(kernel, write).WillByDefault(Takes);
  LineOutput output = LineOutput::WithoutWaiting(kernel, 1);
  const std::string line = std::string(999, 'x') + "\n";
  EXPECT_EQ(output.Write(line + line + line).value(), 3000u);
  EXPECT_EQ(output.Write(line + line + line + line + line).value(), 4000u);
  // To the byte, and one beyond.
  const std::string rest(kLogLineBytesMax - 4000 - 1, 'y');
  const std::string four = line + line + line + line;
  EXPECT_EQ(output.Write(four + rest + "\n" + line).value(), kLogLineBytesMax);
  EXPECT_EQ(output.Write(four + rest + "y\n" + line).value(), 4000u);
  // A line that no write holds gets through in parts.
  EXPECT_EQ(output.Write(std::string(kLogLineBytesMax + 1, 'x')).value(), kLogLineBytesMax);
}

TEST(LineOutputTest, NowhereTakesNothing) {
  LineOutput output;
  EXPECT_EQ(output.Write("line\n").error().code, EBADF);
}

// --- On the running kernel

class Pipe {
 public:
  Pipe() { CHECK(::pipe(ends_.data()) == 0); }
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  int reader() const { return ends_[0]; }
  int writer() const { return ends_[1]; }

 private:
  std::array<int, 2> ends_{};
};

// Writes until it is told to wait; says how many bytes that took.
size_t Fill(LineOutput& output) {
  const std::string line = std::string(99, 'x') + "\n";
  size_t bytes = 0;
  for (;;) {
    const Result<size_t> written = output.Write(line);
    if (!written) {
      EXPECT_EQ(written.error().code, EAGAIN);
      return bytes;
    }
    EXPECT_EQ(*written, line.size());
    bytes += *written;
    if (bytes > 16 * 1024 * 1024) ADD_FAILURE() << "it never fills";
  }
}

TEST(LineOutputOnLinuxTest, AnUnreadPipeIsNotWaitedForAndItsOtherUsersAreLeftAlone) {
  LinuxKernel kernel;
  Pipe pipe;
  LineOutput output = LineOutput::WithoutWaiting(kernel, pipe.writer());
  EXPECT_GT(Fill(output), 60'000u);
  EXPECT_EQ(::fcntl(pipe.writer(), F_GETFL) & O_NONBLOCK, 0);
  // Who reads gets it flowing again.
  std::vector<char> taken(65536);
  EXPECT_GT(::read(pipe.reader(), taken.data(), taken.size()), 0);
  EXPECT_EQ(output.Write("more\n").value(), 5u);
}

// What is left where /proc may not be used.
class NoProcKernel final : public ForwardingKernel {
 public:
  using ForwardingKernel::ForwardingKernel;
  Result<int> openat(int, const char*, int, mode_t) override { return Err(EACCES, "openat"); }
};

TEST(LineOutputOnLinuxTest, WithoutProcAnUnreadPipeIsNotWaitedForEither) {
  LinuxKernel linux_kernel;
  NoProcKernel kernel(linux_kernel);
  Pipe pipe;
  LineOutput output = LineOutput::WithoutWaiting(kernel, pipe.writer());
  EXPECT_GT(Fill(output), 60'000u);
  std::vector<char> taken(65536);
  EXPECT_GT(::read(pipe.reader(), taken.data(), taken.size()), 0);
  EXPECT_EQ(output.Write("more\n").value(), 5u);
}

TEST(LineOutputOnLinuxTest, AnUnreadSocketIsNotWaitedFor) {
  LinuxKernel kernel;
  std::array<int, 2> ends{};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
  LineOutput output = LineOutput::WithoutWaiting(kernel, ends[1]);
  EXPECT_GT(Fill(output), 4096u);
  ::close(ends[0]);
  EXPECT_EQ(output.Write("line\n").error().code, EPIPE);  // and no SIGPIPE
  ::close(ends[1]);
}

// --- Descriptors 0, 1 and 2

TEST(OccupyStandardDescriptorsTest, GoesOnUntilAllThreeAreTaken) {
  StrictMock<MockKernel> kernel;
  EXPECT_CALL(kernel, openat(AT_FDCWD, StrEq("/dev/null"), O_RDWR, 0))
      .WillOnce(Return(Result<int>(0)))
      .WillOnce(Return(Result<int>(2)))
      .WillOnce(Return(Result<int>(3)));
  EXPECT_CALL(kernel, close(3)).WillOnce(Return(Status()));
  OccupyStandardDescriptors(kernel);
}

TEST(OccupyStandardDescriptorsTest, WithoutDevNullThereIsNothingToPutThere) {
  for (const int code : {ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EINTR}) {
    StrictMock<MockKernel> kernel;
    EXPECT_CALL(kernel, openat).WillOnce(Return(Err(code, "openat")));
    OccupyStandardDescriptors(kernel);
  }
}

}  // namespace
}  // namespace pollux
