// Request heads: any split of the same bytes gives the same outcome, and what is accepted holds
// what the rest of the server relies on. The first byte of the input chooses the split.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/http/request.h"

namespace {

using pollux::http::Limits;
using pollux::http::Request;
using pollux::http::RequestParser;
using State = RequestParser::State;

// Small ones: what reaches the usual ones takes time to read and says nothing more.
constexpr Limits kLimits = {2048, 20, 1024};

struct Read {
  RequestParser parser{kLimits};
  RequestParser::Outcome outcome;  // `consumed` is the sum over the pieces
};

// Feeds `bytes` in pieces of `piece` bytes, as a socket would.
Read ReadInPieces(std::string_view bytes, size_t piece) {
  Read read;
  while (read.outcome.state == State::kNeedMore && !bytes.empty()) {
    const RequestParser::Outcome step = read.parser.Parse(bytes.substr(0, piece));
    CHECK(step.consumed <= std::min(piece, bytes.size()));
    if (step.state == State::kNeedMore) CHECK(step.consumed == std::min(piece, bytes.size()));
    bytes.remove_prefix(step.consumed);
    const size_t consumed = read.outcome.consumed + step.consumed;
    read.outcome = step;
    read.outcome.consumed = consumed;
  }
  return read;
}

bool HasDotSegment(std::string_view path) {
  for (;;) {
    const size_t end = path.find('/');
    const std::string_view segment = path.substr(0, end);
    if (segment == "." || segment == "..") return true;
    if (end == std::string_view::npos) return false;
    path.remove_prefix(end + 1);
  }
}

// Head and fields within the limits; `head` from the request line on.
void CheckLimits(std::string_view head, const Request& request) {
  while (head.starts_with("\r\n")) head.remove_prefix(2);
  CHECK(head.size() <= kLimits.head_bytes_max);
  CHECK(request.target.size() <= kLimits.target_bytes_max);
  const auto lines = static_cast<size_t>(std::count(head.begin(), head.end(), '\n'));
  CHECK(lines >= 2 && lines - 2 <= kLimits.header_count_max);  // request line and empty line
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = size_t{data[0]} + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Read whole = ReadInPieces(bytes, std::max<size_t>(bytes.size(), 1));
  const Read split = ReadInPieces(bytes, piece);

  CHECK(whole.outcome.state == split.outcome.state);
  CHECK(whole.outcome.status == split.outcome.status);
  if (whole.outcome.state != State::kComplete) return 0;

  CHECK(whole.outcome.consumed == split.outcome.consumed);
  const Request& request = whole.parser.request();
  const Request& other = split.parser.request();
  CheckLimits(bytes.substr(0, whole.outcome.consumed), request);
  CHECK(request.path == other.path);
  CHECK(request.query == other.query);
  CHECK(request.host == other.host);
  CHECK(request.range == other.range);
  CHECK(request.accept == other.accept);
  CHECK(request.content_length == other.content_length);
  CHECK(request.keep_alive == other.keep_alive);

  // CONNECT has an authority for its target.
  const bool pathless =
      request.method_name == "CONNECT" ? request.path.empty() : request.path == "*";
  CHECK(pathless || request.path.starts_with('/'));
  CHECK(request.path.find('\0') == std::string::npos);
  CHECK(!HasDotSegment(request.path));
  CHECK(!(request.chunked && request.content_length));  // RFC 9112 §6.1: one framing or none
  return 0;
}
