// A turn of the loop: its order, how long it sleeps, what it measures, how it ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/event/event_loop.h"
#include "core/event/signals.h"
#include "tests/event/event_loop_fixture.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

using EventLoopTurnTest = EventLoopTest;

// --- The order of a turn

TEST_F(EventLoopTurnTest, DispatchesInTheOrderOfTheHeader) {
  SignalStateGuard restore;
  LinuxKernel linux_kernel;
  Signals signals(linux_kernel);
  ASSERT_TRUE(signals.Install(Signals::Delivery::kAnywhere));
  raise(SIGHUP);
  raise(SIGTERM);
  class LoggingSignals final : public SignalHandler {
   public:
    explicit LoggingSignals(std::vector<std::string>& log) : log_(log) {}
    void OnTerminate() override { log_.push_back("terminate"); }
    void OnHangup() override { log_.push_back("hangup"); }

   private:
    std::vector<std::string>& log_;
  } signal_handler(log_);
  loop_->SetSignalHandler(&signal_handler);

  NamedJob job([&] { Log("job"); });
  loop_->Post(job);
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_);
  NamedSource source([&] { Log("wake"); });
  loop_->AddWakeSource(&source);
  coordination_.completions = {Completed(1)};
  Callback callback = Logging("descriptor");
  Registration registration = Register(7, callback);
  coordination_.reports = {Ready(7)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("descriptor", "completion 1", "wake", "terminate", "hangup",
                                "timer", "job"));
}

TEST_F(EventLoopTurnTest, EverythingIsCollectedBeforeAnythingIsCalled) {
  Callback callback([&](uint32_t) {
    // Too late for this turn.
    coordination_.completions.push_back(Completed(2));
    Log("descriptor");
  });
  Registration registration = Register(7, callback);
  coordination_.completions = {Completed(1)};
  coordination_.reports = {Ready(7)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("descriptor", "completion 1"));
  Turn();
  EXPECT_THAT(log_, ElementsAre("descriptor", "completion 1", "completion 2"));
}

// ENOMEM: poll(2) had no memory for its copy of the set, which passes.
TEST_F(EventLoopTurnTest, WaitThatWasInterruptedOrHadNoMemoryIsLookedAtLikeAnyOther) {
  NamedSource source([&] { Log("wake"); });
  loop_->AddWakeSource(&source);
  for (const int code : {EINTR, ENOMEM}) {
    log_.clear();
    coordination_.error = code;
    coordination_.completions = {Completed(1)};
    Turn();
    EXPECT_THAT(log_, ElementsAre("completion 1", "wake"));
  }
}

TEST_F(EventLoopTurnTest, TimedOutWaitIsLookedAtLikeAnyOther) {
  coordination_.completions = {Completed(1)};
  NamedSource source([&] { Log("wake"); });
  loop_->AddWakeSource(&source);
  Turn();
  EXPECT_THAT(log_, ElementsAre("completion 1", "wake"));
}

TEST_F(EventLoopTurnTest, AnyOtherErrorOfTheWaitEndsTheLoop) {
  for (const int code : {EBADF, EINVAL}) {
    coordination_.error = code;
    EXPECT_EQ(loop_->Run().error().code, code);
  }
}

// --- Sleeping

TEST_F(EventLoopTurnTest, SleepsForEverIfNothingIsArmedOrPosted) {
  Turn();
  EXPECT_EQ(LastTimeout(), std::nullopt);
}

TEST_F(EventLoopTurnTest, SleepsUntilTheNextTimerAndFiresIt) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  coordination_.on_wait = [&] { clock_ += LastTimeout().value_or(seconds(9)); };
  Turn();
  EXPECT_EQ(LastTimeout(), milliseconds(20));
  EXPECT_THAT(log_, ElementsAre("timer"));
  EXPECT_EQ(loop_->now(), clock_);
}

TEST_F(EventLoopTurnTest, DeadlineThatHasPassedMeansNoSleepNotANegativeOne) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  clock_ += seconds(1);
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("timer"));
}

TEST_F(EventLoopTurnTest, TimeoutIsCountedFromTheWaitNotFromTheTurn) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  clock_ += milliseconds(15);  // a long turn
  Turn();
  EXPECT_EQ(LastTimeout(), milliseconds(5));
}

TEST_F(EventLoopTurnTest, FullBatchOfCompletionsIsFollowedByATurnWithoutSleep) {
  for (int i = 0; i < 300; ++i) coordination_.completions.push_back(Completed(1));
  Turn();
  const size_t first = log_.size();
  EXPECT_LT(first, 300u);  // a turn is bounded
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_EQ(log_.size(), 300u);
  Turn();
  EXPECT_EQ(LastTimeout(), std::nullopt);
}

// --- Wake sources and signals

TEST_F(EventLoopTurnTest, WakeSourceMayRemoveItselfAndOthersAndAddSome) {
  std::unique_ptr<NamedSource> first;
  std::unique_ptr<NamedSource> second;
  NamedSource third([&] { Log("third"); });
  first = std::make_unique<NamedSource>([&] {
    Log("first");
    loop_->RemoveWakeSource(first.get());
    loop_->RemoveWakeSource(second.get());
    second.reset();
    loop_->AddWakeSource(&third);
  });
  second = std::make_unique<NamedSource>([&] { Log("second"); });
  loop_->AddWakeSource(first.get());
  loop_->AddWakeSource(second.get());
  Turn();
  EXPECT_THAT(log_, ElementsAre("first"));
  Turn();
  EXPECT_THAT(log_, ElementsAre("first", "third"));
}

TEST_F(EventLoopTurnTest, EverySignalToTerminateIsHandedOnAndHangUpsOnce) {
  SignalStateGuard restore;
  LinuxKernel linux_kernel;
  Signals signals(linux_kernel);
  ASSERT_TRUE(signals.Install(Signals::Delivery::kAnywhere));
  class Counting final : public SignalHandler {
   public:
    void OnTerminate() override { ++terminate; }
    void OnHangup() override { ++hangup; }
    int terminate = 0;
    int hangup = 0;
  } counting;
  raise(SIGTERM);  // before there is a handler: kept
  Turn();
  loop_->SetSignalHandler(&counting);
  raise(SIGINT);
  raise(SIGHUP);
  raise(SIGHUP);
  Turn();
  EXPECT_EQ(counting.terminate, 2);
  EXPECT_EQ(counting.hangup, 1);
  Turn();
  EXPECT_EQ(counting.terminate, 2);
  EXPECT_EQ(counting.hangup, 1);
}

// --- Run, Stop, statistics

TEST_F(EventLoopTurnTest, RunTurnsUntilStopAndFinishesTheTurn) {
  NamedJob job([&] { Log("job"); });
  Callback callback([&](uint32_t) {
    loop_->Stop();
    loop_->Post(job);
  });
  Registration registration = Register(7, callback);
  int waits = 0;
  coordination_.on_wait = [&] {
    if (++waits == 3) coordination_.reports = {Ready(7)};
  };
  EXPECT_TRUE(loop_->Run());
  EXPECT_EQ(waits, 3);
  EXPECT_THAT(log_, ElementsAre("job"));
}

TEST_F(EventLoopTurnTest, StopBeforeRunIsNotForgotten) {
  loop_->Stop();
  EXPECT_TRUE(loop_->Run());
  EXPECT_THAT(coordination_.timeouts, IsEmpty());
}

TEST_F(EventLoopTurnTest, TurnIsMeasuredFromTheReturnOfAWaitToTheNext) {
  coordination_.on_wait = [&] { clock_ += seconds(5); };  // sleep is not part of a turn
  Callback callback([&](uint32_t) { clock_ += milliseconds(3); });
  Registration registration = Register(7, callback);
  coordination_.reports = {Ready(7)};
  Turn();
  Turn();
  EXPECT_EQ(loop_->stats().turns, 2u);
  EXPECT_EQ(loop_->stats().turn.count(), 1u);
  EXPECT_EQ(loop_->stats().turn.max(), milliseconds(3));
}

TEST_F(EventLoopTurnTest, CompletionDelayIsMeasuredAtItsDispatch) {
  coordination_.completions = {Completed(2), Completed(1)};  // collected from the back
  coordination_.on_wait = [&] { clock_ += milliseconds(2); };
  Turn();
  EXPECT_EQ(loop_->stats().completion_delay.count(), 2u);
  EXPECT_EQ(loop_->stats().completion_delay.max(), milliseconds(2));
}

}  // namespace
}  // namespace pollux
