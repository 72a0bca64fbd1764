// The masked coordination call by call: who is signalled when, which mask each sleep opens, when
// the helper sleeps where, and what every errno leads to.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "tests/event/helper_fixture.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::Return;

class MaskedCoordinationTest : public HelperFixture {
 protected:
  MaskedCoordinationTest() : HelperFixture(CoordinationKind::kMasked) {
    main_tid_ = linux_.gettid();
    ON_CALL(kernel_, io_pgetevents)
        .WillByDefault([this](io_context_t, long, long, io_event* events, const timespec*,
                              const sigset_t*) { return ring_.Sleep(events); });
    ON_CALL(kernel_, tgkill).WillByDefault([this](pid_t, pid_t tid, int) {
      if (tid == main_tid_) {
        if (on_loop_kick_) on_loop_kick_();
        loop_kicks_.Add();
      } else {
        helper_kicks_.Add();
        ring_.Fail(EINTR);
      }
      return Status();
    });
    EXPECT_CALL(kernel_, kill).Times(0);          // never to the process
    EXPECT_CALL(kernel_, io_getevents).Times(0);  // never without a mask
  }
  ~MaskedCoordinationTest() override { coordination_.reset(); }

  pid_t main_tid_ = 0;
  std::function<void()> on_loop_kick_;
  Counter loop_kicks_;
  Counter helper_kicks_;
};

// --- The helper's making

TEST_F(MaskedCoordinationTest, HelperIsMadeOnceAtTheFirstRead) {
  EXPECT_CALL(kernel_, thread_create).Times(0);
  Start();
  EXPECT_TRUE(Wait(milliseconds(1)));
  ::testing::Mock::VerifyAndClearExpectations(&kernel_);
  EXPECT_CALL(kernel_, thread_create).Times(1);
  EXPECT_TRUE(BeforeSubmit(1));
  EXPECT_TRUE(BeforeSubmit(1));
}

TEST_F(MaskedCoordinationTest, NoThreadToBeHadIsToldAndTriedAgain) {
  Start();
  EXPECT_CALL(kernel_, thread_create).WillOnce(Return(Err(EAGAIN, "pthread_create")));
  EXPECT_EQ(BeforeSubmit(1).error().code, EAGAIN);
  ::testing::Mock::VerifyAndClearExpectations(&kernel_);
  EXPECT_TRUE(BeforeSubmit(1));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});  // the refused one was not counted: after this the helper parks
  loop_kicks_.Await(1);
  parks_.Await(parks + 1);
  EXPECT_EQ(ring_.sleeps(), 1);
}

TEST_F(MaskedCoordinationTest, SignalsAreBlockedBeforeTheHelperIsMade) {
  ::testing::InSequence order;
  EXPECT_CALL(kernel_, pthread_sigmask(SIG_BLOCK, _, NotNull())).Times(1);
  EXPECT_CALL(kernel_, thread_create).Times(1);
  EXPECT_CALL(kernel_, pthread_sigmask).Times(::testing::AnyNumber());
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
}

// --- The two sleeps

TEST_F(MaskedCoordinationTest, LoopSleepsWithTheSignalsOpen) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(7)));
  EXPECT_EQ(handler_.last_timeout, milliseconds(7));
  EXPECT_EQ(handler_.last_mask, &signals_.wait_mask());
  EXPECT_EQ(sigismember(&signals_.wait_mask(), SIGUSR1), 0);
}

TEST_F(MaskedCoordinationTest, HelperSleepsForOneWithoutTimeoutAndOpensSigusr1Only) {
  Start();
  Counter asked;
  EXPECT_CALL(kernel_, io_pgetevents(ctx_, 1, kDepth, NotNull(), IsNull(), NotNull()))
      .WillRepeatedly(
          [&](io_context_t, long, long, io_event* events, const timespec*, const sigset_t* mask) {
            EXPECT_EQ(sigismember(mask, SIGUSR1), 0);
            for (const int closed : {SIGALRM, SIGTERM, SIGINT, SIGHUP}) {
              EXPECT_EQ(sigismember(mask, closed), 1) << closed;
            }
            asked.Add();
            return ring_.Sleep(events);
          });
  EXPECT_TRUE(BeforeSubmit(1));
  asked.Await(1);
  coordination_->Stop();  // before `asked` goes
}

TEST_F(MaskedCoordinationTest, HelperParksWhileNothingIsPending) {
  Start();
  EXPECT_TRUE(BeforeSubmit(2));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});
  ring_.Complete({2});
  parks_.Await(parks + 1);
  EXPECT_EQ(ring_.sleeps(), 2);
  EXPECT_TRUE(BeforeSubmit(1));  // unparks it
  ring_.AwaitSleeps(3);
}

TEST_F(MaskedCoordinationTest, ReadThatIsAddedDuringTheSleepNeedsNoKick) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  EXPECT_TRUE(BeforeSubmit(2));
  EXPECT_EQ(helper_kicks_.count(), 0);
  ring_.Complete({1, 2, 3});
  loop_kicks_.Await(1);
  EXPECT_THAT(Collect(), ElementsAre(1, 2, 3));
}

TEST_F(MaskedCoordinationTest, InterruptedOrEmptySleepIsSleptAgain) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.Fail(EINTR);
  ring_.Complete({});
  ring_.AwaitSleeps(3);
  EXPECT_EQ(loop_kicks_.count(), 0);
  ring_.Complete({7});
  loop_kicks_.Await(1);
  EXPECT_THAT(Collect(), ElementsAre(7));
}

// --- Handing over

TEST_F(MaskedCoordinationTest, CompletionIsThereBeforeTheKickThatAnnouncesIt) {
  Start();
  std::vector<unsigned long> found;
  on_loop_kick_ = [&] { found = Collect(); };
  EXPECT_TRUE(BeforeSubmit(2));
  ring_.Complete({5, 6});
  loop_kicks_.Await(1);
  EXPECT_THAT(found, ElementsAre(5, 6));
}

TEST_F(MaskedCoordinationTest, KickGoesToTheLoopsThread) {
  Start();
  EXPECT_CALL(kernel_, tgkill(kPid, main_tid_, SIGUSR1)).WillOnce([this](auto...) {
    loop_kicks_.Add();
    return Status();
  });
  EXPECT_TRUE(BeforeSubmit(1));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({5});
  loop_kicks_.Await(1);
  parks_.Await(parks + 1);
  EXPECT_CALL(kernel_, tgkill).Times(0);  // parked, the helper needs none to stop
  coordination_->Stop();
}

TEST_F(MaskedCoordinationTest, SecondBatchBeforeTheFirstIsCollectedNeedsNoSecondKick) {
  Start();
  EXPECT_TRUE(BeforeSubmit(3));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});
  ring_.Complete({2, 3});
  parks_.Await(parks + 1);
  EXPECT_THAT(Collect(), ElementsAre(1, 2, 3));
  EXPECT_EQ(loop_kicks_.count(), 1);
  EXPECT_TRUE(BeforeSubmit(1));  // but the next after a look at an empty store does
  ring_.Complete({4});
  loop_kicks_.Await(2);
  EXPECT_THAT(Collect(), ElementsAre(4));
}

TEST_F(MaskedCoordinationTest, CollectGoesOnWhereAFullOneStopped) {
  Start();
  EXPECT_TRUE(BeforeSubmit(4));
  ring_.Complete({1, 2, 3, 4});
  loop_kicks_.Await(1);
  EXPECT_THAT(Collect(3), ElementsAre(1, 2, 3));
  EXPECT_THAT(Collect(3), ElementsAre(4));
  EXPECT_THAT(Collect(3), ElementsAre());
}

TEST_F(MaskedCoordinationTest, StoreGoesRoundForManyReads) {
  Start();
  for (unsigned long i = 0; i < 50; ++i) {
    EXPECT_TRUE(BeforeSubmit(3));
    ring_.Complete({i, i + 100, i + 200});
    loop_kicks_.Await(static_cast<int>(i) + 1);
    EXPECT_THAT(Collect(), ElementsAre(i, i + 100, i + 200));
  }
}

TEST_F(MaskedCoordinationTest, CompletionsAreDatedByTheHelpersReturn) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  Pass(milliseconds(5));
  const TimePoint returned = now();
  ring_.Complete({1});
  loop_kicks_.Await(1);
  Pass(milliseconds(5));
  std::array<Completion, 2> out;
  ASSERT_EQ(coordination_->Collect(out), 1u);
  EXPECT_EQ(out[0].seen, returned);
}

TEST_F(MaskedCoordinationTest, TurnWithoutCompletionsTakesNoLock) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  const int before = locks_;
  for (int turn = 0; turn < 10; ++turn) {
    EXPECT_TRUE(Wait(milliseconds(1)));
    EXPECT_THAT(Collect(), ElementsAre());
  }
  EXPECT_EQ(locks_, before);
}

// --- Submissions that fail

TEST_F(MaskedCoordinationTest, HelperWhoseReadWasWithdrawnPicksUpTheNextOne) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  coordination_->SubmitFailed(1);
  EXPECT_TRUE(BeforeSubmit(1));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({9});
  loop_kicks_.Await(1);
  EXPECT_THAT(Collect(), ElementsAre(9));
  parks_.Await(parks + 1);
  EXPECT_EQ(ring_.sleeps(), 1);
}

TEST_F(MaskedCoordinationTest, HelperWhoseReadWasWithdrawnCanBeStopped) {
  Start();
  EXPECT_TRUE(BeforeSubmit(2));
  ring_.AwaitSleeps(1);
  coordination_->SubmitFailed(2);
  coordination_->Stop();
  EXPECT_EQ(helper_kicks_.count(), 1);
}

TEST_F(MaskedCoordinationTest, PartlyFailedSubmitLeavesTheRestPending) {
  Start();
  EXPECT_TRUE(BeforeSubmit(3));
  coordination_->SubmitFailed(2);
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});
  loop_kicks_.Await(1);
  parks_.Await(parks + 1);
  EXPECT_THAT(Collect(), ElementsAre(1));
}

// --- Waking and stopping

TEST_F(MaskedCoordinationTest, WakeKicksTheLoopsThread) {
  Start();
  EXPECT_CALL(kernel_, tgkill(kPid, main_tid_, SIGUSR1)).WillOnce(Return(Status()));
  coordination_->Wake();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_EQ(coordination_->stats().loop_kicks, 1u);
}

TEST_F(MaskedCoordinationTest, StopEndsASleepingHelperWithAKickToItsThread) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  coordination_->Stop();
  EXPECT_EQ(helper_kicks_.count(), 1);
  EXPECT_EQ(coordination_->stats().helper_kicks, 1u);
  coordination_->Stop();  // again: no effect
  EXPECT_EQ(helper_kicks_.count(), 1);
}

TEST_F(MaskedCoordinationTest, StopEndsAParkedHelper) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});
  parks_.Await(parks + 1);
  coordination_->Stop();
  EXPECT_EQ(ring_.sleeps(), 1);
  EXPECT_EQ(helper_kicks_.count(), 0);     // it needs none
  EXPECT_THAT(Collect(), ElementsAre(1));  // what was reaped is not lost
}

TEST_F(MaskedCoordinationTest, StopMayFindTheHelperGoneAlready) {
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.AwaitSleeps(1);
  EXPECT_CALL(kernel_, tgkill).WillOnce([&](pid_t, pid_t, int) {
    ring_.Fail(EINTR);  // its sleep ended before the kick came
    return Status(Err(ESRCH, "tgkill"));
  });
  coordination_->Stop();
}

TEST_F(MaskedCoordinationTest, StopWithoutAHelperMakesNoCall) {
  Start();
  EXPECT_CALL(kernel_, tgkill).Times(0);
  EXPECT_CALL(kernel_, thread_join).Times(0);
  coordination_->Stop();
}

// --- Errors

TEST_F(MaskedCoordinationTest, ErrorOfTheWaitIsReturned) {
  Start();
  for (const int code : {EINTR, ENOMEM, EINVAL}) {
    handler_.wait_error = code;
    EXPECT_EQ(Wait().error().code, code);
  }
}

TEST_F(MaskedCoordinationTest, HelperThatCannotReapEndsAndTellsTheLoop) {
  Start();
  EXPECT_TRUE(BeforeSubmit(2));
  ring_.Complete({1});
  loop_kicks_.Await(1);
  ring_.Fail(ENOSYS);
  std::vector<unsigned long> collected;
  while (Wait(milliseconds(1))) {  // the wait is scripted: it returns at once
    for (const unsigned long result : Collect()) collected.push_back(result);
  }
  EXPECT_THAT(collected, ElementsAre(1));  // what was reaped before is not lost
  EXPECT_EQ(Wait(milliseconds(1)).error().code, ENOSYS);
}

TEST_F(MaskedCoordinationTest, StartReturnsWhatSigactionRefused) {
  ON_CALL(kernel_, sigaction).WillByDefault(Return(Err(EINVAL, "sigaction")));
  EXPECT_EQ(coordination_->Start().error().code, EINVAL);
}

// --- Statistics

// One completion that came, and was kicked for, while a sleep went on to its time-out.
class MaskedTimeoutTest : public MaskedCoordinationTest {
 protected:
  void SleepThroughOneCompletion() {
    Start();
    EXPECT_TRUE(BeforeSubmit(1));
    const int parks = ParksBeforeSleep(1);
    ring_.Complete({1});
    parks_.Await(parks + 1);  // it has kicked, and has nothing more to wait for
    EXPECT_TRUE(Wait(milliseconds(1000)));
  }
  void PendingAre(std::vector<int> signums) {
    ON_CALL(kernel_, sigpending).WillByDefault([signums](sigset_t* out) {
      sigemptyset(out);
      for (const int signum : signums) sigaddset(out, signum);
      return Status();
    });
  }
};

TEST_F(MaskedTimeoutTest, KickThatWasSentAndIsNowhereIsATimeoutRescue) {
  PendingAre({SIGTERM});
  SleepThroughOneCompletion();
  EXPECT_THAT(Collect(), ElementsAre(1));
  EXPECT_EQ(coordination_->stats().timeout_rescues, 1u);
  EXPECT_EQ(coordination_->stats().timeouts, 1u);
}

TEST_F(MaskedTimeoutTest, KickThatIsStillPendingCameWithTheEndOfTheTimeoutAndIsNone) {
  PendingAre({SIGUSR1});
  SleepThroughOneCompletion();
  EXPECT_THAT(Collect(), ElementsAre(1));
  EXPECT_EQ(coordination_->stats().timeout_rescues, 0u);
  EXPECT_EQ(coordination_->stats().timeouts, 1u);
}

TEST_F(MaskedTimeoutTest, KickThatIsYetToBeSentIsNone) {
  PendingAre({});
  std::promise<void> go_on;
  on_loop_kick_ = [held = go_on.get_future().share()] { held.wait(); };
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  ring_.Complete({1});
  std::vector<unsigned long> collected;
  while (collected.empty()) {  // until the helper has filled the store
    EXPECT_TRUE(Wait(milliseconds(1000)));
    collected = Collect();
  }
  EXPECT_EQ(coordination_->stats().timeout_rescues, 0u);
  go_on.set_value();
}

TEST_F(MaskedTimeoutTest, ALookWithoutSleepCannotHaveMissedAKick) {
  PendingAre({});
  EXPECT_CALL(kernel_, sigpending).Times(0);
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  const int parks = ParksBeforeSleep(1);
  ring_.Complete({1});
  parks_.Await(parks + 1);
  EXPECT_TRUE(Wait(milliseconds(0)));
  EXPECT_THAT(Collect(), ElementsAre(1));
  EXPECT_EQ(coordination_->stats().timeout_rescues, 0u);
}

}  // namespace
}  // namespace pollux
