// The error log: spdlog's formatting, the seam's clock and a LineOutput.
//
// A line is "TIME LEVEL message", one write(2) each, at most kLogLineBytesMax bytes. Nothing waits
// for a reader: a line that cannot be written now is lost, and the next one that can be written
// comes after a line that says how many were. A line that is written again and again (told by its
// format, whatever its arguments) is left out after kRepeatsMax times in a second; how often, and
// the last of them, is said with the first line of a later second. Debug lines are never left out.
//
// Loop thread only: a worker hands its error back with its job.
#pragma once

#include <spdlog/logger.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/sys/kernel.h"
#include "core/sys/line_output.h"

namespace pollux {

class Logger {
 public:
  static constexpr int kRepeatsMax = 20;  // lines of one format in one second

  // Writes to `fd` as it is, which it does not own.
  Logger(Kernel& kernel, int fd, spdlog::level::level_enum level);
  Logger(Kernel& kernel, LineOutput output, spdlog::level::level_enum level);
  // Says what was left out.
  ~Logger();

  template <typename... Args>
  void Debug(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::debug, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Info(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::info, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Warn(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::warn, format, fmt::make_format_args(args...));
  }
  template <typename... Args>
  void Error(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::err, format, fmt::make_format_args(args...));
  }

  uint64_t lost_lines() const { return lost_lines_; }

 private:
  class Sink;
  // Of one format string. As many as there are calls in the source.
  struct Repeats {
    const char* format = nullptr;  // known by its place
    spdlog::level::level_enum level = spdlog::level::info;
    time_t second = 0;
    int written = 0;        // in that second
    uint64_t left_out = 0;  // since the last line
    std::string last;       // of those
  };

  void Log(spdlog::level::level_enum level, fmt::string_view format, fmt::format_args args);
  // Whether this line is to be left out; if so it is remembered.
  bool LeaveOut(spdlog::level::level_enum level, fmt::string_view format, fmt::format_args args,
                time_t second);
  void TellOfRepeats(const timespec& now, bool at_the_end);
  void WriteLine(spdlog::level::level_enum level, const std::string& message, const timespec& now);

  Kernel& kernel_;
  std::shared_ptr<Sink> sink_;
  std::unique_ptr<spdlog::logger> logger_;
  std::vector<Repeats> repeats_;
  uint64_t left_out_ = 0;    // of all formats, not told yet
  uint64_t lost_lines_ = 0;  // in all
  uint64_t lost_untold_ = 0;
};

}  // namespace pollux
