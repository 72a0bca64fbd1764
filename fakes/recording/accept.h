// Does the simulated kernel allow what Linux was seen to do?
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fakes/kernel/sim_kernel.h"
#include "fakes/recording/recording.h"

namespace pollux::sim {

struct Acceptance {
  bool accepted = false;
  uint64_t executions = 0;  // orders that were tried
  std::string refusal;      // the call that came furthest, and both results
};

// Makes the calls of `recording` again, each thread's in its order, none before all that had ended
// when it began; every other order, and when reads complete and sleeps time out, is searched for
// one in which each call has the result that was recorded. `prepare` makes the world around: files.
//
// A recording that is refused was tried in up to `executions_max` orders, the likely ones first.
Acceptance Accept(const Recording& recording, const std::function<void(SimKernel&)>& prepare,
                  uint64_t executions_max = 300);

}  // namespace pollux::sim
