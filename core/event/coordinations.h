// What the three coordinations have in common, and how each is made. Internal to core/event; users
// call MakeCoordination.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "core/event/coordination.h"

namespace pollux {

std::unique_ptr<Coordination> MakePublished(Kernel& kernel, FdeventHandler& handler,
                                            Signals& signals);
std::unique_ptr<Coordination> MakeMasked(Kernel& kernel, FdeventHandler& handler, Signals& signals);
std::unique_ptr<Coordination> MakeEventfd(Kernel& kernel, FdeventHandler& handler,
                                          Signals& signals);

// Keeps the books of the loop's sleeps. Loop thread only.
class SleepRecord {
 public:
  explicit SleepRecord(CoordinationStats& stats) : stats_(stats) {}

  // `result` is the wait's own, before anything was taken out of it. Whether the sleep ended by its
  // time-out is remembered for what is collected next.
  void Ended(const Result<size_t>& result, std::optional<Nanoseconds> timeout);

  bool timed_out() const { return timed_out_; }

  // A lost wake-up came to light: at most one is counted for a sleep that timed out.
  void Rescued();

 private:
  CoordinationStats& stats_;
  bool timed_out_ = false;
};

// For `published`, whose kicks leave no trace once their handler ran: whether a completion that the
// helper saw at `seen` should have ended a sleep that went on until its time-out at `deadline`. The
// grace is for a helper that is preempted between its look at the clock and its kick, and for a
// kick that arrives while the sleeper, its time-out over, waits for a processor: no wake-up was
// lost in either. On a machine where a thread waits longer than that the count may be too high.
inline constexpr Nanoseconds kRescueGrace = std::chrono::milliseconds(10);
inline bool SleptThrough(TimePoint seen, TimePoint deadline) {
  return seen + kRescueGrace <= deadline;
}

}  // namespace pollux
