// The two handlers: which call each makes with what, what becomes of every errno (on the mock), and
// that both mean the same by it (on the running kernel).
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <climits>
#include <set>

#include "core/event/fdevent_handler.h"
#include "fakes/mock_kernel.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::IsNull;
using ::testing::NiceMock;
using ::testing::NotNull;
using ::testing::Return;
using ::testing::StrictMock;
using ::testing::UnorderedElementsAre;

constexpr int kEpfd = 90;

MATCHER_P(IsReady, token, "") { return arg.token == static_cast<uint64_t>(token); }
MATCHER_P2(IsReady, token, revents, "") {
  return arg.token == static_cast<uint64_t>(token) && arg.revents == static_cast<uint32_t>(revents);
}
MATCHER_P2(IsEvent, events, token, "") {
  return arg->events == static_cast<uint32_t>(events) &&
         arg->data.u64 == static_cast<uint64_t>(token);
}

// --- poll(2)

class PollHandlerTest : public ::testing::Test {
 protected:
  // Makes the next poll(2) report `revents` for the descriptors named, in the order of the set.
  auto Reports(std::map<int, short> revents) {
    return [revents](pollfd* fds, nfds_t nfds, auto...) -> Result<int> {
      int count = 0;
      for (nfds_t i = 0; i < nfds; ++i) {
        const auto found = revents.find(fds[i].fd);
        fds[i].revents = found == revents.end() ? short{0} : found->second;
        if (fds[i].revents != 0) ++count;
      }
      return count;
    };
  }
  std::vector<FdReady> Wait(size_t room = 8) {
    std::vector<FdReady> ready(room);
    const Result<size_t> count = handler_->Wait(ready, milliseconds(5), nullptr);
    EXPECT_TRUE(count);
    ready.resize(count.value_or(0));
    return ready;
  }

  StrictMock<MockKernel> kernel_;
  std::unique_ptr<FdeventHandler> handler_ = MakePollHandler(kernel_);
};

TEST_F(PollHandlerTest, WaitsWithPollIfThereIsNoMask) {
  EXPECT_CALL(kernel_, poll(_, 0, 5)).WillOnce(Return(0));
  EXPECT_THAT(Wait(), IsEmpty());
}

TEST_F(PollHandlerTest, WaitsWithPpollIfThereIsAMask) {
  sigset_t mask{};
  sigaddset(&mask, SIGUSR2);
  EXPECT_CALL(kernel_, ppoll(_, 0, NotNull(), &mask))
      .WillOnce([](pollfd*, nfds_t, const timespec* timeout, const sigset_t*) -> Result<int> {
        EXPECT_EQ(timeout->tv_sec, 2);
        EXPECT_EQ(timeout->tv_nsec, 5);  // nanoseconds are not rounded
        return 0;
      });
  std::array<FdReady, 1> ready;
  const auto timeout = std::chrono::seconds(2) + Nanoseconds(5);
  EXPECT_EQ(handler_->Wait(ready, timeout, &mask).value_or(9), 0u);
}

TEST_F(PollHandlerTest, NoTimeoutSleepsForEver) {
  const sigset_t mask{};
  std::array<FdReady, 1> ready;
  EXPECT_CALL(kernel_, ppoll(_, _, IsNull(), _)).WillOnce(Return(0));
  EXPECT_TRUE(handler_->Wait(ready, std::nullopt, &mask));
  EXPECT_CALL(kernel_, poll(_, _, -1)).WillOnce(Return(0));
  EXPECT_TRUE(handler_->Wait(ready, std::nullopt, nullptr));
}

TEST_F(PollHandlerTest, TimeoutsAreRoundedUpAndNeverNegative) {
  const std::vector<std::pair<Nanoseconds, int>> cases = {
      {Nanoseconds(0), 0},  {Nanoseconds(-7), 0},        {Nanoseconds(1), 1},
      {milliseconds(1), 1}, {Nanoseconds(1'000'001), 2}, {Nanoseconds::max(), INT_MAX},
  };
  std::array<FdReady, 1> ready;
  for (const auto& [timeout, expected] : cases) {
    EXPECT_CALL(kernel_, poll(_, _, expected)).WillOnce(Return(0));
    EXPECT_TRUE(handler_->Wait(ready, timeout, nullptr));
  }
}

TEST_F(PollHandlerTest, NegativeTimeoutIsZeroForPpollWhichWouldRefuseIt) {
  const sigset_t mask{};
  std::array<FdReady, 1> ready;
  EXPECT_CALL(kernel_, ppoll)
      .WillOnce([](pollfd*, nfds_t, const timespec* timeout, const sigset_t*) -> Result<int> {
        EXPECT_EQ(timeout->tv_sec, 0);
        EXPECT_EQ(timeout->tv_nsec, 0);
        return 0;
      });
  EXPECT_TRUE(handler_->Wait(ready, Nanoseconds(-1), &mask));
}

TEST_F(PollHandlerTest, EveryErrnoOfTheWaitIsReturned) {
  const sigset_t mask{};
  std::array<FdReady, 1> ready;
  for (const int code : {EINTR, EINVAL, ENOMEM}) {
    EXPECT_CALL(kernel_, poll).WillOnce(Return(Err(code, "poll")));
    EXPECT_EQ(handler_->Wait(ready, milliseconds(1), nullptr).error().code, code);
    EXPECT_CALL(kernel_, ppoll).WillOnce(Return(Err(code, "ppoll")));
    EXPECT_EQ(handler_->Wait(ready, milliseconds(1), &mask).error().code, code);
  }
}

TEST_F(PollHandlerTest, SaysWhatEpollWouldSayToMisuse) {
  ASSERT_TRUE(handler_->Add(3, POLLIN, 30));
  EXPECT_EQ(handler_->Add(3, POLLIN, 31).error().code, EEXIST);
  EXPECT_EQ(handler_->Modify(4, POLLIN, 40).error().code, ENOENT);
  handler_->Remove(4);  // nothing to remove, nothing to happen
  EXPECT_CALL(kernel_, poll(_, 1, _)).WillOnce(Reports({{3, POLLIN}}));
  EXPECT_THAT(Wait(), ElementsAre(IsReady(30, POLLIN)));
}

TEST_F(PollHandlerTest, RemovingOneLeavesTheOthersInPlace) {
  for (int fd = 3; fd <= 6; ++fd) ASSERT_TRUE(handler_->Add(fd, POLLIN, fd * 10));
  handler_->Remove(4);
  ASSERT_TRUE(handler_->Modify(6, POLLOUT, 61));  // 6 took 4's place in the array
  EXPECT_CALL(kernel_, poll(_, 3, _))
      .WillOnce(Reports({{3, POLLIN}, {5, POLLIN}, {6, POLLOUT | POLLHUP}}));
  EXPECT_THAT(Wait(), UnorderedElementsAre(IsReady(30, POLLIN), IsReady(50, POLLIN),
                                           IsReady(61, POLLOUT | POLLHUP)));
  for (const int fd : {3, 5, 6}) handler_->Remove(fd);
  ASSERT_TRUE(handler_->Add(4, POLLIN, 41));
  EXPECT_CALL(kernel_, poll(_, 1, _)).WillOnce(Reports({{4, POLLNVAL}}));
  EXPECT_THAT(Wait(), ElementsAre(IsReady(41, POLLNVAL)));
}

TEST_F(PollHandlerTest, MoreReadyThanRoomTakesTurns) {
  std::map<int, short> all;
  for (int fd = 3; fd < 10; ++fd) {
    ASSERT_TRUE(handler_->Add(fd, POLLIN, fd));
    all[fd] = POLLIN;
  }
  std::multiset<uint64_t> seen;
  for (int wait = 0; wait < 7; ++wait) {
    EXPECT_CALL(kernel_, poll).WillOnce(Reports(all));
    const std::vector<FdReady> ready = Wait(3);
    EXPECT_EQ(ready.size(), 3u);
    for (const FdReady& entry : ready) seen.insert(entry.token);
  }
  for (int fd = 3; fd < 10; ++fd) EXPECT_EQ(seen.count(fd), 3u) << fd;
}

// --- epoll(7)

class EpollHandlerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    EXPECT_CALL(kernel_, epoll_create1(EPOLL_CLOEXEC)).WillOnce(Return(kEpfd));
    auto made = MakeEpollHandler(kernel_);
    ASSERT_TRUE(made);
    handler_ = std::move(*made);
    EXPECT_CALL(kernel_, close(kEpfd)).Times(1);
  }

  StrictMock<MockKernel> kernel_;
  std::unique_ptr<FdeventHandler> handler_;
};

TEST(EpollHandlerMakingTest, EveryErrnoOfEpollCreateIsReturned) {
  StrictMock<MockKernel> kernel;
  for (const int code : {EMFILE, ENFILE, ENOMEM}) {
    EXPECT_CALL(kernel, epoll_create1).WillOnce(Return(Err(code, "epoll_create1")));
    EXPECT_EQ(MakeEpollHandler(kernel).error().code, code);
  }
}

TEST_F(EpollHandlerTest, AddsLevelTriggeredUnderItsToken) {
  EXPECT_CALL(kernel_, epoll_ctl(kEpfd, EPOLL_CTL_ADD, 7, IsEvent(EPOLLIN | EPOLLRDHUP, 70)));
  EXPECT_TRUE(handler_->Add(7, POLLIN | POLLRDHUP, 70));
  EXPECT_CALL(kernel_, epoll_ctl(kEpfd, EPOLL_CTL_MOD, 7, IsEvent(0, 71)));
  EXPECT_TRUE(handler_->Modify(7, 0, 71));
  EXPECT_CALL(kernel_, epoll_ctl(kEpfd, EPOLL_CTL_DEL, 7, NotNull()));
  handler_->Remove(7);
}

TEST_F(EpollHandlerTest, EveryErrnoOfEpollCtlIsReturned) {
  for (const int code : {EBADF, EEXIST, ENOMEM, ENOSPC, EPERM}) {
    EXPECT_CALL(kernel_, epoll_ctl(_, EPOLL_CTL_ADD, _, _)).WillOnce(Return(Err(code, "epoll")));
    EXPECT_EQ(handler_->Add(7, POLLIN, 70).error().code, code);
  }
  for (const int code : {EBADF, ENOENT, ENOMEM}) {
    EXPECT_CALL(kernel_, epoll_ctl(_, EPOLL_CTL_MOD, _, _)).WillOnce(Return(Err(code, "epoll")));
    EXPECT_EQ(handler_->Modify(7, POLLIN, 70).error().code, code);
  }
}

TEST_F(EpollHandlerTest, RemovingWhatIsGoneIsHarmless) {
  for (const int code : {EBADF, ENOENT}) {
    EXPECT_CALL(kernel_, epoll_ctl(_, EPOLL_CTL_DEL, _, _)).WillOnce(Return(Err(code, "epoll")));
    handler_->Remove(7);
  }
}

TEST_F(EpollHandlerTest, WaitsForAsManyAsThereIsRoomForUnderTheMaskGiven) {
  const sigset_t mask{};
  EXPECT_CALL(kernel_, epoll_pwait(kEpfd, _, 4, 2, &mask))
      .WillOnce([](int, epoll_event* events, auto...) -> Result<int> {
        events[0] = {EPOLLIN, {.u64 = 70}};
        events[1] = {EPOLLOUT | EPOLLHUP, {.u64 = uint64_t{1} << 40}};
        return 2;
      });
  std::array<FdReady, 4> ready;
  EXPECT_EQ(handler_->Wait(ready, Nanoseconds(1'000'001), &mask).value_or(0), 2u);
  EXPECT_THAT(ready[0], IsReady(70, POLLIN));
  EXPECT_THAT(ready[1], IsReady(uint64_t{1} << 40, POLLOUT | POLLHUP));
  EXPECT_CALL(kernel_, epoll_pwait(kEpfd, _, 4, -1, nullptr)).WillOnce(Return(0));
  EXPECT_EQ(handler_->Wait(ready, std::nullopt, nullptr).value_or(9), 0u);
}

TEST_F(EpollHandlerTest, EveryErrnoOfTheWaitIsReturned) {
  std::array<FdReady, 1> ready;
  for (const int code : {EINTR, EINVAL, EBADF}) {
    EXPECT_CALL(kernel_, epoll_pwait).WillOnce(Return(Err(code, "epoll_pwait")));
    EXPECT_EQ(handler_->Wait(ready, milliseconds(1), nullptr).error().code, code);
  }
}

// --- Both, on the running kernel

class FdeventHandlerTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::string(GetParam()) == "poll") {
      handler_ = MakePollHandler(kernel_);
    } else {
      handler_ = std::move(*MakeEpollHandler(kernel_));
    }
    // SIGUSR1 as the coordinations have it: blocked, with an empty handler, opened by mask_.
    struct sigaction act {};
    act.sa_handler = [](int) {};
    ASSERT_TRUE(kernel_.sigaction(SIGUSR1, act));
    sigset_t usr1;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, usr1, &mask_));
    sigdelset(&mask_, SIGUSR1);
  }
  Result<size_t> Wait(Nanoseconds timeout) { return handler_->Wait(ready_, timeout, &mask_); }
  static bool Usr1Pending() {
    sigset_t pending;
    sigpending(&pending);
    return sigismember(&pending, SIGUSR1) == 1;
  }

  SignalStateGuard restore_;
  LinuxKernel kernel_;
  std::unique_ptr<FdeventHandler> handler_;
  std::array<FdReady, 4> ready_;
  sigset_t mask_{};
};

INSTANTIATE_TEST_SUITE_P(Both, FdeventHandlerTest, ::testing::Values("poll", "epoll"),
                         [](const auto& handler) { return std::string(handler.param); });

TEST_P(FdeventHandlerTest, KnowsItsName) { EXPECT_STREQ(handler_->name(), GetParam()); }

TEST_P(FdeventHandlerTest, ReportsAgainWhatWasNotConsumed) {
  Pipe pipe;
  ASSERT_TRUE(handler_->Add(pipe.read_end(), POLLIN, 5));
  EXPECT_EQ(Wait(Nanoseconds(0)).value_or(9), 0u);
  pipe.Write();
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(Wait(milliseconds(1000)).value_or(9), 1u);
    EXPECT_THAT(ready_[0], IsReady(5, POLLIN));
  }
  pipe.Read();
  EXPECT_EQ(Wait(Nanoseconds(0)).value_or(9), 0u);
  handler_->Remove(pipe.read_end());
}

TEST_P(FdeventHandlerTest, WithoutEventsOnlyErrorsAndHangUpsAreReported) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe2(fds.data(), O_CLOEXEC), 0);
  ASSERT_TRUE(handler_->Add(fds[0], 0, 5));
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  EXPECT_EQ(Wait(Nanoseconds(0)).value_or(9), 0u);
  close(fds[1]);
  ASSERT_EQ(Wait(milliseconds(1000)).value_or(9), 1u);
  EXPECT_THAT(ready_[0], IsReady(5, POLLHUP));
  handler_->Remove(fds[0]);
  close(fds[0]);
}

TEST_P(FdeventHandlerTest, ModifyChangesEventsAndToken) {
  Pipe pipe;
  ASSERT_TRUE(handler_->Add(pipe.write_end(), 0, 5));
  EXPECT_EQ(Wait(Nanoseconds(0)).value_or(9), 0u);
  ASSERT_TRUE(handler_->Modify(pipe.write_end(), POLLOUT, 6));
  ASSERT_EQ(Wait(Nanoseconds(0)).value_or(9), 1u);
  EXPECT_THAT(ready_[0], IsReady(6, POLLOUT));
  EXPECT_EQ(handler_->Add(pipe.write_end(), POLLOUT, 7).error().code, EEXIST);
  handler_->Remove(pipe.write_end());
  EXPECT_EQ(handler_->Modify(pipe.write_end(), POLLOUT, 7).error().code, ENOENT);
}

TEST_P(FdeventHandlerTest, NothingReadyStarvesWhenThereIsLittleRoom) {
  std::array<Pipe, 11> pipes;
  for (size_t i = 0; i < pipes.size(); ++i) {
    pipes[i].Write();
    ASSERT_TRUE(handler_->Add(pipes[i].read_end(), POLLIN, i));
  }
  std::set<uint64_t> seen;
  for (int wait = 0; wait < 6; ++wait) {
    const size_t count = Wait(Nanoseconds(0)).value_or(0);
    for (size_t i = 0; i < count; ++i) seen.insert(ready_[i].token);
  }
  EXPECT_EQ(seen.size(), pipes.size());
  for (const Pipe& pipe : pipes) handler_->Remove(pipe.read_end());
}

TEST_P(FdeventHandlerTest, SleepsNoShorterThanAsked) {
  const TimePoint begun = MonotonicNow(kernel_);
  EXPECT_EQ(Wait(Nanoseconds(1'500'000)).value_or(9), 0u);
  EXPECT_GE(MonotonicNow(kernel_) - begun, Nanoseconds(1'500'000));
}

TEST_P(FdeventHandlerTest, SignalThatWasPendingBeforeTheSleepEndsItAtOnce) {
  raise(SIGUSR1);
  ASSERT_TRUE(Usr1Pending());
  EXPECT_EQ(handler_->Wait(ready_, std::nullopt, &mask_).error().code, EINTR);
  EXPECT_FALSE(Usr1Pending());
}

TEST_P(FdeventHandlerTest, ReadyDescriptorHidesAPendingSignalAndLeavesItPending) {
  Pipe pipe;
  pipe.Write();
  ASSERT_TRUE(handler_->Add(pipe.read_end(), POLLIN, 5));
  raise(SIGUSR1);
  EXPECT_EQ(handler_->Wait(ready_, std::nullopt, &mask_).value_or(0), 1u);
  EXPECT_TRUE(Usr1Pending());
  handler_->Remove(pipe.read_end());
}

TEST_P(FdeventHandlerTest, LookWithoutSleepTellsOfAPendingSignalOnlyInPpoll) {
  raise(SIGUSR1);
  const Result<size_t> looked = Wait(Nanoseconds(0));
  if (std::string(GetParam()) == "poll") {
    EXPECT_EQ(looked.error().code, EINTR);
    EXPECT_FALSE(Usr1Pending());
  } else {
    EXPECT_EQ(looked.value_or(9), 0u);
    EXPECT_TRUE(Usr1Pending());
  }
}

}  // namespace
}  // namespace pollux
