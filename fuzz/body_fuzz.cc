// Request content: any split ends at the same byte with the same outcome, and where a plain reading
// of RFC 9112 §7.1 finds a whole chunked body, its end is the end that was found. The first byte of
// the input chooses the split, the second the limits; then the content.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/http/body.h"
#include "fuzz/input.h"

namespace {

using pollux::http::BodyLimits;
using pollux::http::BodySkipper;
using pollux::http::Request;
using State = BodySkipper::State;

constexpr size_t kBrokenBytesMax = 64;

constexpr std::string_view kTokenBytes =
    "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

BodySkipper::Outcome SkipInPieces(const Request& request, const BodyLimits& limits,
                                  std::string_view bytes, size_t piece) {
  BodySkipper skipper(request, limits);
  BodySkipper::Outcome all = skipper.Skip("");
  while (all.state == State::kNeedMore && !bytes.empty()) {
    const BodySkipper::Outcome step = skipper.Skip(bytes.substr(0, piece));
    CHECK(step.consumed <= std::min(piece, bytes.size()));
    if (step.state == State::kNeedMore) CHECK(step.consumed == std::min(piece, bytes.size()));
    bytes.remove_prefix(step.consumed);
    const size_t consumed = all.consumed + step.consumed;
    all = step;
    all.consumed = consumed;
  }
  return all;
}

bool IsText(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c == '\t' || (c >= 0x20 && c != 0x7f); });
}

// The line at the beginning of `rest`, cut off with its CRLF.
std::optional<std::string_view> TakeLine(std::string_view& rest) {
  const size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 2);
  return line;
}

// chunk-size [ BWS ";" ... ]
std::optional<size_t> ChunkSize(std::string_view line) {
  const size_t digits = std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
  if (digits == 0) return std::nullopt;
  const std::string_view extension = line.substr(digits);
  const size_t text = extension.find_first_not_of(" \t");
  if (!extension.empty() && (text == std::string_view::npos || extension[text] != ';')) {
    return std::nullopt;
  }
  if (!IsText(extension)) return std::nullopt;
  size_t size = 0;
  for (const char c : line.substr(0, digits)) {
    if (size > SIZE_MAX / 32) return SIZE_MAX;  // more than there is
    const int digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    size = size * 16 + static_cast<size_t>(digit);
  }
  return size;
}

bool IsField(std::string_view line) {
  const size_t colon = line.find(':');
  return colon != std::string_view::npos && colon > 0 &&
         line.substr(0, colon).find_first_not_of(kTokenBytes) == std::string_view::npos &&
         IsText(line.substr(colon));
}

// Where a whole body ends; nothing if there is none.
std::optional<size_t> EndOfChunked(std::string_view bytes) {
  std::string_view rest = bytes;
  for (;;) {
    const auto line = TakeLine(rest);
    const auto size = line ? ChunkSize(*line) : std::nullopt;
    if (!size) return std::nullopt;
    if (*size == 0) break;
    if (*size > rest.size() || rest.substr(*size, 2) != "\r\n") return std::nullopt;
    rest.remove_prefix(*size + 2);
  }
  for (auto line = TakeLine(rest); line; line = TakeLine(rest)) {
    if (line->empty()) return bytes.size() - rest.size();
    if (!IsField(*line)) return std::nullopt;
  }
  return std::nullopt;
}

// That both readings of a chunked body find the same end, or none.
void CompareChunked(const Request& request, const BodyLimits& limits, bool usual_limits,
                    std::string_view bytes) {
  const auto whole = SkipInPieces(request, limits, bytes, std::max<size_t>(bytes.size(), 1));
  const std::optional<size_t> end = EndOfChunked(bytes);
  if (whole.state == State::kComplete) CHECK(end == whole.consumed);
  if (end && usual_limits) {
    CHECK(whole.state == State::kComplete || whole.status == 413 ||
          *end > limits.chunk_line_bytes_max);
  }
}

// The same with each byte of a line's end in the place of which is another one: what two readers
// are fooled by.
void CompareWithBrokenLines(const Request& request, const BodyLimits& limits, bool usual_limits,
                            std::string_view body) {
  std::string broken(body);
  for (size_t i = 0; i < std::min(body.size(), kBrokenBytesMax); ++i) {
    if (body[i] != '\r' && body[i] != '\n') continue;
    broken[i] = 'x';
    CompareChunked(request, limits, usual_limits, broken);
    broken[i] = body[i];
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  const auto piece = static_cast<size_t>(input.Number(1)) + 1;
  const uint64_t how = input.Number(1);
  const std::string_view bytes = input.rest();
  Request request;
  BodyLimits limits;
  if ((how & 1) != 0) {
    request.content_length = how >> 1;
    limits.body_bytes_max = 64;
  } else {
    request.chunked = true;
    if ((how & 2) != 0) limits = {how >> 2, 1 + (how >> 3), how >> 4};
  }
  const auto whole = SkipInPieces(request, limits, bytes, std::max<size_t>(bytes.size(), 1));
  const auto split = SkipInPieces(request, limits, bytes, piece);
  CHECK(whole.state == split.state && whole.status == split.status);
  CHECK(whole.consumed == split.consumed || whole.state == State::kBad);
  if (request.content_length) {
    const bool too_large = *request.content_length > limits.body_bytes_max;
    CHECK((whole.state == State::kBad) == too_large);
    if (!too_large) CHECK(whole.consumed == std::min<size_t>(bytes.size(), how >> 1));
    return 0;
  }
  const bool usual_limits = (how & 2) == 0;
  CompareChunked(request, limits, usual_limits, bytes);
  if (whole.state == State::kComplete) {
    CompareWithBrokenLines(request, limits, usual_limits, bytes.substr(0, whole.consumed));
  }
  return 0;
}
