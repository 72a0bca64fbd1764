// The access log: Apache's combined format, buffered.
//
// No client can forge a line: control bytes, quotes, backslashes and bytes that are not ASCII are
// written as \xHH. Lines wait in memory until the buffer is full or kFlushInterval is over. A file
// gets each flush in one write, so that several processes may append to it; a pipe gets whole lines
// in pieces that it does not tear apart (pipe(7)), and for both no line is longer than
// kLogLineBytesMax: of one that would be, long fields lose their ends.
//
// A log that cannot be written, because nobody reads the pipe or the disk is full, is never waited
// for: lines are kept up to kBacklogBytesMax and then lost, and the error log says how many once
// it can be written again.
//
// Threads: loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/event/event_loop.h"
#include "core/sys/kernel.h"
#include "core/sys/line_output.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

struct AccessRecord {
  std::string_view host;  // the client's address
  int64_t time = 0;       // seconds since the epoch
  std::string_view method;
  std::string_view target;   // as received; a request that was never understood leaves it empty
  std::string_view version;  // likewise
  int status = 0;
  // What was handed over to be sent; of an answer that is cut, what the socket has accepted as far
  // as the loop knows, without what a worker is sending just then.
  uint64_t body_bytes = 0;
  std::string_view referer;
  std::string_view user_agent;
};

// One line, newline included:
//   host - - [06/Nov/1994:08:49:37 +0000] "GET /x HTTP/1.1" 200 123 "referer" "agent"
std::string FormatAccessLine(const AccessRecord& record);

class AccessLog {
 public:
  static constexpr size_t kBufferBytes = 32 * 1024;  // half a pipe
  // What a log that cannot be written may hold before lines are dropped.
  static constexpr size_t kBacklogBytesMax = 1024 * 1024;
  static constexpr std::chrono::seconds kFlushInterval{1};
  // After a write that failed: doubled from here up to kFlushInterval while nothing is taken.
  static constexpr std::chrono::milliseconds kRetryMin{10};
  static constexpr std::chrono::milliseconds kLastFlushMax{1000};

  // `path` may be "-" for standard output, or empty: then nothing is logged.
  // `output` is what Open gave.
  AccessLog(Kernel& kernel, EventLoop& loop, Logger& log, std::string path, LineOutput output);
  // Flushes. A reader that still reads gets up to a second, since nobody is served any more.
  ~AccessLog();

  // To be called before rights are given up. EISDIR, ENOENT, EACCES, ...: as open(2) has them.
  static Result<LineOutput> Open(Kernel& kernel, const std::string& path);
  bool enabled() const { return !path_.empty(); }

  void Add(const AccessRecord& record);
  void Flush();

  // After SIGHUP: flushes, then opens the path again, so that a renamed file gets no more lines.
  // If that fails the old file stays in use, and the error log says so. What remains of a line of
  // which the old file has the beginning is lost with it.
  void Reopen();

  uint64_t dropped_lines() const { return dropped_lines_; }

 private:
  void OnWriteFailed(const Error& error);

  Kernel& kernel_;
  EventLoop& loop_;
  Logger& log_;
  std::string path_;
  LineOutput output_;
  std::string buffer_;
  bool line_begun_ = false;  // the log has the beginning of buffer_'s first line
  Timer flush_timer_;
  std::chrono::milliseconds retry_ = kRetryMin;
  uint64_t dropped_lines_ = 0;
  uint64_t dropped_untold_ = 0;
  bool write_failed_ = false;  // told once, until a write succeeds
  bool pipe_full_ = false;     // of the last failed write: EAGAIN
};

}  // namespace pollux
