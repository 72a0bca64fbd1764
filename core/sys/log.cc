#include "core/sys/log.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <chrono>
#include <iterator>

namespace pollux {
namespace {

class KernelSink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  KernelSink(Kernel& kernel, int fd) : kernel_(kernel), fd_(fd) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    // EPIPE, ENOSPC, EAGAIN: a log line is not worth a stop. (A full blocking pipe is waited for.)
    (void)kernel_.write(fd_, line.data(), line.size());
  }
  void flush_() override {}

 private:
  Kernel& kernel_;
  int fd_;
};

// A path that a client chose may hold any byte: none may end the line or talk to a terminal.
std::string Printable(const std::string& message) {
  std::string out;
  out.reserve(message.size());
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

Logger::Logger(Kernel& kernel, int fd, spdlog::level::level_enum level)
    : kernel_(kernel),
      logger_(
          std::make_unique<spdlog::logger>("pollux", std::make_shared<KernelSink>(kernel, fd))) {
  logger_->set_level(level);
  logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
}

Logger::~Logger() = default;

void Logger::Log(spdlog::level::level_enum level, const std::string& message) {
  if (!logger_->should_log(level)) return;
  // With the time given, spdlog reads no clock of its own.
  const timespec now = kernel_.clock_gettime(CLOCK_REALTIME);
  const spdlog::log_clock::time_point time{std::chrono::duration_cast<spdlog::log_clock::duration>(
      std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec))};
  logger_->log(time, spdlog::source_loc{}, level, Printable(message));
}

}  // namespace pollux
