// The measurements of pollux-validate. Each is set out in its own file: goal, method, order.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "fakes/validate/rig.h"

namespace pollux::validate {

// Delays at least so long are stalls: the one-second time-outs of 2006, less their slack.
// Everything else that is measured here is four orders of magnitude below.
inline constexpr Nanoseconds kStall = std::chrono::milliseconds(900);

struct LostWakeup {
  uint64_t rounds = 0;
  uint64_t held = 0;      // rounds in which the completion was signalled before the loop slept
  uint64_t stalled = 0;   // of these, dispatched kStall or more after the completion
  Nanoseconds longest{};  // from completion to dispatch
};
LostWakeup MeasureLostWakeup(const RigOptions& options, unsigned rounds);

struct KickLands {
  bool has_helper = false;
  uint64_t kicks = 0;     // sent while the helper slept
  uint64_t landed = 0;    // of these, ended the helper's sleep with EINTR
  Nanoseconds longest{};  // from the kick to the end of the helper's sleep
};
KickLands MeasureKick(const RigOptions& options, unsigned rounds);

// Sends this process a signal from another one. Made before any thread.
class Signaller {
 public:
  Signaller();
  ~Signaller();
  Signaller(const Signaller&) = delete;
  Signaller& operator=(const Signaller&) = delete;
  void Send(int signum);  // any one thread; returns once it was sent

 private:
  int commands_ = -1;
  int answers_ = -1;
  pid_t child_ = -1;
};

struct ForeignSignals {
  uint64_t sent = 0;
  uint64_t interrupted = 0;         // ended a sleep of the loop
  uint64_t misread = 0;             // of these, made the loop wait for a helper that had nothing
  uint64_t dispatched_wrongly = 0;  // dispatches of a read that had not completed
  uint64_t late = 0;  // reads, completed after the signal, that were dispatched kStall later
  Nanoseconds longest_turn{};  // the loop's longest turn after such a signal
};
ForeignSignals MeasureForeignSignals(const RigOptions& options, Signaller& signaller,
                                     unsigned rounds);

struct Delays {
  unsigned in_flight = 0;
  double seconds = 0;
  uint64_t reads = 0;
  uint64_t unobserved = 0;       // dispatched before the observer saw them: in no figure below
  uint64_t stalls = 0;           // kStall or more
  uint64_t timeout_rescues = 0;  // as the coordination counts them itself
  Nanoseconds p50{}, p99{}, longest{};  // from completion to dispatch
};
// `path`: a file of at least 16 MiB on a file system with direct I/O.
Delays MeasureDelays(const RigOptions& options, const std::string& path, unsigned in_flight,
                     Nanoseconds duration);

}  // namespace pollux::validate
