#include "core/event/event_loop.h"

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"
#include "core/event/job_list.h"
#include "core/event/signals.h"
#include "core/sys/raii.h"

namespace pollux {

Registration::Registration(Registration&& other) noexcept
    : loop_(std::exchange(other.loop_, nullptr)), slot_(other.slot_) {}

Registration& Registration::operator=(Registration&& other) noexcept {
  if (this != &other) {
    Reset();
    loop_ = std::exchange(other.loop_, nullptr);
    slot_ = other.slot_;
  }
  return *this;
}

uint32_t Registration::events() const { return valid() ? loop_->slots_[slot_].events : 0; }

Status Registration::SetEvents(uint32_t events) {
  CHECK(valid());
  return loop_->SetEvents(slot_, events);
}

void Registration::Reset() {
  if (valid()) std::exchange(loop_, nullptr)->Unregister(slot_);
}

EventLoop::EventLoop(Kernel& kernel, FdeventHandler& handler, Coordination& coordination)
    : kernel_(kernel),
      handler_(handler),
      coordination_(coordination),
      jobs_(std::make_unique<JobList>()),
      ready_(kReadyMax),
      completions_(kCompletionsMax),
      now_(MonotonicNow(kernel)) {
  timers_.Advance(now_);  // the wheel starts at the present tick, not at the machine's boot
}

EventLoop::~EventLoop() = default;

Result<Registration> EventLoop::Register(int fd, uint32_t events, FdeventCallback* callback) {
  CHECK(callback != nullptr);
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  const uint32_t index = free_slots_.back();
  Slot& slot = slots_[index];
  if (Status s = handler_.Add(fd, events, TokenOf(index, slot.generation)); !s) {
    return Err(s.error());
  }
  free_slots_.pop_back();
  slot.fd = fd;
  slot.events = events;
  slot.callback = callback;
  return Registration(this, index);
}

Status EventLoop::SetEvents(uint32_t index, uint32_t events) {
  Slot& slot = slots_[index];
  if (slot.events == events) return {};
  if (Status s = handler_.Modify(slot.fd, events, TokenOf(index, slot.generation)); !s) return s;
  slot.events = events;
  return {};
}

void EventLoop::Unregister(uint32_t index) {
  Slot& slot = slots_[index];
  handler_.Remove(slot.fd);
  slot.fd = -1;
  slot.callback = nullptr;
  // What was collected under the old generation is not delivered to the slot's next owner, even if
  // that has the same descriptor number. (A collected entry lives for one turn: 2^32 registrations
  // in one turn would be needed to come round.)
  ++slot.generation;
  free_slots_.push_back(index);
}

void EventLoop::Post(Job& job) { jobs_->Append(job); }

void EventLoop::AddWakeSource(WakeSource* source) { wake_sources_.push_back(source); }

void EventLoop::RemoveWakeSource(WakeSource* source) {
  // The place stays until the dispatch, which may be running, has passed it.
  std::replace(wake_sources_.begin(), wake_sources_.end(), source,
               static_cast<WakeSource*>(nullptr));
}

Status EventLoop::Run() {
  while (!stopping_) {
    if (Status s = RunOnce(); !s) return s;
  }
  stopping_ = false;
  return {};
}

std::optional<Nanoseconds> EventLoop::NextTimeout(TimePoint now) const {
  if (!jobs_->empty() || completions_left_) return Nanoseconds::zero();
  const std::optional<TimePoint> deadline = timers_.NextDeadline();
  if (!deadline) return std::nullopt;
  return std::max(*deadline - now, Nanoseconds::zero());
}

Status EventLoop::RunOnce() {
  const TimePoint before = MonotonicNow(kernel_);
  if (slept_) stats_.turn.Record(before - now_);

  const Result<size_t> waited = coordination_.Wait(ready_, NextTimeout(before));
  // EINTR says nothing, and neither does its absence: everything below is looked at in any case.
  // ENOMEM, of poll(2): no memory for the kernel's copy of the set. It passes, and what the turn
  // does may be what frees some; a server that ended here would cut every transfer.
  if (!waited && waited.error().code != EINTR && waited.error().code != ENOMEM) {
    return Err(waited.error());
  }
  now_ = MonotonicNow(kernel_);
  slept_ = true;
  ++stats_.turns;

  // Collect. One batch of completions a turn keeps a turn short; the rest is looked at in the next
  // one, which does not sleep.
  const size_t fdevents = waited ? *waited : 0;
  const size_t completions = coordination_.Collect(completions_);
  completions_left_ = completions == completions_.size();
  int terminate = 0;
  int hangup = 0;
  if (signal_handler_ != nullptr) {  // otherwise they are kept for the one who comes
    terminate = Signals::Take(SIGTERM) + Signals::Take(SIGINT);
    hangup = Signals::Take(SIGHUP);
  }

  // Dispatch.
  DispatchFdevents(fdevents);
  DispatchCompletions(completions);
  DispatchWakeSources();
  DispatchSignals(terminate, hangup);
  timers_.Advance(now_);
  jobs_->Run();
  return {};
}

void EventLoop::DispatchFdevents(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const auto index = static_cast<uint32_t>(ready_[i].token);
    const auto generation = static_cast<uint32_t>(ready_[i].token >> 32);
    CHECK(index < slots_.size());
    // By value: the callback may register others, which moves slots_.
    const Slot slot = slots_[index];
    if (slot.callback == nullptr || slot.generation != generation) continue;
    // An earlier callback of this turn may have lost interest on this one's behalf.
    const uint32_t wanted = slot.events | POLLERR | POLLHUP | POLLNVAL;
    const uint32_t revents = ready_[i].revents & wanted;
    if (revents != 0) slot.callback->OnFdevent(revents);
  }
}

void EventLoop::DispatchCompletions(size_t count) {
  for (size_t i = 0; i < count; ++i) {
    stats_.completion_delay.Record(MonotonicNow(kernel_) - completions_[i].seen);
    if (completion_handler_ != nullptr) completion_handler_->OnCompletion(completions_[i]);
  }
}

void EventLoop::DispatchWakeSources() {
  const size_t count = wake_sources_.size();  // one that is added now is looked at next turn
  for (size_t i = 0; i < count; ++i) {
    if (wake_sources_[i] != nullptr) wake_sources_[i]->OnWake();
  }
  std::erase(wake_sources_, nullptr);
}

void EventLoop::DispatchSignals(int terminate, int hangup) {
  for (int i = 0; i < terminate && signal_handler_ != nullptr; ++i) {
    signal_handler_->OnTerminate();
  }
  // Once, however many came: reopening a log twice is no different from once.
  if (hangup > 0 && signal_handler_ != nullptr) signal_handler_->OnHangup();
}

}  // namespace pollux
