// Request bodies are never stored; they are skipped, exactly to their end, so that the next request
// of the connection is found (RFC 9112 §§6.3, 7.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/http/request.h"

namespace pollux::http {

struct BodyLimits {
  uint64_t body_bytes_max = 1024 * 1024;  // content, without chunk framing: 413
  size_t chunk_line_bytes_max = 256;      // size and extensions of one chunk: 400
  size_t trailer_bytes_max = 4096;        // whole trailer section: 431
};

class BodySkipper {
 public:
  enum class State { kNeedMore, kComplete, kBad };
  struct Outcome {
    State state = State::kNeedMore;
    size_t consumed = 0;      // of the bytes given; after kComplete the rest is pipelined
    int status = 0;           // kBad: what to answer (400, 413, 431)
    const char* reason = "";  // kBad: a few static words
  };

  // For the body of `request`, as its parser completed it: chunked, of a known length, or none.
  BodySkipper(const Request& request, const BodyLimits& limits);

  // Takes the bytes that followed the last call's consumed ones. Any split gives the same result.
  // A body that is known to be too large is kBad at once, even for no bytes; one without content
  // is kComplete at once. Nothing behind a bad byte is ever consumed: close the connection.
  Outcome Skip(std::string_view bytes);

 private:
  enum class Position {
    kSizeStart,  // the first digit of a chunk's size
    kSize,
    kExtensionSpace,  // white space that must end in an extension
    kExtension,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLf,
    kEndLf,
  };

  size_t SkipContent(std::string_view bytes);
  size_t SkipChunked(std::string_view bytes);
  void ScanChunkLine(char c);
  void ScanSize(char c);
  void EndChunkLine();
  void ScanTrailer(char c);
  void Expect(char c, char wanted, Position next);
  void Fail(int status, const char* reason);

  BodyLimits limits_;
  bool chunked_ = false;
  Outcome outcome_;  // consumed stays 0
  Position position_ = Position::kSizeStart;
  uint64_t remaining_ = 0;  // of the content, or of the chunk
  uint64_t total_ = 0;      // content of the chunks so far
  size_t line_bytes_ = 0;
  size_t trailer_bytes_ = 0;
};

}  // namespace pollux::http
