#include "core/server/access_log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "core/server/error_advice.h"

namespace pollux {
namespace {

void AppendEscaped(std::string& out, std::string_view text) {
  static constexpr char kHex[] = "0123456789abcdef";
  for (const unsigned char c : text) {
    if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\') {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    } else {
      out += static_cast<char>(c);
    }
  }
}

// As many bytes as a field may have in a line that would be too long. Escaped they are four times
// as many, and still leave room for the rest.
constexpr size_t kLongMethodBytesMax = 32;
constexpr size_t kLongTargetBytesMax = 400;
constexpr size_t kLongFieldBytesMax = 200;
static_assert(4 * (kLongMethodBytesMax + kLongTargetBytesMax + 2 * kLongFieldBytesMax) + 512 <
              kLogLineBytesMax);
constexpr std::string_view kCut = "...";

void AppendField(std::string& out, std::string_view text) {
  out += '"';
  if (text.empty()) {
    out += '-';
  } else {
    AppendEscaped(out, text);
  }
  out += '"';
}

// Not strftime: month names must not depend on a locale.
void AppendTime(std::string& out, int64_t seconds) {
  static constexpr const char* kMonths[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                            "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const time_t time = static_cast<time_t>(seconds);
  struct tm utc = {};
  ::gmtime_r(&time, &utc);
  char text[64];
  std::snprintf(text, sizeof text, "[%02d/%s/%04d:%02d:%02d:%02d +0000]", utc.tm_mday,
                kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  out += text;
}

// With "..." in the place of what is beyond `bytes_max`.
std::string Shortened(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  return std::string(text.substr(0, bytes_max)).append(kCut);
}

std::string FormatWhole(const AccessRecord& record) {
  std::string line;
  line.reserve(160 + record.target.size() + record.referer.size() + record.user_agent.size());
  line += record.host;
  line += " - - ";
  AppendTime(line, record.time);
  line += " \"";
  if (record.method.empty()) {
    line += '-';  // nothing was understood
  } else {
    AppendEscaped(line, record.method);
    line += ' ';
    AppendEscaped(line, record.target);
    if (!record.version.empty()) line.append(" ").append(record.version);
  }
  line += "\" ";
  line += std::to_string(record.status);
  line += ' ';
  line += record.body_bytes == 0 ? "-" : std::to_string(record.body_bytes);
  line += ' ';
  AppendField(line, record.referer);
  line += ' ';
  AppendField(line, record.user_agent);
  line += '\n';
  return line;
}

}  // namespace

std::string FormatAccessLine(const AccessRecord& record) {
  std::string line = FormatWhole(record);
  if (line.size() <= kLogLineBytesMax) return line;
  const std::string method = Shortened(record.method, kLongMethodBytesMax);
  const std::string target = Shortened(record.target, kLongTargetBytesMax);
  const std::string referer = Shortened(record.referer, kLongFieldBytesMax);
  const std::string agent = Shortened(record.user_agent, kLongFieldBytesMax);
  AccessRecord shorter = record;
  shorter.method = method;
  shorter.target = target;
  shorter.referer = referer;
  shorter.user_agent = agent;
  return FormatWhole(shorter);
}

AccessLog::AccessLog(Kernel& kernel, EventLoop& loop, Logger& log, std::string path,
                     LineOutput output)
    : kernel_(kernel),
      loop_(loop),
      log_(log),
      path_(std::move(path)),
      output_(std::move(output)),
      flush_timer_([this] { Flush(); }) {}

AccessLog::~AccessLog() {
  Flush();
  const TimePoint until = MonotonicNow(kernel_) + kLastFlushMax;
  for (TimePoint now = until - kLastFlushMax; !buffer_.empty() && now < until;
       now = MonotonicNow(kernel_)) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - now);
    output_.AwaitRoom(static_cast<int>(left.count()));
    Flush();
    if (!pipe_full_) break;  // no room is not what it lacks
  }
  const auto lines = std::count(buffer_.begin(), buffer_.end(), '\n');
  if (lines > 0) log_.Warn("access log {}: the last {} lines were lost", path_, lines);
}

Result<LineOutput> AccessLog::Open(Kernel& kernel, const std::string& path) {
  if (path.empty()) return LineOutput();
  if (path == "-") return LineOutput::WithoutWaiting(kernel, STDOUT_FILENO);
  // O_NONBLOCK: a log that is a FIFO must not stop the server when its reader is slow.
  Result<Fd> file =
      OwnFd(kernel, kernel.openat(AT_FDCWD, path.c_str(),
                                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644));
  if (!file) return Err(file.error());
  return LineOutput(kernel, std::move(*file));
}

void AccessLog::Add(const AccessRecord& record) {
  if (!enabled()) return;
  if (buffer_.size() >= kBacklogBytesMax) {
    ++dropped_lines_;
    ++dropped_untold_;
    return;
  }
  buffer_ += FormatAccessLine(record);
  if (buffer_.size() >= kBufferBytes && !write_failed_) {
    Flush();
  } else if (!flush_timer_.armed()) {
    loop_.timers().Arm(flush_timer_, loop_.now() + kFlushInterval);
  }
}

void AccessLog::Flush() {
  flush_timer_.Disarm();
  size_t done = 0;
  while (done < buffer_.size()) {
    const Result<size_t> written = output_.Write(std::string_view(buffer_).substr(done));
    if (!written) {
      OnWriteFailed(written.error());
      break;
    }
    write_failed_ = false;
    if (*written == 0) break;
    done += *written;
    line_begun_ = buffer_[done - 1] != '\n';
  }
  buffer_.erase(0, done);
  if (done > 0 && dropped_untold_ > 0) {
    log_.Warn("access log {} can be written again: {} lines were lost meanwhile", path_,
              std::exchange(dropped_untold_, 0));
  }
  // A pipe that is read has room again soon; one that is not is asked ever more seldom.
  retry_ = done > 0 ? kRetryMin : std::min<std::chrono::milliseconds>(2 * retry_, kFlushInterval);
  if (buffer_.empty()) return;
  loop_.timers().Arm(flush_timer_, loop_.now() + retry_);
}

void AccessLog::OnWriteFailed(const Error& error) {
  // EINTR of a signal of `published`: nothing was written, the rest waits for the next flush.
  // EAGAIN of a full FIFO: likewise. ENOSPC, EIO, EPIPE, EDQUOT, EFBIG: kept and tried again too,
  // as room may come back; told once.
  if (error.code != EINTR && error.code != EAGAIN && !write_failed_) {
    log_.Error("access log {}: {}: lines are kept and tried again{}", path_,
               pollux::ToString(error), WhatToDo(error));
  }
  write_failed_ = true;
  pipe_full_ = error.code == EAGAIN;
}

void AccessLog::Reopen() {
  if (!enabled() || path_ == "-") return;
  Flush();
  Result<LineOutput> file = Open(kernel_, path_);
  if (!file) {
    // EACCES: the first time it was opened before root's rights were given up. If the one who
    // renamed the file has made a new one, it is that which cannot be written.
    const char* advice = file.error().code == EACCES
                             ? "; the folder, and the file if there is one, must be writable for "
                               "the user who serves (--user)"
                             : "";
    log_.Error("reopening the access log {}: {}; the old file stays in use{}", path_,
               pollux::ToString(file.error()), advice);
    return;
  }
  output_ = std::move(*file);
  write_failed_ = false;
  if (!line_begun_) return;
  // The old file was full and ends in the middle of a line.
  line_begun_ = false;
  buffer_.erase(0, buffer_.find('\n') + 1);
  ++dropped_lines_;
  ++dropped_untold_;
}

}  // namespace pollux
