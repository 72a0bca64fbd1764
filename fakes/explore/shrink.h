// Makes a failing execution as plain as it can be: as few choices other than 0 as possible.
#pragma once

#include <cstdint>
#include <string>

#include "fakes/explore/outcome.h"
#include "fakes/explore/strategy.h"

namespace pollux::sim {

struct Shrunk {
  Choices choices;
  Outcome outcome;
  uint64_t executions = 0;
};

// `choices` lead to a violation of `oracle`; so do those that come back. At most `executions_max`
// executions are made. Choices are taken out and set to 0, in ever smaller blocks, until none can
// be spared (delta debugging, Zeller and Hildebrandt 2002).
Shrunk Shrink(const Choices& choices, const std::string& oracle, const Execution& execute,
              uint64_t executions_max);

inline size_t NonZero(const Choices& choices) {
  size_t count = 0;
  for (const uint32_t choice : choices) count += choice != 0 ? 1 : 0;
  return count;
}

}  // namespace pollux::sim
