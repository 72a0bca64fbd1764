// An execution on disk: the story, its options, and the choices that are not 0. JSON.
#pragma once

#include <cstdint>
#include <string>
#include <tl/expected.hpp>
#include <utility>

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

// Where a replay file goes. Opened before the search for what it is to hold, which would be lost if
// there turned out to be no place for it.
class ReplayTarget {
 public:
  explicit ReplayTarget(std::string path) : path_(std::move(path)) {}
  // A file that was made here and never written is removed again.
  ~ReplayTarget();
  ReplayTarget(const ReplayTarget&) = delete;
  ReplayTarget& operator=(const ReplayTarget&) = delete;

  // Whether the file is there, or could be made, and can be written. What it holds stays.
  bool Open();
  // Replaces what the file holds. Whether that succeeded: the disk may be full by now.
  bool Write(const ReplayFile& replay);
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  int fd_ = -1;
  bool made_ = false;
};

// An input of the server's fuzzer (fuzz_input.h) is one, too. Or one line on why it is none.
tl::expected<ReplayFile, std::string> ReadReplay(const std::string& path);

}  // namespace pollux::sim
