#include "core/http/body.h"

#include <algorithm>
#include <limits>

#include "core/http/syntax.h"

namespace pollux::http {

BodySkipper::BodySkipper(const Request& request, const BodyLimits& limits)
    : limits_(limits), chunked_(request.chunked) {
  if (chunked_) return;
  remaining_ = request.content_length.value_or(0);
  if (remaining_ > limits_.body_bytes_max) {
    Fail(413, "request content too large");
  } else if (remaining_ == 0) {
    outcome_.state = State::kComplete;
  }
}

BodySkipper::Outcome BodySkipper::Skip(std::string_view bytes) {
  if (outcome_.state != State::kNeedMore) return outcome_;
  const size_t consumed = chunked_ ? SkipChunked(bytes) : SkipContent(bytes);
  if (!chunked_ && remaining_ == 0) outcome_.state = State::kComplete;
  Outcome outcome = outcome_;
  outcome.consumed = consumed;
  return outcome;
}

size_t BodySkipper::SkipContent(std::string_view bytes) {
  const auto skipped = static_cast<size_t>(std::min<uint64_t>(remaining_, bytes.size()));
  remaining_ -= skipped;
  return skipped;
}

// Returns how many bytes were taken; the one that made it fail is not.
size_t BodySkipper::SkipChunked(std::string_view bytes) {
  size_t i = 0;
  while (i < bytes.size()) {
    if (position_ == Position::kData) {
      i += SkipContent(bytes.substr(i));
      if (remaining_ == 0) position_ = Position::kDataCr;
      continue;
    }
    const char c = bytes[i];
    if (position_ == Position::kDataCr) {
      Expect(c, '\r', Position::kDataLf);
    } else if (position_ == Position::kDataLf) {
      Expect(c, '\n', Position::kSizeStart);
    } else if (position_ < Position::kData) {
      ScanChunkLine(c);
    } else {
      ScanTrailer(c);
    }
    if (outcome_.state == State::kBad) return i;
    ++i;
    if (outcome_.state == State::kComplete) return i;
  }
  return i;
}

// chunk-size [ chunk-ext ] CRLF. Extensions are ignored, but a line break or another control byte
// in one is not: disagreeing about where such a line ends is how requests are smuggled.
void BodySkipper::ScanChunkLine(char c) {
  if (position_ == Position::kSizeLf) {
    Expect(c, '\n', Position::kData);
    if (outcome_.state == State::kNeedMore) EndChunkLine();
    return;
  }
  if (++line_bytes_ > limits_.chunk_line_bytes_max) return Fail(400, "chunk size line too long");
  switch (position_) {
    case Position::kSizeStart:
      if (HexValue(c) < 0) return Fail(400, "bad chunk size");
      remaining_ = 0;
      position_ = Position::kSize;
      return ScanSize(c);
    case Position::kSize:
      return ScanSize(c);
    case Position::kExtensionSpace:  // BWS (RFC 9112 §7.1.1)
      if (c == ';') {
        position_ = Position::kExtension;
      } else if (c != ' ' && c != '\t') {
        Fail(400, "bad chunk size");
      }
      return;
    default:
      if (c == '\r') {
        position_ = Position::kSizeLf;
      } else if (c != '\t' && IsControl(c)) {
        Fail(400, "control byte in a chunk extension");
      }
  }
}

void BodySkipper::ScanSize(char c) {
  const int digit = HexValue(c);
  if (digit >= 0) {
    if (remaining_ > std::numeric_limits<uint64_t>::max() >> 4) {
      return Fail(400, "chunk size overflows");
    }
    remaining_ = remaining_ << 4 | static_cast<uint64_t>(digit);
  } else if (c == '\r') {
    position_ = Position::kSizeLf;
  } else if (c == ';') {
    position_ = Position::kExtension;
  } else if (c == ' ' || c == '\t') {
    position_ = Position::kExtensionSpace;
  } else {
    Fail(400, "bad chunk size");
  }
}

void BodySkipper::EndChunkLine() {
  line_bytes_ = 0;
  if (remaining_ == 0) {
    position_ = Position::kTrailerStart;
  } else if (remaining_ > limits_.body_bytes_max - total_) {
    Fail(413, "request content too large");
  } else {
    total_ += remaining_;
  }
}

// Trailer fields are ignored, but must be fields (RFC 9112 §7.1.2), in lines as a head has them.
void BodySkipper::ScanTrailer(char c) {
  if (position_ == Position::kEndLf) {
    Expect(c, '\n', Position::kEndLf);
    if (outcome_.state == State::kNeedMore) outcome_.state = State::kComplete;
    return;
  }
  if (position_ == Position::kTrailerStart && c == '\r') {
    position_ = Position::kEndLf;
    return;
  }
  if (++trailer_bytes_ > limits_.trailer_bytes_max) return Fail(431, "trailer section too large");
  switch (position_) {
    case Position::kTrailerStart:
      position_ = Position::kTrailerName;
      if (!IsTokenChar(c)) Fail(400, "bad trailer field");
      return;
    case Position::kTrailerName:
      if (c == ':') {
        position_ = Position::kTrailerValue;
      } else if (!IsTokenChar(c)) {
        Fail(400, "bad trailer field");
      }
      return;
    case Position::kTrailerValue:
      if (c == '\r') {
        position_ = Position::kTrailerLf;
      } else if (c != '\t' && IsControl(c)) {
        Fail(400, "bad trailer field");
      }
      return;
    default:
      return Expect(c, '\n', Position::kTrailerStart);
  }
}

void BodySkipper::Expect(char c, char wanted, Position next) {
  if (c == wanted) {
    position_ = next;
  } else {
    Fail(400, wanted == '\n' ? "bare CR in chunked content" : "no CRLF behind a chunk");
  }
}

void BodySkipper::Fail(int status, const char* reason) {
  outcome_.state = State::kBad;
  outcome_.status = status;
  outcome_.reason = reason;
}

}  // namespace pollux::http
