#include "core/server/access_log.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

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

}  // namespace

std::string FormatAccessLine(const AccessRecord& record) {
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
    line += record.version_minor == 0 ? " HTTP/1.0" : " HTTP/1.1";
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

AccessLog::AccessLog(Kernel& kernel, EventLoop& loop, Logger& log, std::string path)
    : kernel_(kernel), loop_(loop), log_(log), path_(std::move(path)), flush_timer_([this] {
        Flush();
      }) {}

AccessLog::~AccessLog() { Flush(); }

Result<Fd> AccessLog::OpenFile() {
  // O_NONBLOCK: a log that is a FIFO must not stop the server when its reader is slow.
  return OwnFd(kernel_,
               kernel_.openat(AT_FDCWD, path_.c_str(),
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644));
}

Status AccessLog::Open() {
  if (!enabled() || path_ == "-") return {};
  Result<Fd> file = OpenFile();
  if (!file) return Err(file.error());
  file_ = std::move(*file);
  return {};
}

int AccessLog::Descriptor() const { return path_ == "-" ? STDOUT_FILENO : file_.get(); }

void AccessLog::Add(const AccessRecord& record) {
  if (!enabled()) return;
  if (buffer_.size() >= kBacklogBytesMax) {
    ++dropped_lines_;
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
    const Result<size_t> written =
        kernel_.write(Descriptor(), buffer_.data() + done, buffer_.size() - done);
    if (!written) {
      // EINTR of a signal of `published`: nothing was written, the rest waits for the next flush.
      // EAGAIN of a full FIFO: likewise. ENOSPC, EIO, EPIPE, EDQUOT: kept and tried again too, as
      // room may come back; told once.
      const int code = written.error().code;
      if (code != EINTR && code != EAGAIN && !write_failed_) {
        log_.Error("access log {}: {}; lines are kept and tried again", path_,
                   pollux::ToString(written.error()));
      }
      write_failed_ = true;
      break;
    }
    write_failed_ = false;
    done += *written;
    if (*written == 0) break;
  }
  buffer_.erase(0, done);
  if (!buffer_.empty()) loop_.timers().Arm(flush_timer_, loop_.now() + kFlushInterval);
}

void AccessLog::Reopen() {
  if (!enabled() || path_ == "-") return;
  Flush();
  Result<Fd> file = OpenFile();
  if (!file) {
    log_.Error("reopening the access log {}: {}; the old file stays in use", path_,
               pollux::ToString(file.error()));
    return;
  }
  file_ = std::move(*file);
  write_failed_ = false;
}

}  // namespace pollux
