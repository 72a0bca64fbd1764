// Timers whose cost does not grow with the number of connections: arm, re-arm and disarm are O(1).
// A timer is a member of its owner and leaves the wheel when destroyed. Resolution 1 ms: a timer
// never fires early, and at most one tick late.
//
// Eight levels of 64 slots: a timer sits at the level of the highest group of six bits in which its
// tick differs from the present one, so every occupied slot lies ahead of the present one in its
// level and every timer of a lower level comes before those of a higher. The next thing to do is
// therefore one find-first-set; there is no wrap-around and no limit to how far ahead a deadline
// is. A timer moves down at most once a level, which costs a far timer a few wake-ups before it is
// due. A timer that is re-armed to a later time stays where it is unless its slot is near: the
// time-outs of a keep-alive connection change with every request and are moved once in a while.
//
// Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987.
// Threads: loop thread only.
#pragma once

#include <array>
#include <boost/intrusive/list.hpp>
#include <cstdint>
#include <functional>
#include <optional>

#include "core/base/units.h"

namespace pollux {

class TimerWheel;

class Timer : public boost::intrusive::list_base_hook<> {
 public:
  explicit Timer(std::function<void()> fire) : fire_(std::move(fire)) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Disarm(); }

  bool armed() const { return wheel_ != nullptr; }
  void Disarm();

 private:
  friend class TimerWheel;
  std::function<void()> fire_;
  TimerWheel* wheel_ = nullptr;
  uint64_t expires_tick_ = 0;
  uint64_t placed_tick_ = 0;  // expires_tick_ when it was linked: not later
  uint8_t level_ = 0;         // where it is linked; see TimerWheel::ListOf
  uint8_t slot_ = 0;
};

class TimerWheel {
 public:
  TimerWheel() = default;
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;
  ~TimerWheel();  // disarms what is left

  // (Re-)arms: the old deadline is forgotten. A deadline in the past fires in the next Advance.
  void Arm(Timer& timer, TimePoint deadline);

  // When Advance has something to do at the earliest; a bound, never too late. Nothing if no timer
  // is armed. After Advance(t) it is later than t, unless a timer was armed into the past.
  std::optional<TimePoint> NextDeadline() const;

  // Fires what is due, earliest first (before them, in the order of arming, what was armed into
  // the past). A timer armed by a firing one does not fire in the same call. A callback may arm,
  // disarm and destroy any timer, its own included.
  void Advance(TimePoint now);

  bool empty() const { return armed_ == 0; }

 private:
  friend class Timer;
  using List = boost::intrusive::list<Timer, boost::intrusive::constant_time_size<false>>;
  static constexpr int kSlotBits = 6;
  static constexpr int kSlots = 1 << kSlotBits;
  static constexpr uint64_t kNearTicks = 1000;  // a second
  static constexpr int kLevels = 8;  // 48 bits of milliseconds: more than TimePoint can hold
  // Not levels of the wheel: lists of their own.
  static constexpr uint8_t kDue = kLevels;         // armed into the past, for the next Advance
  static constexpr uint8_t kFiring = kLevels + 1;  // taken off the wheel by the present Advance

  struct Next {
    int level;
    int slot;
    uint64_t tick;  // when the slot begins
  };

  List& ListOf(const Timer& timer);
  void Link(Timer& timer, uint8_t level, uint8_t slot);
  void Unlink(Timer& timer);
  // Into the wheel by its expires_tick_, or into the list `if_due` if that tick has come.
  void Place(Timer& timer, uint8_t if_due);
  std::optional<Next> NextSlot() const;

  std::array<std::array<List, kSlots>, kLevels> slots_;
  std::array<uint64_t, kLevels> occupied_{};  // a bit per slot
  List due_;
  List firing_;
  uint64_t tick_ = 0;  // all up to and including this tick has fired
  size_t armed_ = 0;
};

}  // namespace pollux
