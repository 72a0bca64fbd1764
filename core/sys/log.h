// The error log: spdlog's formatting, the seam's clock and write(2).
//
// Loop thread only: a worker hands its error back with its job. A line is "TIME LEVEL message", one
// write(2) each, never repeated. The descriptor is used as it is: a full pipe that blocks holds the
// loop until somebody reads it.
#pragma once

#include <spdlog/logger.h>

#include <memory>

#include "core/base/result.h"
#include "core/sys/kernel.h"

namespace pollux {

class Logger {
 public:
  // Writes to `fd` (usually 2), which it does not own.
  Logger(Kernel& kernel, int fd, spdlog::level::level_enum level);
  ~Logger();

  template <typename... Args>
  void Debug(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::debug, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Info(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::info, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Warn(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::warn, fmt::format(format, std::forward<Args>(args)...));
  }
  template <typename... Args>
  void Error(spdlog::format_string_t<Args...> format, Args&&... args) {
    Log(spdlog::level::err, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  void Log(spdlog::level::level_enum level, const std::string& message);

  Kernel& kernel_;
  std::unique_ptr<spdlog::logger> logger_;
};

}  // namespace pollux
