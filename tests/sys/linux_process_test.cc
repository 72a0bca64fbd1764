// fork, waitpid and socketpair, which the simulated kernel does not model: what the supervisor of
// workers relies on.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "core/sys/linux_kernel.h"

namespace pollux {
namespace {

class LinuxProcessTest : public ::testing::Test {
 protected:
  // A child that does `what` and never comes back here.
  template <typename What>
  pid_t Child(What what) {
    const Result<pid_t> pid = kernel_.fork();
    EXPECT_TRUE(pid);
    if (*pid == 0) {
      what();
      ::_exit(99);
    }
    return *pid;
  }
  int StatusOf(pid_t pid) {
    int status = 0;
    EXPECT_EQ(kernel_.waitpid(pid, &status, 0).value(), pid);
    return status;
  }

  LinuxKernel kernel_;
};

TEST_F(LinuxProcessTest, TheChildHearsZeroAndItsStatusIsWaitedFor) {
  const pid_t pid = Child([] { ::_exit(7); });
  EXPECT_GT(pid, 0);
  const int status = StatusOf(pid);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
  int again = 0;
  EXPECT_EQ(kernel_.waitpid(pid, &again, 0).error().code, ECHILD);
}

TEST_F(LinuxProcessTest, ADeathBySignalIsToldFromAnExit) {
  const int status = StatusOf(Child([] { ::raise(SIGKILL); }));
  EXPECT_FALSE(WIFEXITED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_F(LinuxProcessTest, WithoutHangingARunningChildIsNobody) {
  std::array<int, 2> ends{};
  ASSERT_TRUE(kernel_.socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()));
  const pid_t pid = Child([&] {
    char byte = 0;
    (void)::read(ends[1], &byte, 1);
    ::_exit(0);
  });
  int status = 0;
  EXPECT_EQ(kernel_.waitpid(pid, &status, WNOHANG).value(), 0);
  EXPECT_EQ(kernel_.send(ends[0], "x", 1, 0).value(), 1u);
  EXPECT_EQ(StatusOf(pid), 0);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(LinuxProcessTest, TheOtherEndOfAPairHearsOfADeath) {
  std::array<int, 2> ends{};
  ASSERT_TRUE(
      kernel_.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()));
  const pid_t pid = Child([&] {
    ::close(ends[0]);
    (void)::send(ends[1], "R", 1, 0);
    ::raise(SIGKILL);
  });
  ::close(ends[1]);
  EXPECT_TRUE(WIFSIGNALED(StatusOf(pid)));
  std::array<char, 4> got{};
  EXPECT_EQ(kernel_.recv(ends[0], got.data(), got.size(), 0).value(), 1u);
  EXPECT_EQ(kernel_.recv(ends[0], got.data(), got.size(), 0).value(), 0u);
  EXPECT_EQ(kernel_.send(ends[0], "T", 1, MSG_NOSIGNAL).error().code, EPIPE);
  ::close(ends[0]);
}

TEST_F(LinuxProcessTest, BlockedSignalsStayBlockedInTheChildAndPendingOnesAreNotItsOwn) {
  sigset_t set, before;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ASSERT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, set, &before));
  ::raise(SIGTERM);
  const pid_t pid = Child([] {
    sigset_t blocked, pending;
    ::pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
    ::sigpending(&pending);
    ::_exit((sigismember(&blocked, SIGTERM) ? 1 : 0) + (sigismember(&pending, SIGTERM) ? 2 : 0));
  });
  EXPECT_EQ(WEXITSTATUS(StatusOf(pid)), 1);
  const timespec at_once{};
  ::sigtimedwait(&set, nullptr, &at_once);
  ASSERT_TRUE(kernel_.pthread_sigmask(SIG_SETMASK, before, nullptr));
}

TEST_F(LinuxProcessTest, ErrorsAreTheErrno) {
  int status = 0;
  EXPECT_EQ(kernel_.waitpid(-1, &status, WNOHANG).error().code, ECHILD);
  EXPECT_EQ(kernel_.waitpid(1, &status, -1).error().code, EINVAL);
  std::array<int, 2> ends{};
  EXPECT_EQ(kernel_.socketpair(AF_INET, SOCK_STREAM, 0, ends.data()).error().code, EOPNOTSUPP);
}

}  // namespace
}  // namespace pollux
