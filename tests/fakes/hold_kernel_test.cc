// The hold decorator: what its hold does has happened before the loop's thread sleeps.
#include "fakes/hold_kernel.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <thread>

#include "core/sys/linux_kernel.h"

namespace pollux {
namespace {

using Point = HoldKernel::Point;

class HoldKernelTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::pipe(pipe_), 0); }
  void TearDown() override {
    ::close(pipe_[0]);
    ::close(pipe_[1]);
  }
  // Makes the pipe readable and notes how many waits had been entered by then.
  void Fill() {
    entered_at_fill_ = kernel_.entered(Point::kLoopWait);
    ASSERT_EQ(::write(pipe_[1], "x", 1), 1);
  }

  LinuxKernel linux_;
  HoldKernel kernel_{linux_};
  int pipe_[2] = {-1, -1};
  uint64_t entered_at_fill_ = ~uint64_t{0};
};

TEST_F(HoldKernelTest, TheHoldRunsBeforePollSleeps) {
  pollfd fd = {pipe_[0], POLLIN, 0};
  kernel_.HoldNextLoopWait([this] { Fill(); });
  EXPECT_EQ(kernel_.poll(&fd, 1, -1).value(), 1);
  EXPECT_EQ(entered_at_fill_, 0u);
  EXPECT_EQ(kernel_.returned(Point::kLoopWait), 1u);
}

TEST_F(HoldKernelTest, TheHoldRunsBeforePpollSleeps) {
  pollfd fd = {pipe_[0], POLLIN, 0};
  kernel_.HoldNextLoopWait([this] { Fill(); });
  EXPECT_EQ(kernel_.ppoll(&fd, 1, nullptr, nullptr).value(), 1);
  EXPECT_EQ(entered_at_fill_, 0u);
}

TEST_F(HoldKernelTest, TheHoldRunsBeforeEpollPwaitSleeps) {
  const int epfd = kernel_.epoll_create1(0).value();
  epoll_event event{};
  event.events = EPOLLIN;
  ASSERT_TRUE(kernel_.epoll_ctl(epfd, EPOLL_CTL_ADD, pipe_[0], &event).has_value());
  kernel_.HoldNextLoopWait([this] { Fill(); });
  EXPECT_EQ(kernel_.epoll_pwait(epfd, &event, 1, -1, nullptr).value(), 1);
  EXPECT_EQ(entered_at_fill_, 0u);
  EXPECT_TRUE(kernel_.close(epfd).has_value());
}

TEST_F(HoldKernelTest, AHoldIsUsedOnce) {
  pollfd fd = {pipe_[0], POLLIN, 0};
  int holds = 0;
  kernel_.HoldNextLoopWait([&] {
    ++holds;
    Fill();
  });
  EXPECT_TRUE(kernel_.holding());
  EXPECT_EQ(kernel_.poll(&fd, 1, -1).value(), 1);
  EXPECT_FALSE(kernel_.holding());
  EXPECT_EQ(kernel_.poll(&fd, 1, -1).value(), 1);
  EXPECT_EQ(holds, 1);
}

TEST_F(HoldKernelTest, ALookThatCannotSleepIsNotHeld) {
  pollfd fd = {pipe_[0], POLLIN, 0};
  kernel_.HoldNextLoopWait([] { FAIL() << "held"; });
  const timespec none = {0, 0};
  EXPECT_EQ(kernel_.poll(&fd, 1, 0).value(), 0);
  EXPECT_EQ(kernel_.ppoll(&fd, 1, &none, nullptr).value(), 0);
  EXPECT_EQ(kernel_.entered(Point::kLoopWait), 0u);
}

TEST_F(HoldKernelTest, OtherThreadsAreNotHeld) {
  kernel_.HoldNextLoopWait([] { FAIL() << "held"; });
  std::thread other([this] {
    pollfd fd = {pipe_[0], POLLIN, 0};
    EXPECT_EQ(kernel_.poll(&fd, 1, 1).value(), 0);
  });
  other.join();
  EXPECT_TRUE(kernel_.holding());
}

TEST_F(HoldKernelTest, KicksAreToldApartByTheirSender) {
  EXPECT_TRUE(kernel_.kill(::getpid(), 0).has_value());
  std::thread helper([this] {
    EXPECT_TRUE(kernel_.tgkill(::getpid(), ::getpid(), 0).has_value());
    EXPECT_TRUE(kernel_.kill(::getpid(), 0).has_value());
  });
  helper.join();
  EXPECT_EQ(kernel_.returned(Point::kKickToHelper), 1u);
  EXPECT_EQ(kernel_.returned(Point::kKickToLoop), 2u);
}

TEST_F(HoldKernelTest, TheHelpersWaitIsRecordedWithItsTimes) {
  const io_context_t ctx = kernel_.io_setup(1).value();
  const timespec brief = {0, 2'000'000};
  std::thread helper([&] {
    io_event event;
    EXPECT_EQ(kernel_.io_getevents(ctx, 1, 1, &event, &brief).value(), 0);
  });
  helper.join();
  EXPECT_EQ(kernel_.returned(Point::kHelperWait), 1u);
  EXPECT_NE(kernel_.thread(Point::kHelperWait), ::gettid());
  EXPECT_GE(kernel_.last_returned(Point::kHelperWait) - kernel_.last_entered(Point::kHelperWait),
            Nanoseconds(2'000'000));
  EXPECT_TRUE(kernel_.io_destroy(ctx).has_value());
}

}  // namespace
}  // namespace pollux
