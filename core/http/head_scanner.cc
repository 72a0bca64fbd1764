#include "core/http/head_scanner.h"

#include <algorithm>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

// A head that was larger than this gives its memory back at Reset: thousands of idle connections
// must not each keep the largest head that they ever saw.
constexpr size_t kKeptCapacity = 4096;

// field-vchar, obs-text, space and tab (RFC 9110 §5.5), and the names in front of them, which the
// parser checks.
constexpr ByteSet kFieldBytes = MakeByteSet([](char c) { return c == '\t' || !IsControl(c); });

// What may stand in a target: more than RFC 3986 has (raw UTF-8, `"` or `|` come from real clients
// and mean only themselves), but nothing that ends a word or a line.
constexpr ByteSet kTargetBytes = MakeByteSet([](char c) { return c != ' ' && !IsControl(c); });

constexpr std::string_view kVersionPattern = "HTTP/d.d";
constexpr size_t kMajorVersionOffset = 5;
constexpr size_t kMinorVersionOffset = 7;

}  // namespace

size_t HeadScanner::Scan(std::string_view bytes) {
  if (state_ != State::kNeedMore) return 0;
  const size_t skipped = SkipEmptyLines(bytes);
  bytes.remove_prefix(skipped);
  if (state_ != State::kNeedMore || bytes.empty()) return skipped;

  const std::string_view window = bytes.substr(0, limits_.head_bytes_max - head_.size());
  const size_t used = ScanHead(window);
  head_.append(window.substr(0, used));
  if (state_ == State::kNeedMore && used < bytes.size()) {
    if (position_ == Position::kTarget) {
      Fail(414, "request target too long");
    } else {
      Fail(431, "request head too large");
    }
  }
  if (state_ == State::kComplete) LowerMinorVersion();
  return skipped + used;
}

size_t HeadScanner::SkipEmptyLines(std::string_view bytes) {
  size_t i = 0;
  for (; i < bytes.size(); ++i) {
    if (position_ == Position::kEmptyLineLf) {
      if (bytes[i] != '\n') {
        Fail(400, "bare CR");
        return i;
      }
      position_ = Position::kEmptyLine;
      if (++empty_lines_ > kEmptyLinesMax) {
        Fail(400, "too many empty lines before a request");
        return i + 1;
      }
    } else if (position_ != Position::kEmptyLine) {
      return i;
    } else if (bytes[i] == '\r') {
      position_ = Position::kEmptyLineLf;
    } else if (bytes[i] == '\n') {
      Fail(400, "bare LF");
      return i;
    } else {
      position_ = Position::kMethod;
      return i;
    }
  }
  return i;
}

// Returns how many bytes were taken; the byte that made it fail is not.
size_t HeadScanner::ScanHead(std::string_view window) {
  size_t i = 0;
  while (i < window.size() && state_ == State::kNeedMore) {
    const char c = window[i];
    switch (position_) {
      case Position::kEmptyLine:
      case Position::kEmptyLineLf:
      case Position::kMethod:
        ScanMethod(c, head_.size() + i);
        break;
      case Position::kTarget:
        ScanTarget(c, head_.size() + i);
        break;
      case Position::kVersion:
        ScanVersion(c);
        break;
      case Position::kRequestLineLf:
        ExpectLf(c, Position::kFieldStart);
        break;
      case Position::kFieldStart:
        ScanFieldStart(c);
        break;
      case Position::kField:
        // Most bytes of a head are here: a tight loop to the end of the line.
        while (i < window.size() && Contains(kFieldBytes, window[i])) ++i;
        if (i == window.size()) return i;
        if (window[i] == '\r') {
          position_ = Position::kFieldLf;
        } else {
          Fail(400, window[i] == '\n' ? "bare LF" : "control byte in a field");
        }
        break;
      case Position::kFieldLf:
        ExpectLf(c, Position::kFieldStart);
        break;
      case Position::kEndLf:
        ExpectLf(c, Position::kEndLf);
        if (state_ == State::kNeedMore) state_ = State::kComplete;
        break;
    }
    if (state_ != State::kBad) ++i;
  }
  return i;
}

void HeadScanner::ScanMethod(char c, size_t at) {
  if (c == ' ' && at > 0) {
    method_end_ = at;
    position_ = Position::kTarget;
  } else if (!IsTokenChar(c)) {
    Fail(400, "bad method");
  } else if (at >= kMethodBytesMax) {
    Fail(501, "method not implemented");
  }
}

void HeadScanner::ScanTarget(char c, size_t at) {
  const size_t size = at - method_end_ - 1;
  if (c == ' ' && size > 0) {
    target_end_ = at;
    position_ = Position::kVersion;
  } else if (!Contains(kTargetBytes, c)) {
    Fail(400, "bad request line");
  } else if (size >= limits_.target_bytes_max) {
    Fail(414, "request target too long");
  }
}

void HeadScanner::FailVersion() {
  version_size_ = 0;
  Fail(400, "bad HTTP version");
}

void HeadScanner::ScanVersion(char c) {
  if (version_size_ < sizeof(version_)) {
    version_[version_size_++] = c;
    // Refused at its first wrong byte, so that garbage is never waited on.
    const char expected = kVersionPattern[version_size_ - 1];
    if (expected == 'd' ? !IsDigit(c) : c != expected) FailVersion();
  } else if (c != '\r') {
    FailVersion();
  } else if (version_[kMajorVersionOffset] != '1') {
    // HTTP/0.9 was no line with a version in it; what names it is as foreign as HTTP/2.0.
    Fail(505, "HTTP version not supported");
  } else {
    position_ = Position::kRequestLineLf;
  }
}

void HeadScanner::ScanFieldStart(char c) {
  if (c == '\r') {
    position_ = Position::kEndLf;
  } else if (c == ' ' || c == '\t') {
    // Also white space between the request line and the first field (RFC 9112 §2.2).
    Fail(400, "line folding");
  } else if (c == '\n') {
    Fail(400, "bare LF");
  } else if (IsControl(c)) {
    Fail(400, "control byte in a field");
  } else if (fields_ == limits_.header_count_max) {
    Fail(431, "too many header fields");
  } else {
    ++fields_;
    position_ = Position::kField;
  }
}

void HeadScanner::ExpectLf(char c, Position next) {
  if (c == '\n') {
    position_ = next;
  } else {
    Fail(400, "bare CR");
  }
}

// The parser behind this one knows HTTP/1.0 and 1.1 only.
void HeadScanner::LowerMinorVersion() {
  char& minor = head_[target_end_ + 1 + kMinorVersionOffset];
  if (minor > '1') minor = '1';
}

void HeadScanner::Fail(int status, const char* reason) {
  state_ = State::kBad;
  status_ = status;
  reason_ = reason;
}

std::string_view HeadScanner::method() const {
  const std::string_view head = head_;
  return head.substr(0, method_end_ == 0 ? std::min(head.size(), kMethodBytesMax) : method_end_);
}

std::string_view HeadScanner::target() const {
  if (method_end_ == 0) return {};
  const std::string_view rest = std::string_view(head_).substr(method_end_ + 1);
  return target_end_ == 0 ? rest : rest.substr(0, target_end_ - method_end_ - 1);
}

std::string_view HeadScanner::version() const {
  return version_size_ == sizeof(version_) ? std::string_view(version_, sizeof(version_)) : "";
}

void HeadScanner::Reset() {
  state_ = State::kNeedMore;
  position_ = Position::kEmptyLine;
  status_ = 0;
  reason_ = "";
  head_.clear();
  if (head_.capacity() > kKeptCapacity) head_.shrink_to_fit();
  empty_lines_ = 0;
  fields_ = 0;
  method_end_ = 0;
  target_end_ = 0;
  version_size_ = 0;
}

}  // namespace pollux::http
