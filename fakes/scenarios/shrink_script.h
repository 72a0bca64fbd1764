// A shorter script that leads to the same violation.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>

#include "fakes/explore/shrink.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {

// Leaves out what can be left out of `options.script` while `story` with `choices` still violates
// `oracle`; the first byte, which sets the stage, stays. Gives how many executions that took, at
// most `executions_max`, none once `stopped` is set.
uint64_t ShrinkScript(const Story& story, StoryOptions& options, const Choices& choices,
                      const std::string& oracle, uint64_t executions_max,
                      const volatile std::sig_atomic_t& stopped);

}  // namespace pollux::sim
