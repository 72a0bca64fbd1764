// Dispositions and masks: the calls and their order on the mock, the effect on the running kernel.
#include "core/event/signals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "fakes/mock_kernel.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::DoAll;
using ::testing::Expectation;
using ::testing::InSequence;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::Return;
using ::testing::SetArgPointee;
using ::testing::StrictMock;

const std::set<int> kHandled = {SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP};

MATCHER_P(IsSignalSet, expected, "") {
  for (int signum = 1; signum < SIGRTMIN; ++signum) {
    if ((sigismember(&arg, signum) == 1) != (expected.count(signum) == 1)) return false;
  }
  return true;
}
MATCHER(Ignores, "") { return arg.sa_handler == SIG_IGN; }
MATCHER(HandlesWithoutRestart, "") {
  return arg.sa_handler != SIG_IGN && arg.sa_handler != SIG_DFL && arg.sa_flags == 0;
}

sigset_t SetOf(std::set<int> signals) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signum : signals) sigaddset(&set, signum);
  return set;
}

TEST(SignalsTest, BlocksBeforeItInstallsHandlers) {
  StrictMock<MockKernel> kernel;
  Signals signals(kernel);
  const Expectation block =
      EXPECT_CALL(kernel, pthread_sigmask(SIG_BLOCK, IsSignalSet(kHandled), NotNull()));
  for (const int signum : kHandled) {
    EXPECT_CALL(kernel, sigaction(signum, HandlesWithoutRestart())).After(block);
  }
  EXPECT_CALL(kernel, sigaction(SIGPIPE, Ignores())).After(block);
  EXPECT_CALL(kernel, sigaction(SIGXFSZ, Ignores())).After(block);
  EXPECT_TRUE(signals.Install(Signals::Delivery::kOnlyInWaits));
}

TEST(SignalsTest, AnywhereUnblocksWhenTheHandlersAreThere) {
  StrictMock<MockKernel> kernel;
  Signals signals(kernel);
  InSequence order;
  EXPECT_CALL(kernel, pthread_sigmask(SIG_BLOCK, IsSignalSet(kHandled), NotNull()));
  EXPECT_CALL(kernel, sigaction).Times(static_cast<int>(kHandled.size()) + 2);
  EXPECT_CALL(kernel, pthread_sigmask(SIG_UNBLOCK, IsSignalSet(kHandled), IsNull()));
  EXPECT_TRUE(signals.Install(Signals::Delivery::kAnywhere));
}

TEST(SignalsTest, WaitMaskIsTheInheritedOneLessTheHandled) {
  StrictMock<MockKernel> kernel;
  Signals signals(kernel);
  const sigset_t inherited = SetOf({SIGUSR1, SIGTERM, SIGUSR2, SIGCHLD});
  EXPECT_CALL(kernel, pthread_sigmask)
      .WillOnce(DoAll(SetArgPointee<2>(inherited), Return(Status())));
  EXPECT_CALL(kernel, sigaction).Times(7);
  EXPECT_TRUE(signals.Install(Signals::Delivery::kOnlyInWaits));
  EXPECT_THAT(signals.wait_mask(), IsSignalSet(std::set<int>{SIGUSR2, SIGCHLD}));
}

TEST(SignalsTest, ErrorOfAnyCallIsReturned) {
  StrictMock<MockKernel> kernel;
  Signals signals(kernel);
  EXPECT_CALL(kernel, pthread_sigmask).WillOnce(Return(Err(EINVAL, "pthread_sigmask")));
  EXPECT_EQ(signals.Install(Signals::Delivery::kOnlyInWaits).error().code, EINVAL);

  for (const int refused : {SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ}) {
    EXPECT_CALL(kernel, pthread_sigmask).WillOnce(Return(Status()));
    EXPECT_CALL(kernel, sigaction(_, _)).WillRepeatedly(Return(Status()));
    EXPECT_CALL(kernel, sigaction(refused, _)).WillOnce(Return(Err(EINVAL, "sigaction")));
    EXPECT_EQ(signals.Install(Signals::Delivery::kOnlyInWaits).error().code, EINVAL);
    ::testing::Mock::VerifyAndClearExpectations(&kernel);
  }
}

TEST(SignalsTest, MaskIsOpenedAfterManyWaitsInWhichNoHandlerCouldRun) {
  StrictMock<MockKernel> kernel;
  Signals signals(kernel);
  const std::optional<Nanoseconds> second = std::chrono::seconds(1);
  const auto busy = [&](int times) {
    for (int i = 0; i < times; ++i) {
      // A ready descriptor, with or without the leave to sleep; a look that finds nothing.
      const bool ready = i % 2 == 0;
      signals.AfterWait(size_t{ready ? 1u : 0u}, ready ? second : Nanoseconds(0));
    }
  };
  busy(Signals::kBusyWaitsMax - 1);
  signals.AfterWait(Err(EINTR, "ppoll"), second);  // handlers have run
  busy(Signals::kBusyWaitsMax - 1);
  signals.AfterWait(size_t{0}, second);  // would have been interrupted
  busy(Signals::kBusyWaitsMax - 1);
  signals.AfterWait(size_t{0}, std::nullopt);
  busy(Signals::kBusyWaitsMax - 1);
  for (const int code : {EINTR, ENOMEM}) {
    EXPECT_CALL(kernel, ppoll(IsNull(), 0, NotNull(), &signals.wait_mask()))
        .WillOnce([code](pollfd*, nfds_t, const timespec* timeout, auto...) -> Result<int> {
          EXPECT_EQ(timeout->tv_sec, 0);
          EXPECT_EQ(timeout->tv_nsec, 0);
          return Err(code, "ppoll");
        });
    busy(1);
    busy(Signals::kBusyWaitsMax - 1);
  }
}

class RealSignalsTest : public ::testing::Test {
 protected:
  SignalStateGuard restore_;
  LinuxKernel kernel_;
  Signals signals_{kernel_};
};

// One at a time: handlers that interrupt each other are more than the thread sanitizer, which puts
// them off, hands on.
TEST_F(RealSignalsTest, OnlyInWaitsLeavesSignalsPendingUntilASleepOpensThem) {
  ASSERT_TRUE(signals_.Install(Signals::Delivery::kOnlyInWaits));
  for (const int signum : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGALRM}) {
    const bool counted = signum == SIGTERM || signum == SIGINT || signum == SIGHUP;
    raise(signum);
    if (counted) {
      EXPECT_EQ(Signals::Take(signum), 0);
    }
    const timespec at_most{5, 0};
    EXPECT_EQ(kernel_.ppoll(nullptr, 0, &at_most, &signals_.wait_mask()).error().code, EINTR);
    EXPECT_TRUE(kernel_.poll(nullptr, 0, 0));  // here it hands on what it put off
    if (counted) {
      EXPECT_EQ(Signals::Take(signum), 1) << signum;
    }
  }
}

TEST_F(RealSignalsTest, SeveralBeforeATakeAreAllCounted) {
  ASSERT_TRUE(signals_.Install(Signals::Delivery::kAnywhere));
  for (int i = 0; i < 3; ++i) raise(SIGTERM);
  raise(SIGINT);
  EXPECT_EQ(Signals::Take(SIGTERM), 3);
  EXPECT_EQ(Signals::Take(SIGINT), 1);
  EXPECT_EQ(Signals::Take(SIGHUP), 0);
}

TEST_F(RealSignalsTest, InstallForgetsWhatWasCaughtBefore) {
  ASSERT_TRUE(signals_.Install(Signals::Delivery::kAnywhere));
  raise(SIGTERM);
  ASSERT_TRUE(signals_.Install(Signals::Delivery::kAnywhere));
  EXPECT_EQ(Signals::Take(SIGTERM), 0);
}

TEST_F(RealSignalsTest, WritingToAGonePeerIsEpipeAndNoSignal) {
  ASSERT_TRUE(signals_.Install(Signals::Delivery::kAnywhere));
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
  close(fds[0]);
  EXPECT_EQ(kernel_.write(fds[1], "x", 1).error().code, EPIPE);
  close(fds[1]);
}

}  // namespace
}  // namespace pollux
