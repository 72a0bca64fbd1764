// How each call that is recorded is made again: what the names and arguments of a recording mean.
#pragma once

#include <functional>
#include <string>

#include "fakes/recording/arguments.h"
#include "fakes/recording/recording.h"

namespace pollux::recorded {

using Again = std::function<std::string(Translation&)>;

// The call of this name with these arguments, to be made on another kernel: what comes of it, as
// text. Throws WrongArgument, also for a name that is not known. `threads`: how many the run had.
Again Make(const std::string& name, const Arguments& arguments, int threads);

}  // namespace pollux::recorded
