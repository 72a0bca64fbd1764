// Does the simulated kernel allow what Linux was seen to do?
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "fakes/recording/recording.h"

namespace pollux::sim {

struct Acceptance {
  bool accepted = false;
  uint64_t executions = 0;  // orders that were tried
  // Of those that came furthest, if none was accepted: the first call whose recorded result was not
  // to be had, and the others that were. None: it does not come to its end, which `refusal` says.
  size_t call = 0;
  std::set<std::string> allowed;
  std::string refusal;  // all of that, in one line
};

// Makes the calls of `recording` again, each thread's in its order, none before all that had ended
// when it began; every other order, and when reads complete and sleeps time out, is searched for
// one in which each call has the result that was recorded. `begin_call` is told of each call that
// is about to be made, by its number.
//
// A recording that is refused was tried in up to `executions_max` orders, the likely ones first.
Acceptance Accept(const Recording& recording, uint64_t executions_max = 300,
                  const std::function<void(size_t)>& begin_call = {});

}  // namespace pollux::sim
