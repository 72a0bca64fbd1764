// What a search says before the core it runs ends the program: by a CHECK that fails, or a crash.
#pragma once

#include <functional>

namespace pollux::sim {

// For as long as it exists, SIGABRT and SIGSEGV call `say` (once, on whichever stack they came) and
// end the process as `say` does, or else as they would have. One at a time.
class LastWords {
 public:
  explicit LastWords(std::function<void()> say);
  ~LastWords();
  LastWords(const LastWords&) = delete;
  LastWords& operator=(const LastWords&) = delete;
};

}  // namespace pollux::sim
