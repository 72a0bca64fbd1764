// Where the program is: addresses, cheap to take; they get names only for a report.
#pragma once

#include <array>
#include <memory>
#include <string>

namespace pollux::sim {

class StackTrace {
 public:
  // backtrace(3), of the running fiber.
  static std::shared_ptr<const StackTrace> Here();

  // "\n  HEAD\n    FUNCTION\n    FUNCTION...", innermost first; nothing if there is no trace. What
  // says nothing is left out: std::function, the scheduler, where a fiber starts. The names come
  // from the program's own symbol table; where it has none, addresses have to do.
  static std::string Tell(const char* head, const StackTrace* trace);

 private:
  static constexpr int kDepthMax = 32;
  std::array<void*, kDepthMax> addresses_{};
  int depth_ = 0;
};

}  // namespace pollux::sim
