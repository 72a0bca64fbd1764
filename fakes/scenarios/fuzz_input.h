// An input of the server's fuzzer as an execution: which server, what its clients say, and the
// choices, in bytes that stay an execution however they are changed.
//
//   "PXF1"   what tells it from other files
//   a byte   backend (% 6), then whether retired chunks are fresh ones (/ 6 % 2)
//   a byte   coordination (% 2: masked, eventfd), signals go to any thread (/ 2 % 2)
//   a byte   foreign signals (% 4), faults (/ 4 % 4), early time-outs (/ 16 % 4)
//   script   conversation_script.h, up to 0xff and 'e' or the end
//   choices  a byte each: so many zeros (/ 8), then one answer (% 8)
#pragma once

#include <optional>
#include <string_view>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {

inline constexpr std::string_view kFuzzMagic = "PXF1";
inline constexpr size_t kFuzzStageBytes = 3;  // behind the magic

struct FuzzInput {
  StoryOptions options;  // of `conversation`, with the script
  Choices choices;       // for ReplayStrategy
};

// Nothing for what does not begin with kFuzzMagic.
std::optional<FuzzInput> ParseFuzzInput(std::string_view bytes);

// Where the script that begins at `begin` ends.
size_t EndOfScript(std::string_view bytes, size_t begin);

}  // namespace pollux::sim
