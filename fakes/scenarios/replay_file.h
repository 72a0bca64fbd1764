// An execution on disk: the story, its options, and the choices that are not 0. JSON.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {

struct ReplayFile {
  std::string story;
  StoryOptions options;
  Choices choices;
  std::string oracle;       // what it violates; empty: not known yet
  uint64_t trace_hash = 0;  // 0: not known yet
};

std::string ToText(const ReplayFile& replay);

// An input of the server's fuzzer (fuzz_input.h) is one, too. Or one line on why it is none.
tl::expected<ReplayFile, std::string> ReadReplay(const std::string& path);

}  // namespace pollux::sim
