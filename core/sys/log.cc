#include "core/sys/log.h"

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string_view>
#include <utility>

namespace pollux {
namespace {

constexpr std::string_view kCut = "...\n";

// A path that a client chose may hold any byte: none may end the line or talk to a terminal, which
// some above ASCII do, too (C1 controls, alone or as UTF-8). So the access log has it.
std::string Printable(std::string_view message) {
  std::string out;
  out.reserve(message.size());
  for (const char c : message) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace

class Logger::Sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
 public:
  explicit Sink(LineOutput output) : output_(std::move(output)) {}

  // Whether the last line was written, whole.
  bool written() const { return written_; }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    if (line.size() > kLogLineBytesMax) {
      line.resize(kLogLineBytesMax - kCut.size());
      line.append(kCut.data(), kCut.data() + kCut.size());
    }
    // EAGAIN: nobody reads. EPIPE, ENOSPC, ...: a log line is not worth a stop. EINTR, of a signal
    // of `published`: nothing was written. What remains of a short write is not worth a second
    // line's place either.
    const Result<size_t> written = output_.Write({line.data(), line.size()});
    written_ = written && *written == line.size();
  }
  void flush_() override {}

 private:
  LineOutput output_;
  bool written_ = false;
};

Logger::Logger(Kernel& kernel, int fd, spdlog::level::level_enum level)
    : Logger(kernel, LineOutput(kernel, fd), level) {}

Logger::Logger(Kernel& kernel, LineOutput output, spdlog::level::level_enum level)
    : kernel_(kernel),
      sink_(std::make_shared<Sink>(std::move(output))),
      logger_(std::make_unique<spdlog::logger>("pollux", sink_)) {
  logger_->set_level(level);
  logger_->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %v", spdlog::pattern_time_type::utc);
}

Logger::~Logger() {
  if (left_out_ > 0) TellOfRepeats(kernel_.clock_gettime(CLOCK_REALTIME), /*at_the_end=*/true);
}

void Logger::Log(spdlog::level::level_enum level, fmt::string_view format, fmt::format_args args) {
  if (!logger_->should_log(level)) return;
  const timespec now = kernel_.clock_gettime(CLOCK_REALTIME);
  if (left_out_ > 0) TellOfRepeats(now, /*at_the_end=*/false);
  if (LeaveOut(level, format, args, now.tv_sec)) return;
  WriteLine(level, fmt::vformat(format, args), now);
}

bool Logger::LeaveOut(spdlog::level::level_enum level, fmt::string_view format,
                      fmt::format_args args, time_t second) {
  if (level == spdlog::level::debug) return false;
  auto it = std::find_if(repeats_.begin(), repeats_.end(),
                         [&](const Repeats& known) { return known.format == format.data(); });
  if (it == repeats_.end()) {
    it = repeats_.insert(it, Repeats());
    it->format = format.data();
  }
  if (it->second != second) {
    it->second = second;
    it->written = 0;
  }
  if (it->written < kRepeatsMax) {
    ++it->written;
    return false;
  }
  it->level = level;
  it->last = fmt::vformat(format, args);
  ++it->left_out;
  ++left_out_;
  return true;
}

// Of the seconds before `now`, or of all.
void Logger::TellOfRepeats(const timespec& now, bool at_the_end) {
  for (Repeats& repeats : repeats_) {
    if (repeats.left_out == 0 || (repeats.second == now.tv_sec && !at_the_end)) continue;
    WriteLine(
        repeats.level,
        fmt::format("{} lines like this one were left out: {}", repeats.left_out, repeats.last),
        now);
    left_out_ -= std::exchange(repeats.left_out, 0);
  }
}

void Logger::WriteLine(spdlog::level::level_enum level, const std::string& message,
                       const timespec& now) {
  // With the time given, spdlog reads no clock of its own.
  const spdlog::log_clock::time_point time{std::chrono::duration_cast<spdlog::log_clock::duration>(
      std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec))};
  if (lost_untold_ > 0) {
    logger_->log(
        time, spdlog::source_loc{}, spdlog::level::warn,
        fmt::format("{} lines of this log were lost: they could not be written", lost_untold_));
    if (sink_->written()) lost_untold_ = 0;
  }
  logger_->log(time, spdlog::source_loc{}, level, Printable(message));
  if (sink_->written()) return;
  ++lost_lines_;
  ++lost_untold_;
}

}  // namespace pollux
