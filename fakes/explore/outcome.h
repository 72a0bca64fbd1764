// What came of one execution.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

struct Outcome {
  std::optional<Violation> violation;
  uint64_t steps = 0;
  uint64_t trace_hash = 0;
  uint64_t state = 0;  // of what the execution has come to: equal for equal ends
};

// One execution with the choices of `chooser`.
using Execution = std::function<Outcome(Chooser& chooser)>;

}  // namespace pollux::sim
