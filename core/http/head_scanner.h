// Finds the end of a request head, byte by byte, and refuses what makes framing ambiguous before
// anything is parsed: bare CR, bare LF, line folding, control bytes, and heads beyond the limits.
//
// Every byte is looked at once, in whatever pieces it arrives, so a client that drips one byte at a
// time costs linear time, and any split of the bytes ends in the same state at the same byte.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/http/request.h"

namespace pollux::http {

// Empty lines that are skipped before a request line (RFC 9112 §2.2 asks for one; old clients send
// one behind a body). More are an error, so that they cannot be dripped for ever.
inline constexpr size_t kEmptyLinesMax = 8;

// A method longer than any that is implemented gets 501 (RFC 9112 §3).
inline constexpr size_t kMethodBytesMax = 32;

class HeadScanner {
 public:
  enum class State { kNeedMore, kComplete, kBad };

  explicit HeadScanner(const Limits& limits) : limits_(limits) {}

  // Takes bytes up to and including the end of the head, or the last one before the first bad
  // byte, and returns how many. After kComplete and kBad it takes none.
  size_t Scan(std::string_view bytes);

  State state() const { return state_; }
  int status() const { return status_; }          // kBad: 400, 414, 431, 501 or 505
  const char* reason() const { return reason_; }  // kBad: static

  // The head so far, without skipped empty lines, and with its version made "HTTP/1.1" if it is
  // HTTP/1.x with a greater x (RFC 9110 §2.5). Of these the first two are what has arrived so far.
  std::string_view head() const { return head_; }
  std::string_view method() const;
  std::string_view target() const;
  // As received; empty before it is complete.
  std::string_view version() const;

  void Reset();  // keeps the buffer's memory unless it grew large

 private:
  enum class Position {
    kEmptyLine,    // before the request line
    kEmptyLineLf,  // CR of an empty line was seen
    kMethod,
    kTarget,
    kVersion,
    kRequestLineLf,
    kFieldStart,
    kField,
    kFieldLf,
    kEndLf,
  };

  size_t SkipEmptyLines(std::string_view bytes);
  size_t ScanHead(std::string_view window);
  void ScanMethod(char c, size_t at);
  void ScanTarget(char c, size_t at);
  void ScanVersion(char c);
  void FailVersion();
  void ScanFieldStart(char c);
  void ExpectLf(char c, Position next);
  void LowerMinorVersion();
  void Fail(int status, const char* reason);

  Limits limits_;
  State state_ = State::kNeedMore;
  Position position_ = Position::kEmptyLine;
  int status_ = 0;
  const char* reason_ = "";
  std::string head_;
  size_t empty_lines_ = 0;
  size_t fields_ = 0;
  size_t method_end_ = 0;  // offset in head_ of the space behind it; 0 while it has not come
  size_t target_end_ = 0;
  char version_[8] = {};
  size_t version_size_ = 0;
};

}  // namespace pollux::http
