// The access log: Apache's combined format, buffered.
//
// No client can forge a line: control bytes, quotes, backslashes and bytes that are not ASCII are
// written as \xHH. Lines wait in memory until the buffer is full or kFlushInterval is over.
//
// Threads: loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/event/event_loop.h"
#include "core/sys/kernel.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

struct AccessRecord {
  std::string_view host;  // the client's address
  int64_t time = 0;       // seconds since the epoch
  std::string_view method;
  std::string_view target;  // as received; a request that was never understood leaves it empty
  int version_minor = 1;
  int status = 0;
  uint64_t body_bytes = 0;  // accepted by the socket
  std::string_view referer;
  std::string_view user_agent;
};

// One line, newline included:
//   host - - [06/Nov/1994:08:49:37 +0000] "GET /x HTTP/1.1" 200 123 "referer" "agent"
std::string FormatAccessLine(const AccessRecord& record);

class AccessLog {
 public:
  static constexpr size_t kBufferBytes = 64 * 1024;
  // What a log that cannot be written may hold before lines are dropped.
  static constexpr size_t kBacklogBytesMax = 1024 * 1024;
  static constexpr std::chrono::seconds kFlushInterval{1};

  // `path` may be "-" for standard output, or empty: then nothing is logged.
  AccessLog(Kernel& kernel, EventLoop& loop, Logger& log, std::string path);
  ~AccessLog();  // flushes

  Status Open();
  bool enabled() const { return !path_.empty(); }

  void Add(const AccessRecord& record);
  void Flush();

  // After SIGHUP: flushes, then opens the path again, so that a renamed file gets no more lines.
  // If that fails the old file stays in use, and the error log says so.
  void Reopen();

  uint64_t dropped_lines() const { return dropped_lines_; }

 private:
  int Descriptor() const;
  Result<Fd> OpenFile();

  Kernel& kernel_;
  EventLoop& loop_;
  Logger& log_;
  std::string path_;
  Fd file_;
  std::string buffer_;
  Timer flush_timer_;
  uint64_t dropped_lines_ = 0;
  bool write_failed_ = false;  // told once, until a write succeeds
};

}  // namespace pollux
