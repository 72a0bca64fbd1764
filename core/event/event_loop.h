// The loop: one thread, one wait, everything else in callbacks.
//
// A turn: sleep (not at all while jobs are queued) -> take the clock -> collect ready descriptors,
// completions and caught signals -> dispatch them in this order: descriptors, completions, wake
// sources, signals, timers, jobs. Nothing is called while something is still being collected, and
// what a callback unregisters is not called any more, even when it had been collected: entries are
// known by slot and generation, never by descriptor number.
//
// Threads: loop thread only. Other threads reach it through Coordination::Wake and a WakeSource.
#pragma once

#include <boost/intrusive/list_hook.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/histogram.h"
#include "core/base/units.h"
#include "core/event/coordination.h"
#include "core/event/fdevent_handler.h"
#include "core/event/timer_wheel.h"
#include "core/sys/kernel.h"

namespace pollux {

class EventLoop;

class FdeventCallback {
 public:
  virtual ~FdeventCallback() = default;
  virtual void OnFdevent(uint32_t revents) = 0;
};

// A descriptor's place in the poll set; leaving scope takes it out. Must go before its descriptor
// is closed and before the loop.
class Registration {
 public:
  Registration() = default;
  Registration(Registration&& other) noexcept;
  Registration& operator=(Registration&& other) noexcept;
  ~Registration() { Reset(); }

  bool valid() const { return loop_ != nullptr; }
  uint32_t events() const;
  // No system call if nothing changes.
  Status SetEvents(uint32_t events);
  void Reset();

 private:
  friend class EventLoop;
  Registration(EventLoop* loop, uint32_t slot) : loop_(loop), slot_(slot) {}

  EventLoop* loop_ = nullptr;
  uint32_t slot_ = 0;
};

// Work for the end of the turn: lighttpd's joblist. A job that is posted while the joblist runs is
// run in the next turn, after new events were collected, so that bulk work cannot starve them.
// Destroying a queued job takes it off the list.
class Job : public boost::intrusive::list_base_hook<
                boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;
  virtual void RunJob() = 0;
  bool queued() const { return is_linked(); }
};

class JobList;

// Something another thread fills and the loop looks at after every wait.
class WakeSource {
 public:
  virtual ~WakeSource() = default;
  virtual void OnWake() = 0;
};

class CompletionHandler {
 public:
  virtual ~CompletionHandler() = default;
  virtual void OnCompletion(const Completion& completion) = 0;
};

// SIGTERM and SIGINT (`OnTerminate`: the first drains, the second stops), SIGHUP (`OnHangup`).
class SignalHandler {
 public:
  virtual ~SignalHandler() = default;
  virtual void OnTerminate() = 0;
  virtual void OnHangup() = 0;
};

struct LoopStats {
  uint64_t turns = 0;
  Histogram turn;              // from the return of a wait to the next wait
  Histogram completion_delay;  // from Completion::seen to its dispatch
};

class EventLoop {
 public:
  EventLoop(Kernel& kernel, FdeventHandler& handler, Coordination& coordination);
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();

  // `callback` must outlive the registration. Errors as FdeventHandler::Add. A callback is given
  // only events that are asked for at the moment of the call, beside POLLERR, POLLHUP and POLLNVAL.
  Result<Registration> Register(int fd, uint32_t events, FdeventCallback* callback);

  // Timers are embedded in their owners: see timer_wheel.h.
  TimerWheel& timers() { return timers_; }

  void Post(Job& job);  // no effect if it is queued already
  void AddWakeSource(WakeSource* source);
  void RemoveWakeSource(WakeSource* source);
  void SetCompletionHandler(CompletionHandler* handler) { completion_handler_ = handler; }
  void SetSignalHandler(SignalHandler* handler) { signal_handler_ = handler; }

  // The clock as taken when the present turn began.
  TimePoint now() const { return now_; }

  // Turns until Stop; a Stop that came first is not forgotten. An error of the wait itself, other
  // than EINTR and ENOMEM, ends it.
  Status Run();
  Status RunOnce();
  void Stop() { stopping_ = true; }

  Coordination& coordination() { return coordination_; }
  const LoopStats& stats() const { return stats_; }

 private:
  friend class Registration;
  struct Slot {
    int fd = -1;
    uint32_t generation = 0;
    uint32_t events = 0;
    FdeventCallback* callback = nullptr;
  };
  static constexpr size_t kReadyMax = 512;        // descriptors dispatched a turn
  static constexpr size_t kCompletionsMax = 256;  // collected at a time

  static uint64_t TokenOf(uint32_t slot, uint32_t generation) {
    return uint64_t{generation} << 32 | slot;
  }
  Status SetEvents(uint32_t slot, uint32_t events);
  void Unregister(uint32_t slot);

  std::optional<Nanoseconds> NextTimeout(TimePoint now) const;
  void DispatchFdevents(size_t count);
  void DispatchCompletions(size_t count);
  void DispatchWakeSources();
  void DispatchSignals(int terminate, int hangup);

  Kernel& kernel_;
  FdeventHandler& handler_;
  Coordination& coordination_;
  TimerWheel timers_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_slots_;
  std::unique_ptr<JobList> jobs_;
  std::vector<WakeSource*> wake_sources_;  // null: removed during a dispatch
  std::vector<FdReady> ready_;
  std::vector<Completion> completions_;
  bool completions_left_ = false;  // the last Collect came back full: look again without sleeping
  bool slept_ = false;             // now_ is the return of a wait, so a turn has begun
  CompletionHandler* completion_handler_ = nullptr;
  SignalHandler* signal_handler_ = nullptr;
  TimePoint now_{};
  bool stopping_ = false;
  LoopStats stats_;
};

}  // namespace pollux
