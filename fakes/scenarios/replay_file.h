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
  std::string oracle;  // what it violates; empty: nothing
  uint64_t trace_hash = 0;
};

// Whether the file could be written.
bool Write(const ReplayFile& replay, const std::string& path);
// Or one line on why it is no replay file.
tl::expected<ReplayFile, std::string> ReadReplay(const std::string& path);

}  // namespace pollux::sim
