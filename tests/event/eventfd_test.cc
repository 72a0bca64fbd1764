// The eventfd coordination call by call: what is opened, what each wait and each look at the ring
// passes to the kernel, in which order, and what every errno leads to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include "core/event/coordination.h"
#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/event/scripted_handler.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::InSequence;
using ::testing::NiceMock;
using ::testing::NotNull;
using ::testing::Pointee;
using ::testing::Return;

constexpr int kEventfd = 44;
constexpr pid_t kPid = 100;
constexpr pid_t kTid = 101;

class EventfdCoordinationTest : public ::testing::Test {
 protected:
  static constexpr unsigned kDepth = 4;

  EventfdCoordinationTest() {
    kernel_.DelegateTo(linux_);  // for words
    ON_CALL(kernel_, eventfd).WillByDefault(Return(kEventfd));
    ON_CALL(kernel_, close).WillByDefault(Return(Status()));
    ON_CALL(kernel_, getpid).WillByDefault(Return(kPid));
    ON_CALL(kernel_, gettid).WillByDefault(Return(kTid));
    ON_CALL(kernel_, sigaction).WillByDefault(Return(Status()));
    ON_CALL(kernel_, pthread_sigmask).WillByDefault(Return(Status()));
    ON_CALL(kernel_, read).WillByDefault(Return(size_t{8}));
    ON_CALL(kernel_, io_getevents).WillByDefault(Return(0));
    coordination_ =
        std::move(*MakeCoordination(CoordinationKind::kEventfd, kernel_, handler_, signals_));
  }
  void Start() {
    ASSERT_TRUE(coordination_->Start());
    coordination_->Attach(ctx_, kDepth);
  }
  // An io_getevents that finds completions numbered from `first`.
  auto Finds(int count, unsigned long first) {
    return [count, first](io_context_t, long, long nr, io_event* events, const timespec*) {
      EXPECT_LE(count, nr);
      for (int i = 0; i < count; ++i) events[i].res = first + static_cast<unsigned long>(i);
      return Result<int>(count);
    };
  }
  Result<size_t> Wait(std::optional<Nanoseconds> timeout = std::nullopt) {
    return coordination_->Wait(ready_, timeout);
  }
  std::vector<unsigned long> Collect(size_t room = 8) {
    std::vector<Completion> out(room);
    out.resize(coordination_->Collect(out));
    std::vector<unsigned long> results;
    for (const Completion& completion : out) results.push_back(completion.event.res);
    return results;
  }
  const CoordinationStats& stats() { return coordination_->stats(); }

  const FdReady own_{kCoordinationToken, POLLIN};
  LinuxKernel linux_;
  NiceMock<MockKernel> kernel_;
  ScriptedHandler handler_;
  Signals signals_{kernel_};
  std::unique_ptr<Coordination> coordination_;
  std::array<FdReady, 8> ready_;
  int context_ = 0;
  io_context_t ctx_ = reinterpret_cast<io_context_t>(&context_);
};

// --- Start

TEST_F(EventfdCoordinationTest, StartOpensANonBlockingEventfdAndWatchesIt) {
  EXPECT_CALL(kernel_, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)).WillOnce(Return(kEventfd));
  Start();
  ASSERT_EQ(handler_.added.size(), 1u);
  EXPECT_EQ(handler_.added[0].fd, kEventfd);
  EXPECT_EQ(handler_.added[0].events, static_cast<uint32_t>(POLLIN));
  EXPECT_EQ(handler_.added[0].token, kCoordinationToken);
  EXPECT_CALL(kernel_, close(kEventfd)).Times(1);
  coordination_.reset();
  EXPECT_THAT(handler_.removed, ElementsAre(kEventfd));
}

TEST_F(EventfdCoordinationTest, EachErrnoOfEventfdIsReturnedByStart) {
  for (const int code : {EMFILE, ENFILE, ENODEV, ENOMEM}) {
    EXPECT_CALL(kernel_, eventfd).WillOnce(Return(Err(code, "eventfd")));
    EXPECT_EQ(coordination_->Start().error().code, code);
  }
}

TEST_F(EventfdCoordinationTest, EventfdThatCannotBeWatchedIsClosed) {
  for (const int code : {ENOMEM, ENOSPC}) {
    handler_.add_error = code;
    EXPECT_CALL(kernel_, close(kEventfd)).Times(1);
    EXPECT_EQ(coordination_->Start().error().code, code);
    ::testing::Mock::VerifyAndClearExpectations(&kernel_);
  }
  EXPECT_THAT(handler_.removed, ElementsAre());
}

TEST_F(EventfdCoordinationTest, StartReturnsWhatSigactionRefused) {
  ON_CALL(kernel_, sigaction).WillByDefault(Return(Err(EINVAL, "sigaction")));
  EXPECT_CALL(kernel_, eventfd).Times(0);
  EXPECT_EQ(coordination_->Start().error().code, EINVAL);
}

// --- Submitting

TEST_F(EventfdCoordinationTest, EveryIocbIsMarkedWithTheEventfdAndNoThreadIsMade) {
  Start();
  std::array<iocb, 2> iocbs{};
  std::array<iocb*, 2> pointers{&iocbs[0], &iocbs[1]};
  EXPECT_CALL(kernel_, thread_create).Times(0);
  EXPECT_TRUE(coordination_->BeforeSubmit(pointers));
  for (const iocb& request : iocbs) {
    EXPECT_EQ(request.u.c.flags, 1u);  // IOCB_FLAG_RESFD
    EXPECT_EQ(request.u.c.resfd, static_cast<unsigned>(kEventfd));
  }
}

// --- Waiting and collecting

TEST_F(EventfdCoordinationTest, WaitsWithTheSignalsOpenAndTheTimeoutAsGiven) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(7)));
  EXPECT_EQ(handler_.last_timeout, milliseconds(7));
  EXPECT_EQ(handler_.last_mask, &signals_.wait_mask());
  EXPECT_TRUE(Wait(std::nullopt));
  EXPECT_EQ(handler_.last_timeout, std::nullopt);
}

TEST_F(EventfdCoordinationTest, DrainsTheEventfdBeforeItReapsToEmpty) {
  Start();
  handler_.reports = {own_};
  InSequence order;
  EXPECT_CALL(kernel_, read(kEventfd, NotNull(), 8)).WillOnce(Return(size_t{8}));
  EXPECT_CALL(kernel_, io_getevents(ctx_, 0, _, NotNull(), NotNull())).WillOnce(Finds(2, 1));
  EXPECT_CALL(kernel_, io_getevents(ctx_, 0, _, NotNull(), NotNull())).WillOnce(Finds(1, 3));
  EXPECT_CALL(kernel_, io_getevents(ctx_, 0, _, NotNull(), NotNull())).WillOnce(Return(0));
  EXPECT_EQ(Wait().value_or(9), 0u);
  EXPECT_THAT(Collect(), ElementsAre(1, 2, 3));
}

TEST_F(EventfdCoordinationTest, TheRingIsAskedWithoutSleeping) {
  Start();
  EXPECT_CALL(kernel_, io_getevents)
      .WillOnce([](io_context_t, long min, long, io_event*, const timespec* timeout) {
        EXPECT_EQ(min, 0);
        EXPECT_EQ(timeout->tv_sec, 0);
        EXPECT_EQ(timeout->tv_nsec, 0);
        return Result<int>(0);
      });
  EXPECT_THAT(Collect(), ElementsAre());
}

TEST_F(EventfdCoordinationTest, TheRingIsLookedAtWhateverTheWaitReturned) {
  Start();
  EXPECT_CALL(kernel_, read).Times(0);  // nothing announced, nothing to drain
  for (const int code : {0, EINTR}) {
    handler_.wait_error = code;
    (void)Wait(milliseconds(1));
    EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
    EXPECT_THAT(Collect(), ElementsAre(5));
  }
}

TEST_F(EventfdCoordinationTest, CollectGoesOnWhereAFullOneStopped) {
  Start();
  EXPECT_CALL(kernel_, io_getevents(_, _, 2, _, _)).WillOnce(Finds(2, 1));
  EXPECT_THAT(Collect(2), ElementsAre(1, 2));
  EXPECT_CALL(kernel_, io_getevents(_, _, 2, _, _)).WillOnce(Finds(1, 3));
  EXPECT_CALL(kernel_, io_getevents(_, _, 1, _, _)).WillOnce(Return(0));
  EXPECT_THAT(Collect(2), ElementsAre(3));
}

TEST_F(EventfdCoordinationTest, NeverAsksForMoreThanIocbsCanBeOut) {
  Start();
  EXPECT_CALL(kernel_, io_getevents(_, _, kDepth, _, _)).WillOnce(Return(0));
  EXPECT_THAT(Collect(100), ElementsAre());
}

TEST_F(EventfdCoordinationTest, OwnDescriptorDoesNotAppearAmongTheReady) {
  Start();
  handler_.reports = {{1, POLLIN}, own_, {2, POLLOUT}, {3, POLLHUP}};
  ASSERT_EQ(Wait().value_or(9), 3u);
  EXPECT_EQ(ready_[0].token, 1u);
  EXPECT_EQ(ready_[1].token, 2u);
  EXPECT_EQ(ready_[1].revents, static_cast<uint32_t>(POLLOUT));
  EXPECT_EQ(ready_[2].token, 3u);
}

TEST_F(EventfdCoordinationTest, EventfdThatCannotBeDrainedNowIsNoHarm) {
  Start();
  handler_.reports = {own_};
  for (const int code : {EAGAIN, EINTR}) {
    EXPECT_CALL(kernel_, read).WillOnce(Return(Err(code, "read")));
    EXPECT_EQ(Wait().value_or(9), 0u);
    EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
    EXPECT_THAT(Collect(), ElementsAre(5));
  }
}

TEST_F(EventfdCoordinationTest, CompletionsAreDatedByTheReturnOfTheWait) {
  Start();
  EXPECT_CALL(kernel_, clock_gettime(CLOCK_MONOTONIC)).WillOnce(Return(timespec{77, 5}));
  EXPECT_TRUE(Wait());
  EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
  std::array<Completion, 2> out;
  ASSERT_EQ(coordination_->Collect(out), 1u);
  EXPECT_EQ(out[0].seen, TimePoint(std::chrono::seconds(77) + Nanoseconds(5)));
}

TEST_F(EventfdCoordinationTest, ErrorOfTheWaitIsReturned) {
  Start();
  for (const int code : {EINTR, ENOMEM, EINVAL}) {
    handler_.wait_error = code;
    EXPECT_EQ(Wait().error().code, code);
  }
}

TEST_F(EventfdCoordinationTest, InterruptedReapIsRepeatedWithoutSleepingInBetween) {
  Start();
  EXPECT_CALL(kernel_, io_getevents)
      .WillOnce(Finds(1, 1))
      .WillOnce(Return(Err(EINTR, "io_getevents")));
  EXPECT_THAT(Collect(), ElementsAre(1));
  EXPECT_TRUE(Wait(milliseconds(500)));
  EXPECT_EQ(handler_.last_timeout, Nanoseconds(0));
  EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 2)).WillOnce(Return(0));
  EXPECT_THAT(Collect(), ElementsAre(2));
  EXPECT_TRUE(Wait(milliseconds(500)));
  EXPECT_EQ(handler_.last_timeout, milliseconds(500));
}

TEST_F(EventfdCoordinationTest, ReapThatIsRefusedEndsTheLoop) {
  for (const int code : {EINVAL, EFAULT, ENOSYS}) {
    coordination_ =
        std::move(*MakeCoordination(CoordinationKind::kEventfd, kernel_, handler_, signals_));
    Start();
    EXPECT_CALL(kernel_, io_getevents).WillOnce(Return(Err(code, "io_getevents")));
    EXPECT_THAT(Collect(), ElementsAre());
    EXPECT_EQ(Wait().error().code, code);
  }
}

TEST_F(EventfdCoordinationTest, WithoutAContextThereIsNoRingToLookAt) {
  ASSERT_TRUE(coordination_->Start());
  EXPECT_CALL(kernel_, io_getevents).Times(0);
  EXPECT_THAT(Collect(), ElementsAre());
  coordination_->Attach(ctx_, kDepth);
  coordination_->Stop();
  EXPECT_THAT(Collect(), ElementsAre());
}

// --- Waking

TEST_F(EventfdCoordinationTest, WakeAddsOneToTheEventfd) {
  Start();
  EXPECT_CALL(kernel_, write(kEventfd, NotNull(), 8)).WillOnce([](int, const void* buf, size_t) {
    EXPECT_EQ(*static_cast<const uint64_t*>(buf), 1u);
    return Result<size_t>(8);
  });
  EXPECT_CALL(kernel_, kill).Times(0);
  EXPECT_CALL(kernel_, tgkill).Times(0);
  coordination_->Wake();
  EXPECT_TRUE(Wait());
  EXPECT_EQ(stats().loop_kicks, 1u);
}

TEST_F(EventfdCoordinationTest, FullEventfdIsReadableWhichIsEnough) {
  Start();
  EXPECT_CALL(kernel_, write).WillOnce(Return(Err(EAGAIN, "write")));
  EXPECT_CALL(kernel_, tgkill).Times(0);
  coordination_->Wake();
}

TEST_F(EventfdCoordinationTest, WakeThatCannotBeWrittenIsSentAsASignalToTheLoopsThread) {
  Start();
  for (const int code : {EINTR, EIO}) {
    EXPECT_CALL(kernel_, write).WillOnce(Return(Err(code, "write")));
    EXPECT_CALL(kernel_, tgkill(kPid, kTid, SIGUSR1)).WillOnce(Return(Status()));
    coordination_->Wake();
  }
}

// --- Statistics

TEST_F(EventfdCoordinationTest, CountsHowWaitsEnd) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(1)));  // a time-out
  EXPECT_TRUE(Wait(Nanoseconds(0)));   // a look: none
  handler_.reports = {{1, POLLIN}};
  EXPECT_TRUE(Wait(milliseconds(1)));
  handler_.wait_error = EINTR;
  EXPECT_FALSE(Wait(milliseconds(1)));
  EXPECT_EQ(stats().waits, 4u);
  EXPECT_EQ(stats().timeouts, 1u);
  EXPECT_EQ(stats().interrupted, 1u);
  EXPECT_EQ(stats().timeout_rescues, 0u);
}

TEST_F(EventfdCoordinationTest, CompletionThatNothingAnnouncedIsATimeoutRescue) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
  EXPECT_THAT(Collect(), ElementsAre(5));
  EXPECT_TRUE(Wait(milliseconds(1)));  // to its end, and the eventfd is silent
  EXPECT_EQ(stats().timeout_rescues, 1u);
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_EQ(stats().timeout_rescues, 1u);
}

TEST_F(EventfdCoordinationTest, CompletionThatCameJustAfterTheTimeoutIsNone) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
  EXPECT_THAT(Collect(), ElementsAre(5));
  handler_.reports = {own_};  // its announcement
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_EQ(stats().timeout_rescues, 0u);
}

TEST_F(EventfdCoordinationTest, AnnouncementMayTakeLongerThanALookOrAnotherEvent) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_CALL(kernel_, io_getevents).WillOnce(Finds(1, 5)).WillOnce(Return(0));
  EXPECT_THAT(Collect(), ElementsAre(5));
  EXPECT_TRUE(Wait(Nanoseconds(0)));
  handler_.reports = {{1, POLLIN}};
  EXPECT_TRUE(Wait(milliseconds(1)));
  handler_.reports = {own_};
  EXPECT_TRUE(Wait(milliseconds(1)));
  handler_.reports.clear();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_EQ(stats().timeout_rescues, 0u);
}

// --- The factory

TEST_F(EventfdCoordinationTest, WordsAndKindsBelongTogether) {
  for (const auto kind :
       {CoordinationKind::kPublished, CoordinationKind::kMasked, CoordinationKind::kEventfd}) {
    EXPECT_EQ(ParseCoordination(ToString(kind)), kind);
    handler_.name_ = "poll";
    EXPECT_EQ((*MakeCoordination(kind, kernel_, handler_, signals_))->kind(), kind);
  }
  EXPECT_EQ(ParseCoordination("signalfd"), std::nullopt);
  EXPECT_EQ(ParseCoordination(""), std::nullopt);
}

TEST_F(EventfdCoordinationTest, PublishedTakesNoHandlerButPoll) {
  handler_.name_ = "epoll";
  EXPECT_EQ(
      MakeCoordination(CoordinationKind::kPublished, kernel_, handler_, signals_).error().code,
      EINVAL);
}

}  // namespace
}  // namespace pollux
