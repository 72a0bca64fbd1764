// The loop above a coordination and a handler that the test scripts: what a turn collects, in which
// order it dispatches, and what a callback may do to the others.
#include "core/event/event_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/event/signals.h"
#include "fakes/mock_kernel.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::NiceMock;
using ::testing::Return;

class MockHandler : public FdeventHandler {
 public:
  MOCK_METHOD(const char*, name, (), (const, override));
  MOCK_METHOD(Status, Add, (int fd, uint32_t events, uint64_t token), (override));
  MOCK_METHOD(Status, Modify, (int fd, uint32_t events, uint64_t token), (override));
  MOCK_METHOD(void, Remove, (int fd), (override));
  MOCK_METHOD(Result<size_t>, Wait,
              (std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
               const sigset_t* sigmask),
              (override));
};

// Each Wait takes the next script entry; completions are collected from a queue.
class ScriptedCoordination final : public Coordination {
 public:
  CoordinationKind kind() const override { return CoordinationKind::kEventfd; }
  Status Start() override { return {}; }
  void Attach(io_context_t, unsigned) override {}
  Status BeforeSubmit(std::span<iocb*>) override { return {}; }
  void SubmitFailed(size_t) override {}
  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override {
    timeouts.push_back(timeout);
    if (on_wait) on_wait();
    if (error != 0) return Err(error, "wait");
    std::copy(reports.begin(), reports.end(), ready.begin());
    const size_t count = reports.size();
    reports.clear();
    return count;
  }
  size_t Collect(std::span<Completion> out) override {
    size_t count = 0;
    while (count < out.size() && !completions.empty()) {
      out[count++] = completions.back();
      completions.pop_back();
    }
    return count;
  }
  void Wake() override {}
  void Stop() override {}
  const CoordinationStats& stats() const override { return stats_; }

  std::function<void()> on_wait;
  int error = 0;
  std::vector<FdReady> reports;
  std::vector<Completion> completions;
  std::vector<std::optional<Nanoseconds>> timeouts;

 private:
  CoordinationStats stats_;
};

class Callback final : public FdeventCallback {
 public:
  explicit Callback(std::function<void(uint32_t)> call) : call_(std::move(call)) {}
  void OnFdevent(uint32_t revents) override { call_(revents); }

 private:
  std::function<void(uint32_t)> call_;
};

class NamedJob final : public Job {
 public:
  explicit NamedJob(std::function<void()> run) : run_(std::move(run)) {}
  void RunJob() override { run_(); }

 private:
  std::function<void()> run_;
};

class NamedSource final : public WakeSource {
 public:
  explicit NamedSource(std::function<void()> wake) : wake_(std::move(wake)) {}
  void OnWake() override { wake_(); }

 private:
  std::function<void()> wake_;
};

class EventLoopTest : public ::testing::Test, public CompletionHandler {
 protected:
  EventLoopTest() {
    ON_CALL(kernel_, clock_gettime).WillByDefault([this](clockid_t) {
      const auto ns = clock_.time_since_epoch().count();
      return timespec{ns / 1'000'000'000, ns % 1'000'000'000};
    });
    // Tokens as the loop chose them, so that a test can report a descriptor as ready.
    ON_CALL(handler_, Add).WillByDefault([this](int fd, uint32_t, uint64_t token) {
      tokens_[fd] = token;
      return Status();
    });
    loop_ = std::make_unique<EventLoop>(kernel_, handler_, coordination_);
    loop_->SetCompletionHandler(this);
  }

  void OnCompletion(const Completion& completion) override {
    Log("completion " + std::to_string(completion.event.res));
  }
  void Log(const std::string& what) { log_.push_back(what); }
  Callback Logging(const std::string& name) {
    return Callback([this, name](uint32_t) { Log(name); });
  }
  FdReady Ready(int fd, uint32_t revents = POLLIN) { return {tokens_.at(fd), revents}; }
  Registration Register(int fd, Callback& callback, uint32_t events = POLLIN) {
    auto registration = loop_->Register(fd, events, &callback);
    EXPECT_TRUE(registration);
    return std::move(*registration);
  }
  void Turn() { EXPECT_TRUE(loop_->RunOnce()); }
  Completion Completed(unsigned long res) {
    Completion completion;
    completion.event.res = res;
    completion.seen = clock_;
    return completion;
  }
  std::optional<Nanoseconds> LastTimeout() { return coordination_.timeouts.back(); }

  TimePoint clock_{seconds(1000)};
  NiceMock<MockKernel> kernel_;
  NiceMock<MockHandler> handler_;
  std::map<int, uint64_t> tokens_;
  ScriptedCoordination coordination_;
  std::vector<std::string> log_;
  std::unique_ptr<EventLoop> loop_;
};

// --- Registrations

TEST_F(EventLoopTest, RegistrationEntersAndLeavesThePollSet) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Add(7, POLLIN, _));
  Registration registration = Register(7, callback);
  EXPECT_TRUE(registration.valid());
  EXPECT_EQ(registration.events(), static_cast<uint32_t>(POLLIN));
  EXPECT_CALL(handler_, Remove(7)).Times(1);
  registration.Reset();
  EXPECT_FALSE(registration.valid());
  registration.Reset();  // again: no effect
}

TEST_F(EventLoopTest, EachErrnoOfAddIsReturnedAndNothingIsRegistered) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Remove).Times(0);
  for (const int code : {EEXIST, ENOMEM, ENOSPC, EPERM}) {
    EXPECT_CALL(handler_, Add).WillOnce(Return(Err(code, "epoll_ctl")));
    EXPECT_EQ(loop_->Register(7, POLLIN, &callback).error().code, code);
  }
}

TEST_F(EventLoopTest, SetEventsMakesNoCallIfNothingChanges) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_CALL(handler_, Modify).Times(0);
  EXPECT_TRUE(registration.SetEvents(POLLIN));
  EXPECT_CALL(handler_, Modify(7, POLLOUT, tokens_[7])).Times(1);
  EXPECT_TRUE(registration.SetEvents(POLLOUT));
}

TEST_F(EventLoopTest, EventsStayAsTheyWereIfModifyFails) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_CALL(handler_, Modify).WillOnce(Return(Err(ENOMEM, "epoll_ctl")));
  EXPECT_EQ(registration.SetEvents(POLLOUT).error().code, ENOMEM);
  EXPECT_EQ(registration.events(), static_cast<uint32_t>(POLLIN));
}

TEST_F(EventLoopTest, MovedRegistrationIsRemovedOnce) {
  Callback callback = Logging("a");
  EXPECT_CALL(handler_, Remove(7)).Times(1);
  EXPECT_CALL(handler_, Remove(8)).Times(1);
  Registration first = Register(7, callback);
  Registration second = Register(8, callback);
  second = std::move(first);  // 8 leaves
  Registration third(std::move(second));
  EXPECT_FALSE(first.valid());
  EXPECT_TRUE(third.valid());
}

TEST_F(EventLoopTest, TokenIsNeverTheCoordinationsOwn) {
  Callback callback = Logging("a");
  Registration registration = Register(7, callback);
  EXPECT_NE(tokens_[7], kCoordinationToken);
}

// --- Dispatch of descriptors

TEST_F(EventLoopTest, CallbackIsGivenWhatWasReported) {
  uint32_t seen = 0;
  Callback callback([&](uint32_t revents) { seen = revents; });
  Registration registration = Register(7, callback, POLLIN | POLLOUT);
  coordination_.reports = {Ready(7, POLLOUT | POLLHUP)};
  Turn();
  EXPECT_EQ(seen, static_cast<uint32_t>(POLLOUT | POLLHUP));
}

TEST_F(EventLoopTest, HandlerUnregisteredDuringDispatchIsNotCalled) {
  Registration victim;
  Callback first([&](uint32_t) {
    Log("first");
    victim.Reset();
  });
  Callback second = Logging("victim");
  Registration registration = Register(7, first);
  victim = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("first"));
}

TEST_F(EventLoopTest, HandlerMayUnregisterItself) {
  Registration registration;
  Callback callback([&](uint32_t) {
    Log("called");
    registration.Reset();
  });
  registration = Register(7, callback);
  coordination_.reports = {Ready(7), Ready(7)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("called"));
}

TEST_F(EventLoopTest, SameDescriptorNumberRegisteredAnewIsNotGivenTheOldOnesEvents) {
  Registration victim;
  Registration successor;
  Callback old_owner = Logging("old");
  Callback new_owner = Logging("new");
  Callback first([&](uint32_t) {
    victim.Reset();  // closed, and the next accept returned the same number
    successor = Register(8, new_owner);
  });
  Registration registration = Register(7, first);
  victim = Register(8, old_owner);
  const FdReady stale = Ready(8);
  coordination_.reports = {Ready(7), stale};
  Turn();
  EXPECT_THAT(log_, IsEmpty());
  EXPECT_NE(tokens_[8], stale.token);
  coordination_.reports = {Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("new"));
}

TEST_F(EventLoopTest, EventsThatAreNoLongerWantedAreNotDelivered) {
  Registration other;
  Callback first([&](uint32_t) { ASSERT_TRUE(other.SetEvents(0)); });
  std::vector<uint32_t> seen;
  Callback second([&](uint32_t revents) { seen.push_back(revents); });
  Registration registration = Register(7, first);
  other = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8, POLLIN)};
  Turn();
  EXPECT_THAT(seen, IsEmpty());
  coordination_.reports = {Ready(7), Ready(8, POLLIN | POLLERR)};
  Turn();
  EXPECT_THAT(seen, ElementsAre(POLLERR));
}

TEST_F(EventLoopTest, CallbackMayRegisterMany) {
  std::vector<Registration> made;
  Callback quiet = Logging("quiet");
  Callback first([&](uint32_t) {
    for (int fd = 100; fd < 400; ++fd) made.push_back(Register(fd, quiet));
  });
  Callback second = Logging("second");
  Registration a = Register(7, first);
  Registration b = Register(8, second);
  coordination_.reports = {Ready(7), Ready(8)};
  Turn();
  EXPECT_THAT(log_, ElementsAre("second"));
}

// --- The order of a turn

TEST_F(EventLoopTest, DispatchesInTheOrderOfTheHeader) {
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

TEST_F(EventLoopTest, EverythingIsCollectedBeforeAnythingIsCalled) {
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

TEST_F(EventLoopTest, InterruptedWaitIsLookedAtLikeAnyOther) {
  coordination_.error = EINTR;
  coordination_.completions = {Completed(1)};
  NamedSource source([&] { Log("wake"); });
  loop_->AddWakeSource(&source);
  Turn();
  EXPECT_THAT(log_, ElementsAre("completion 1", "wake"));
}

TEST_F(EventLoopTest, TimedOutWaitIsLookedAtLikeAnyOther) {
  coordination_.completions = {Completed(1)};
  NamedSource source([&] { Log("wake"); });
  loop_->AddWakeSource(&source);
  Turn();
  EXPECT_THAT(log_, ElementsAre("completion 1", "wake"));
}

TEST_F(EventLoopTest, AnyOtherErrorOfTheWaitEndsTheLoop) {
  for (const int code : {EBADF, EINVAL, ENOMEM}) {
    coordination_.error = code;
    EXPECT_EQ(loop_->Run().error().code, code);
  }
}

// --- Sleeping

TEST_F(EventLoopTest, SleepsForEverIfNothingIsArmedOrPosted) {
  Turn();
  EXPECT_EQ(LastTimeout(), std::nullopt);
}

TEST_F(EventLoopTest, SleepsUntilTheNextTimerAndFiresIt) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  coordination_.on_wait = [&] { clock_ += LastTimeout().value_or(seconds(9)); };
  Turn();
  EXPECT_EQ(LastTimeout(), milliseconds(20));
  EXPECT_THAT(log_, ElementsAre("timer"));
  EXPECT_EQ(loop_->now(), clock_);
}

TEST_F(EventLoopTest, DeadlineThatHasPassedMeansNoSleepNotANegativeOne) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  clock_ += seconds(1);
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("timer"));
}

TEST_F(EventLoopTest, TimeoutIsCountedFromTheWaitNotFromTheTurn) {
  Timer timer([&] { Log("timer"); });
  loop_->timers().Arm(timer, clock_ + milliseconds(20));
  clock_ += milliseconds(15);  // a long turn
  Turn();
  EXPECT_EQ(LastTimeout(), milliseconds(5));
}

TEST_F(EventLoopTest, FullBatchOfCompletionsIsFollowedByATurnWithoutSleep) {
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

// --- Jobs

TEST_F(EventLoopTest, PostedJobRunsAtTheEndOfATurnThatDoesNotSleep) {
  NamedJob job([&] { Log("job"); });
  loop_->Post(job);
  EXPECT_TRUE(job.queued());
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("job"));
  EXPECT_FALSE(job.queued());
  Turn();
  EXPECT_THAT(log_, ElementsAre("job"));
}

TEST_F(EventLoopTest, PostingAQueuedJobHasNoEffect) {
  NamedJob first([&] { Log("first"); });
  NamedJob second([&] { Log("second"); });
  loop_->Post(first);
  loop_->Post(second);
  loop_->Post(first);
  Turn();
  EXPECT_THAT(log_, ElementsAre("first", "second"));
}

TEST_F(EventLoopTest, JobPostedByAJobRunsAfterNewEventsWereCollected) {
  NamedJob job([&] {
    Log("job");
    if (log_.size() < 3) loop_->Post(job);
  });
  Callback callback = Logging("descriptor");
  Registration registration = Register(7, callback);
  loop_->Post(job);
  Turn();
  coordination_.reports = {Ready(7)};
  Turn();
  EXPECT_EQ(LastTimeout(), Nanoseconds(0));
  EXPECT_THAT(log_, ElementsAre("job", "descriptor", "job"));
}

TEST_F(EventLoopTest, DestroyedJobLeavesTheJoblistEvenWhileItRuns) {
  auto victim = std::make_unique<NamedJob>([&] { Log("victim"); });
  std::unique_ptr<NamedJob> own;
  own = std::make_unique<NamedJob>([&] {
    victim.reset();
    own.reset();
  });
  NamedJob last([&] { Log("last"); });
  loop_->Post(*own);
  loop_->Post(*victim);
  loop_->Post(last);
  Turn();
  EXPECT_THAT(log_, ElementsAre("last"));
}

TEST_F(EventLoopTest, JobMayOutliveTheLoop) {
  NamedJob job([] {});
  loop_->Post(job);
  loop_.reset();
  EXPECT_FALSE(job.queued());
}

// --- Wake sources and signals

TEST_F(EventLoopTest, WakeSourceMayRemoveItselfAndOthersAndAddSome) {
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

TEST_F(EventLoopTest, EverySignalToTerminateIsHandedOnAndHangUpsOnce) {
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

TEST_F(EventLoopTest, RunTurnsUntilStopAndFinishesTheTurn) {
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

TEST_F(EventLoopTest, StopBeforeRunIsNotForgotten) {
  loop_->Stop();
  EXPECT_TRUE(loop_->Run());
  EXPECT_THAT(coordination_.timeouts, IsEmpty());
}

TEST_F(EventLoopTest, TurnIsMeasuredFromTheReturnOfAWaitToTheNext) {
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

TEST_F(EventLoopTest, CompletionDelayIsMeasuredAtItsDispatch) {
  coordination_.completions = {Completed(2), Completed(1)};  // collected from the back
  coordination_.on_wait = [&] { clock_ += milliseconds(2); };
  Turn();
  EXPECT_EQ(loop_->stats().completion_delay.count(), 2u);
  EXPECT_EQ(loop_->stats().completion_delay.max(), milliseconds(2));
}

}  // namespace
}  // namespace pollux
