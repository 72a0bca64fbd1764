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

  // A line for each function, innermost first, after an empty line's worth of `indent`. Those that
  // say nothing (std::function, where a fiber starts) are left out. The names come from the
  // program's own symbol table; where it has none, addresses have to do.
  std::string ToString(const char* indent) const;

 private:
  static constexpr int kDepthMax = 32;
  std::array<void*, kDepthMax> addresses_{};
  int depth_ = 0;
};

}  // namespace pollux::sim
