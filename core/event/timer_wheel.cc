#include "core/event/timer_wheel.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/base/check.h"

namespace pollux {
namespace {

constexpr int64_t kTickNanos = 1'000'000;
constexpr uint64_t kTickMax = std::numeric_limits<int64_t>::max() / kTickNanos;
static_assert(std::bit_width(kTickMax) <= 48);

// The tick that has come by `time`.
uint64_t TickDown(TimePoint time) {
  return static_cast<uint64_t>(std::max<int64_t>(time.time_since_epoch().count(), 0) / kTickNanos);
}

// The first tick that is not before `time`: nothing fires early.
uint64_t TickUp(TimePoint time) {
  const int64_t ns = std::max<int64_t>(time.time_since_epoch().count(), 0);
  const uint64_t tick = static_cast<uint64_t>(ns / kTickNanos) + (ns % kTickNanos != 0 ? 1 : 0);
  return std::min(tick, kTickMax);  // else NextDeadline would not fit a TimePoint
}

TimePoint TimeOf(uint64_t tick) {
  return TimePoint(Nanoseconds(static_cast<int64_t>(tick) * kTickNanos));
}

}  // namespace

void Timer::Disarm() {
  if (wheel_ == nullptr) return;
  wheel_->Unlink(*this);
}

TimerWheel::~TimerWheel() {
  const auto disarm_all = [this](List& list) {
    while (!list.empty()) Unlink(list.front());
  };
  for (auto& level : slots_) {
    for (List& list : level) disarm_all(list);
  }
  disarm_all(due_);
  CHECK(armed_ == 0);
}

TimerWheel::List& TimerWheel::ListOf(const Timer& timer) {
  if (timer.level_ == kDue) return due_;
  if (timer.level_ == kFiring) return firing_;
  return slots_[timer.level_][timer.slot_];
}

void TimerWheel::Link(Timer& timer, uint8_t level, uint8_t slot) {
  timer.wheel_ = this;
  timer.placed_tick_ = timer.expires_tick_;
  timer.level_ = level;
  timer.slot_ = slot;
  ListOf(timer).push_back(timer);
  if (level < kLevels) occupied_[level] |= uint64_t{1} << slot;
  ++armed_;
}

void TimerWheel::Unlink(Timer& timer) {
  CHECK(timer.wheel_ == this);
  List& list = ListOf(timer);
  list.erase(list.iterator_to(timer));
  // At once, not when the slot is next looked at: a bit without timers would be a wake-up for
  // nothing, and keep-alive timers are re-armed with every request.
  if (timer.level_ < kLevels && list.empty()) {
    occupied_[timer.level_] &= ~(uint64_t{1} << timer.slot_);
  }
  timer.wheel_ = nullptr;
  --armed_;
}

void TimerWheel::Place(Timer& timer, uint8_t if_due) {
  if (timer.expires_tick_ <= tick_) {
    Link(timer, if_due, 0);
    return;
  }
  const int level = (std::bit_width(timer.expires_tick_ ^ tick_) - 1) / kSlotBits;
  const uint64_t slot = (timer.expires_tick_ >> (level * kSlotBits)) & (kSlots - 1);
  Link(timer, static_cast<uint8_t>(level), static_cast<uint8_t>(slot));
}

void TimerWheel::Arm(Timer& timer, TimePoint deadline) {
  const uint64_t tick = TickUp(deadline);
  if (timer.wheel_ == this && timer.level_ < kLevels && tick >= timer.placed_tick_ &&
      timer.placed_tick_ > tick_ + kNearTicks) {
    timer.expires_tick_ = tick;  // its slot comes first, and puts it where it belongs
    return;
  }
  timer.Disarm();
  timer.expires_tick_ = tick;
  Place(timer, kDue);
}

std::optional<TimerWheel::Next> TimerWheel::NextSlot() const {
  for (int level = 0; level < kLevels; ++level) {
    if (occupied_[level] == 0) continue;
    const int slot = std::countr_zero(occupied_[level]);
    const int shift = level * kSlotBits;
    // The present tick's groups above this level, this slot, zeros below.
    const uint64_t above = tick_ >> (shift + kSlotBits) << (shift + kSlotBits);
    return Next{level, slot, above | static_cast<uint64_t>(slot) << shift};
  }
  return std::nullopt;
}

std::optional<TimePoint> TimerWheel::NextDeadline() const {
  if (!due_.empty()) return TimeOf(tick_);
  const std::optional<Next> next = NextSlot();
  if (!next) return std::nullopt;
  return TimeOf(next->tick);
}

void TimerWheel::Advance(TimePoint now) {
  CHECK(firing_.empty());
  const uint64_t now_tick = std::max(TickDown(now), tick_);

  while (!due_.empty()) {
    Timer& timer = due_.front();
    Unlink(timer);
    Link(timer, kFiring, 0);
  }
  for (auto next = NextSlot(); next && next->tick <= now_tick; next = NextSlot()) {
    tick_ = next->tick;
    List& list = slots_[next->level][next->slot];
    while (!list.empty()) {  // moves down a level or is due: never back into this list
      Timer& timer = list.front();
      Unlink(timer);
      Place(timer, kFiring);
    }
  }
  tick_ = now_tick;

  // Nothing is called before everything due was collected. What a callback disarms leaves
  // firing_; what it arms goes elsewhere.
  while (!firing_.empty()) {
    Timer& timer = firing_.front();
    Unlink(timer);
    const std::function<void()> fire = timer.fire_;  // a copy: the callback may destroy the timer
    fire();
  }
}

}  // namespace pollux
