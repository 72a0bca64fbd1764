// Who runs next: simulated threads (fibers) and actors (disks, peers, signals), on virtual time.
//
// An execution is a sequence of steps. A thread's step begins at a call of the kernel and goes on
// to its next one; an actor's step is one event. Before each step a Chooser picks among all that
// can happen. Time stands still while anything can happen; when nothing can, it jumps to the next
// time-out or timed event. If there is none either, that is a deadlock.
//
// Threads: one OS thread.
#pragma once

#include <signal.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "fakes/kernel/access.h"
#include "fakes/kernel/choices.h"
#include "fakes/kernel/fiber.h"
#include "fakes/kernel/stack_trace.h"

namespace pollux::sim {

// What a sleeping thread waits for. Looked at before every step while it sleeps.
class Condition {
 public:
  virtual ~Condition() = default;
  virtual bool Holds() const = 0;
};

inline constexpr TimePoint kNever = TimePoint::max();
// When executions begin. Far from zero, so that a default-constructed TimePoint is no plausible
// time.
inline constexpr TimePoint kStart{std::chrono::hours(1)};

// State that every kernel has. Others get their numbers from Scheduler::NewObject.
inline constexpr ObjectId kDescriptorTable =
    0;                                        // and names, mappings and threads: what is numbered
inline constexpr ObjectId kDispositions = 1;  // of signals
inline constexpr ObjectId kClock = 2;
inline constexpr ObjectId kSharedMemory = 3;  // pages of memory files
inline constexpr ObjectId kConsoleOutput = 4;
// What the leader has blocked: others look there before they take a signal of the process.
inline constexpr ObjectId kLeaderMask = 5;
// Whether a signal is pending for the process. There are kSignalObjects, which all signals share.
inline constexpr ObjectId kFirstSignalObject = 6;
inline constexpr ObjectId kSignalObjects = 8;
inline constexpr ObjectId kFirstFreeObject = kFirstSignalObject + kSignalObjects;

struct SimThread {
  uint32_t actor = 0;
  uint64_t born = 0;  // in which step
  pid_t tid = 0;
  std::string name;
  Fiber* fiber = nullptr;  // null: it runs where the kernel was made, or has ended
  std::function<void()> body;

  enum class State { kReady, kAsleep, kDone };
  State state = State::kReady;
  const char* operation = "";  // its next step, or the one it sleeps in
  Footprint footprint;
  const Condition* condition = nullptr;  // asleep: ends the sleep
  TimePoint deadline = kNever;           // asleep: so does this
  bool timed_out = false;                // the deadline has come
  bool uninterruptible = false;          // asleep: signals do not end it
  bool joined = false;
  bool in_model = false;  // it runs the model's code (tsan.h)

  // Signals: bit n-1 is signal n.
  uint64_t pending = 0;
  uint64_t mask = 0;
  ObjectId signals_object = 0;
};

// Where a trace shows what happens.
enum class Lane { kThread, kDisk, kPeer, kWorld };

// Something beside threads that can happen. Registers itself for as long as it exists.
class Actor {
 public:
  virtual ~Actor() = default;
  // Whether it can happen now, or could if `not_before()` had come.
  virtual bool Enabled() const = 0;
  virtual TimePoint not_before() const { return TimePoint::min(); }
  // Does not keep time from going on: offered only where something else can happen.
  virtual bool needless() const { return false; }
  virtual Footprint footprint() const = 0;
  virtual const char* label() const = 0;
  virtual Lane lane() const { return Lane::kWorld; }
  virtual unsigned spindle() const { return 0; }  // of a modelled disk, from 1
  virtual void Happen() = 0;

 private:
  friend class Scheduler;
  uint32_t id_ = 0;
  uint64_t born_ = 0;  // in which step
};

struct Violation {
  std::string oracle;  // "deadlock", "timeout rescue": which judge
  std::string text;
};

struct Step {
  uint64_t number = 0;  // from 1
  TimePoint now;
  uint32_t actor = 0;  // of a thread's time-out: the thread
  std::string who;     // the thread's name, or "actor 7"
  const char* what = "";
  Lane lane = Lane::kThread;
  unsigned spindle = 0;     // of a modelled disk, from 1
  bool was_asleep = false;  // a thread that slept until now
};

// Hears of each step, for traces.
class StepListener {
 public:
  virtual ~StepListener() = default;
  virtual void OnStep(const Step& step) = 0;
  // The last step ended this thread's sleep, or made a signal deliverable to it.
  enum class Wake { kResult, kSignal };
  virtual void OnWake(const SimThread& /*thread*/, Wake /*how*/) {}
};

struct SchedulerOptions {
  uint64_t steps_max = 1'000'000;
  // How many sleeps may end by their time-out although something else can happen.
  int early_timeouts = 0;
  // Keep who submitted a read and who sent a page, for reports. Slow: for an execution that is
  // known to violate something.
  bool stacks = false;
};

// Knows whether a thread has a signal to handle, and which state that depends on.
class SignalState {
 public:
  virtual ~SignalState() = default;
  virtual bool Deliverable(const SimThread& thread) const = 0;
  virtual Footprint DeliveryFootprint(const SimThread& thread) const = 0;
  // What a step of a thread with open signals depends on beside.
  virtual Footprint ReceiptFootprint(const SimThread& thread) const = 0;
  // What a look at whether there is one depends on, as things are, beside what the step declared.
  virtual Footprint LookFootprint(const SimThread& thread) const = 0;
};

class Scheduler {
 public:
  Scheduler(Chooser& chooser, FiberPool& fibers, SchedulerOptions options);
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // Runs `body` as the leader, the first thread, to its end. False if it did not come to its end:
  // there is a violation then, the threads were abandoned, and nothing of what they used may be
  // used any more.
  bool Run(const std::function<void()>& body);

  // Calls made outside of Run are the leader's as well.
  SimThread& current() const { return *current_; }
  SimThread& leader() const { return *threads_[0]; }
  const std::vector<std::unique_ptr<SimThread>>& threads() const { return threads_; }

  SimThread& Spawn(std::string name, std::function<void()> body);

  // A scheduling point of the running thread: returns when its step is picked, which it is not
  // before the condition, if any, holds, a signal can be delivered or the deadline comes. A step
  // that waits for nothing, touches nothing (and meets no signal) is independent of all others and
  // not worth a choice.
  void BeforeStep(const char* operation, const Footprint& footprint,
                  const Condition* condition = nullptr, TimePoint deadline = kNever);
  // Sleeps until the condition holds, a signal can be delivered or the deadline comes; which of
  // them is so, the caller looks up. Returns at once if one is so already.
  void Sleep(const char* operation, const Footprint& footprint, const Condition* condition,
             TimePoint deadline);

  // Sleeps until the condition holds, whatever signals come: a wait for the disk.
  void WaitFor(const char* operation, const Footprint& footprint, const Condition& condition);
  // A step in which the running thread plays the world around the process: it may touch anything.
  void BeforeWorldStep(const char* what) { BeforeStep(what, Footprint::Everything()); }

  void AddActor(Actor& actor);
  void RemoveActor(Actor& actor);

  TimePoint now() const {
    if (time_is_a_choice()) access_.Read(kClock, "the clock");
    return now_;
  }
  // Whoever touches an object of the model says so here.
  const AccessCheck& access() const { return access_; }
  // How much of it passed while nothing could happen: what an early time-out skips is not in it.
  Nanoseconds idle_time() const { return idle_; }
  // Whether the clock can move while somebody could run: then looks at it are steps.
  bool time_is_a_choice() const { return options_.early_timeouts > 0; }
  size_t PickValue(const char* label, size_t count);
  ObjectId NewObject();

  // Where the running thread is; null if nobody wants to know.
  std::shared_ptr<const StackTrace> StackHere() const {
    return options_.stacks ? StackTrace::Here() : nullptr;
  }

  // The first one of an execution counts. The execution goes on.
  void Report(const char* oracle, std::string text);
  // The same, for what nothing sensible can follow: the execution ends here. Called on a fiber.
  [[noreturn]] void GiveUp(const char* oracle, std::string text);
  const std::optional<Violation>& violation() const { return violation_; }

  uint64_t steps() const { return steps_; }
  uint64_t trace_hash() const { return hash_; }

  void set_signal_state(const SignalState* state) { signals_ = state; }
  void set_listener(StepListener* listener) { listener_ = listener; }
  // Called when nothing can happen any more and `thread` is about to be woken by its time-out.
  void set_on_timeout(std::function<void(const SimThread& thread)> f) {
    on_timeout_ = std::move(f);
  }
  void set_on_step(std::function<void()> f) { on_step_ = std::move(f); }

 private:
  struct Target {
    SimThread* thread = nullptr;
    Actor* actor = nullptr;
    bool early_timeout = false;
  };

  static Fiber* ThreadMain(void* argument);
  static Fiber* LeaderMain(void* argument);
  bool Enabled(const SimThread& thread) const;
  void Collect();
  void Offer(SimThread& thread);
  void Dispatch();
  bool AdvanceTime();
  void TimeOut(SimThread& thread);
  void Note(const Option& option, const Target& target);
  void TellOfWakes();
  Fiber& FiberOf(SimThread& thread);
  void SwitchTo(SimThread& thread);
  void BeginStep(const Footprint& declared, const char* operation);
  void AbandonThreads();
  std::string WhoWaits() const;

  Chooser& chooser_;
  FiberPool& fibers_;
  const SchedulerOptions options_;
  int early_timeouts_left_;
  std::vector<std::unique_ptr<SimThread>> threads_;
  SimThread* current_ = nullptr;
  Fiber host_;
  Fiber* after_end_ = nullptr;  // whom a thread that has ended goes to
  AccessCheck access_;
  bool running_ = false;  // inside Run
  bool gave_up_ = false;
  const std::function<void()>* leader_body_ = nullptr;
  std::vector<Actor*> actors_;
  std::vector<Option> choices_;
  std::vector<Option> blocked_;
  std::vector<Target> targets_;
  uint32_t next_actor_ = 0;
  uint32_t next_object_ = 0;
  TimePoint now_;
  Nanoseconds idle_{0};
  uint64_t steps_ = 0;
  uint64_t hash_ = 0xcbf29ce484222325u;
  std::optional<Violation> violation_;
  const SignalState* signals_ = nullptr;
  StepListener* listener_ = nullptr;
  struct Known {
    bool enabled = true;
    bool deliverable = false;
  };
  std::vector<Known> known_;  // of each thread, to the listener
  std::function<void(const SimThread&)> on_timeout_;
  std::function<void()> on_step_;
};

}  // namespace pollux::sim
