// Timers whose cost does not grow with the number of connections: arm, re-arm and disarm are O(1).
// A timer is a member of its owner and leaves the wheel when destroyed. Resolution 1 ms: a timer
// never fires early, and at most one tick late.
//
// Source: G. Varghese, T. Lauck, "Hashed and hierarchical timing wheels", SOSP 1987.
// Threads: loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "core/base/units.h"

namespace pollux {

class TimerWheel;

class Timer {
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
  Timer* prev_ = nullptr;
  Timer* next_ = nullptr;
  uint64_t expires_tick_ = 0;
};

class TimerWheel {
 public:
  // (Re-)arms: the old deadline is forgotten. A deadline in the past fires in the next Advance.
  void Arm(Timer& timer, TimePoint deadline);

  // When Advance has something to do at the earliest; a bound, never too late. Nothing if no timer
  // is armed.
  std::optional<TimePoint> NextDeadline() const;

  // Fires what is due. A timer armed by a firing one does not fire in the same call.
  void Advance(TimePoint now);

  bool empty() const { return armed_ == 0; }

 private:
  friend class Timer;
  // To be laid out by the implementation.
  size_t armed_ = 0;
};

}  // namespace pollux
