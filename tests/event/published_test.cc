// The specimen call by call: that it does what 2006 did, defects included. Each test of a defect
// says its name as published.cc has it.
//
// Not in the thread sanitizer's build: its threads share plain variables, which is [shared job
// list], and the sanitizer would (rightly) report it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/event/helper_fixture.h"

#if !defined(__SANITIZE_THREAD__)

namespace pollux {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::InSequence;
using ::testing::IsNull;
using ::testing::NotNull;
using ::testing::Return;

class PublishedCoordinationTest : public HelperFixture {
 protected:
  PublishedCoordinationTest() : HelperFixture(CoordinationKind::kPublished) {
    main_tid_ = linux_.gettid();
    ON_CALL(kernel_, io_getevents)
        .WillByDefault([this](io_context_t, long, long, io_event* events, const timespec*) {
          return ring_.Sleep(events);
        });
    ON_CALL(kernel_, kill).WillByDefault([this](pid_t, int) {
      if (linux_.gettid() == main_tid_) {
        if (on_own_kick_) on_own_kick_();
        own_kicks_.Add();
      } else {
        loop_kicks_.Add();
      }
      return Status();
    });
    EXPECT_CALL(kernel_, tgkill).Times(0);
    EXPECT_CALL(kernel_, io_pgetevents).Times(0);
  }
  ~PublishedCoordinationTest() override { StopHelper(); }

  // Before what the helper uses goes out of scope.
  void StopHelper() {
    ring_.Close();  // should it be asleep: its second is over
    coordination_->Stop();
  }

  // Turns until the helper has gone to sleep `sleeps` times in all. One turn may not be enough:
  // that is [missed condition].
  void AwaitHelper(int sleeps) {
    while (ring_.sleeps() < sleeps) {
      EXPECT_TRUE(Wait(milliseconds(1)));
      std::this_thread::yield();
    }
  }

  // With one read out.
  void StartAndAwaitHelper() {
    Start();
    EXPECT_TRUE(BeforeSubmit(1));
    AwaitHelper(1);
  }

  // The helper, in its first sleep, takes this completion, kicks, and waits for more to do.
  void CompleteAndAwaitPark(unsigned long result) {
    const int parks = ParksBeforeSleep(1);
    ring_.Complete({result});
    loop_kicks_.Await(1);
    parks_.Await(parks + 1);
  }

  pid_t main_tid_ = 0;
  std::function<void()> on_own_kick_;
  Counter own_kicks_;   // sent by the main thread
  Counter loop_kicks_;  // sent by the helper
};

TEST_F(PublishedCoordinationTest, LostWakeUp_SignalsAreOpenEverywhere) {
  InSequence order;
  EXPECT_CALL(kernel_, pthread_sigmask(SIG_BLOCK, _, NotNull()));
  EXPECT_CALL(kernel_, pthread_sigmask(SIG_UNBLOCK, _, IsNull()))
      .WillOnce([](int, const sigset_t& set, sigset_t*) {
        EXPECT_EQ(sigismember(&set, SIGUSR1), 1);
        return Status();
      });
  Start();
}

TEST_F(PublishedCoordinationTest, LostWakeUp_NoMaskIsSwappedInForTheSleep) {
  Start();
  EXPECT_TRUE(Wait(milliseconds(7)));
  EXPECT_EQ(handler_.last_mask, nullptr);
  EXPECT_EQ(handler_.last_timeout, milliseconds(7));
}

TEST_F(PublishedCoordinationTest, HiddenByTime_NoSleepIsLongerThanASecond) {
  Start();
  EXPECT_TRUE(Wait(std::nullopt));
  EXPECT_EQ(handler_.last_timeout, seconds(1));
  EXPECT_TRUE(Wait(seconds(30)));
  EXPECT_EQ(handler_.last_timeout, seconds(1));
}

TEST_F(PublishedCoordinationTest, HelperSleepsForOneOrASecond) {
  Start();
  Counter asked;
  EXPECT_CALL(kernel_, io_getevents(ctx_, 1, kDepth, NotNull(), NotNull()))
      .WillRepeatedly([&](io_context_t, long, long, io_event* events, const timespec* timeout) {
        EXPECT_EQ(timeout->tv_sec, 1);
        EXPECT_EQ(timeout->tv_nsec, 0);
        asked.Add();
        return ring_.Sleep(events);
      });
  EXPECT_TRUE(BeforeSubmit(1));
  AwaitHelper(1);
  EXPECT_GE(asked.count(), 1);
  StopHelper();
}

TEST_F(PublishedCoordinationTest, HelperKillsTheProcessAfterABatch) {
  Start();
  EXPECT_TRUE(BeforeSubmit(2));
  AwaitHelper(1);
  EXPECT_CALL(kernel_, kill(kPid, SIGUSR1)).WillOnce([this](auto...) {
    loop_kicks_.Add();
    return Status();
  });
  ring_.Complete({1, 2});
  loop_kicks_.Await(1);
  EXPECT_THAT(Collect(), ElementsAre(1, 2));
}

TEST_F(PublishedCoordinationTest, KickToOneself_LoopKillsItsProcessAndWaitsForTheHelper) {
  StartAndAwaitHelper();
  // The kick does nothing to the helper; only this completion, which comes after it, ends its sleep
  // and with it the loop's wait for the mutex.
  on_own_kick_ = [this] { ring_.Complete({5}); };
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_THAT(Collect(), ElementsAre(5));
  EXPECT_EQ(own_kicks_.count(), 1);
  EXPECT_EQ(coordination_->stats().helper_kicks, 1u);
}

TEST_F(PublishedCoordinationTest, NoKickIsSentToAHelperThatIsNotAsleep) {
  StartAndAwaitHelper();
  CompleteAndAwaitPark(5);
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_THAT(Collect(), ElementsAre(5));
  EXPECT_EQ(own_kicks_.count(), 0);
}

TEST_F(PublishedCoordinationTest, AnySignal_InterruptionIsTakenForTheHelpersKick) {
  Counter loop_locks;
  before_lock_ = [&] {
    if (linux_.gettid() == main_tid_) loop_locks.Add();
  };
  StartAndAwaitHelper();
  handler_.wait_error = EINTR;  // an operator's SIGUSR1; the helper sleeps
  EXPECT_FALSE(Wait(milliseconds(1)));
  // The loop believes that the helper is done: it takes the mutex without a kick of its own, and
  // waits for as long as the disk likes.
  std::thread disk([&] {
    loop_locks.Await(1);
    ring_.Complete({5});
  });
  EXPECT_THAT(Collect(), ElementsAre(5));
  disk.join();
  EXPECT_EQ(own_kicks_.count(), 0);
  StopHelper();
}

TEST_F(PublishedCoordinationTest, MissedCondition_SignalBetweenLookAndWaitIsNotHeard) {
  Counter looked;
  Counter go_on;
  before_lock_ = [&] {
    if (linux_.gettid() == main_tid_) return;
    looked.Add();
    if (looked.count() == 1) go_on.Await(1);
  };
  ON_CALL(kernel_, thread_create).WillByDefault([&](const char* name, std::function<void()> body) {
    const Result<ThreadId> id = linux_.thread_create(name, std::move(body));
    looked.Await(1);  // nothing is pending: it is about to wait
    return id;
  });
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  EXPECT_TRUE(Wait(milliseconds(1)));  // signals
  go_on.Add();
  parks_.Await(1);  // and still it waits, with a read pending
  EXPECT_EQ(ring_.sleeps(), 0);

  AwaitHelper(1);  // a later turn's signal, in 2006 up to a second later, is heard
  StopHelper();
}

TEST_F(PublishedCoordinationTest, WakeKillsTheProcess) {
  Start();
  EXPECT_CALL(kernel_, kill(kPid, SIGUSR1)).WillOnce(Return(Status()));
  coordination_->Wake();
  EXPECT_TRUE(Wait(milliseconds(1)));
  EXPECT_EQ(coordination_->stats().loop_kicks, 1u);
}

TEST_F(PublishedCoordinationTest, CollectGoesOnWhereAFullOneStoppedAndRoundTheList) {
  Start();
  for (unsigned long i = 0; i < 20; ++i) {
    EXPECT_TRUE(BeforeSubmit(3));
    AwaitHelper(static_cast<int>(i) + 1);
    ring_.Complete({i, i + 100, i + 200});
    loop_kicks_.Await(static_cast<int>(i) + 1);
    EXPECT_THAT(Collect(2), ElementsAre(i, i + 100));
    EXPECT_THAT(Collect(2), ElementsAre(i + 200));
  }
}

TEST_F(PublishedCoordinationTest, NoThreadToBeHadIsToldAndNothingIsPending) {
  Start();
  EXPECT_CALL(kernel_, thread_create).WillOnce(Return(Err(EAGAIN, "pthread_create")));
  EXPECT_EQ(BeforeSubmit(1).error().code, EAGAIN);
  ::testing::Mock::VerifyAndClearExpectations(&kernel_);
  EXPECT_TRUE(BeforeSubmit(1));
  AwaitHelper(1);
  CompleteAndAwaitPark(1);
  EXPECT_EQ(ring_.sleeps(), 1);
}

TEST_F(PublishedCoordinationTest, FailedSubmitLeavesNothingPending) {
  Start();
  EXPECT_TRUE(BeforeSubmit(2));
  coordination_->SubmitFailed(1);
  AwaitHelper(1);
  CompleteAndAwaitPark(1);
  EXPECT_EQ(ring_.sleeps(), 1);
}

TEST_F(PublishedCoordinationTest, SignalsThatAreCountedAreLeftToTheMainThread) {
  Start();
  ON_CALL(kernel_, thread_create).WillByDefault([this](const char* name, auto body) {
    sigset_t inherited{};
    EXPECT_TRUE(linux_.pthread_sigmask(SIG_BLOCK, sigset_t{}, &inherited));
    for (const int signum : {SIGTERM, SIGINT, SIGHUP}) {
      EXPECT_EQ(sigismember(&inherited, signum), 1) << signum;
    }
    for (const int signum : {SIGUSR1, SIGALRM}) {
      EXPECT_EQ(sigismember(&inherited, signum), 0) << signum;
    }
    return linux_.thread_create(name, std::move(body));
  });
  EXPECT_TRUE(BeforeSubmit(1));
  sigset_t after{};
  EXPECT_TRUE(linux_.pthread_sigmask(SIG_BLOCK, sigset_t{}, &after));
  EXPECT_EQ(sigismember(&after, SIGTERM), 0);
}

TEST_F(PublishedCoordinationTest, StopIsHeardByAParkedHelper) {
  StartAndAwaitHelper();
  CompleteAndAwaitPark(1);
  coordination_->Stop();
  EXPECT_THAT(Collect(), ElementsAre(1));
}

TEST_F(PublishedCoordinationTest, StopIsHeardByAHelperThatIsAboutToWait) {
  Counter looked;
  Counter go_on;
  before_lock_ = [&] {
    if (linux_.gettid() == main_tid_) return;
    looked.Add();
    go_on.Await(1);
  };
  ON_CALL(kernel_, thread_create).WillByDefault([&](const char* name, std::function<void()> body) {
    const Result<ThreadId> id = linux_.thread_create(name, std::move(body));
    looked.Await(1);  // nothing is pending: it is about to wait
    return id;
  });
  ON_CALL(kernel_, thread_join).WillByDefault([&](ThreadId id) {
    go_on.Add();  // Stop has signalled, and nobody heard
    linux_.thread_join(id);
  });
  Start();
  EXPECT_TRUE(BeforeSubmit(1));
  StopHelper();  // hangs if it waits nevertheless
  EXPECT_EQ(ring_.sleeps(), 0);
}

TEST_F(PublishedCoordinationTest, HelperThatCannotReapEndsAndTheNextWaitTells) {
  StartAndAwaitHelper();
  ring_.Fail(EINTR);  // slept again
  ring_.Fail(EINVAL);
  while (Wait(milliseconds(1))) {  // the wait is scripted: it returns at once
  }
  EXPECT_EQ(Wait(milliseconds(1)).error().code, EINVAL);
}

TEST_F(PublishedCoordinationTest, ErrorOfTheWaitIsReturned) {
  Start();
  for (const int code : {EINTR, ENOMEM, EINVAL}) {
    handler_.wait_error = code;
    EXPECT_EQ(Wait().error().code, code);
  }
}

TEST_F(PublishedCoordinationTest, LostWakeUp_ShowsAsATimeoutRescue) {
  StartAndAwaitHelper();
  CompleteAndAwaitPark(1);
  EXPECT_TRUE(Wait(std::nullopt));  // returns 0 after its second: the kick came before it
  Pass(seconds(1));
  EXPECT_THAT(Collect(), ElementsAre(1));
  EXPECT_EQ(coordination_->stats().timeout_rescues, 1u);
}

}  // namespace
}  // namespace pollux

#endif
