// Byte ranges: the result is that of a slow and obvious reference with numbers that cannot
// overflow, up to files of 2^63 bytes and numbers of any length; and a multipart answer is as long
// as it says. The input is the file's size (8 bytes), the most ranges (1 byte), then the field.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/http/multipart.h"
#include "core/http/range.h"
#include "fuzz/input.h"

namespace {

using pollux::http::ByteRange;
using pollux::http::ContentRange;
using pollux::http::MultipartRanges;
using pollux::http::ParseRange;
using pollux::http::RangeResult;
using Kind = RangeResult::Kind;
using Wide = unsigned __int128;

constexpr Wide kHuge = Wide{1} << 100;  // stands for all numbers from here on
constexpr uint64_t kFileMax = uint64_t{1} << 63;

struct Span {
  Wide first = 0;
  Wide last = 0;
  bool Touches(const Span& other) const {
    return first <= other.last + 1 && other.first <= last + 1;
  }
};

// Digits without limit: compared as text, so that 2^200 is less than 2^200 + 1.
struct Digits {
  explicit Digits(std::string_view text) {
    while (text.size() > 1 && text.front() == '0') text.remove_prefix(1);
    significant = text;
  }
  bool LessThan(const Digits& other) const {
    if (significant.size() != other.significant.size()) {
      return significant.size() < other.significant.size();
    }
    return significant < other.significant;
  }
  Wide value() const {
    Wide sum = 0;
    for (const char c : significant) {
      sum = sum * 10 + static_cast<Wide>(c - '0');
      if (sum >= kHuge) return kHuge;
    }
    return sum;
  }
  std::string_view significant;
};

std::vector<std::string> Split(std::string_view list) {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == ',') {
      out.emplace_back();
    } else {
      out.back().push_back(c);
    }
  }
  for (std::string& element : out) {
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
      element.pop_back();
    }
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
      element.erase(0, 1);
    }
  }
  return out;
}

RangeResult Reference(std::string_view value, uint64_t size, size_t ranges_max) {
  if (value.size() < 6) return {};
  for (size_t i = 0; i < 6; ++i) {
    if (value[i] != "bytes="[i] && value[i] != "BYTES="[i]) return {};
  }
  std::vector<Span> spans;
  size_t specs = 0;
  Wide sum = 0;
  for (const std::string& spec : Split(value.substr(6))) {
    if (spec.empty()) continue;
    const size_t dash = spec.find('-');
    if (dash == std::string::npos || spec == "-") return {};
    for (size_t i = 0; i < spec.size(); ++i) {
      if (i != dash && (spec[i] < '0' || spec[i] > '9')) return {};
    }
    if (++specs > ranges_max) return {};
    const std::string before = spec.substr(0, dash), after = spec.substr(dash + 1);
    const Digits first(before), last(after);
    Span span{first.value(), after.empty() ? kHuge : last.value()};
    if (before.empty()) {
      if (size == 0 && last.value() > 0) return {};  // all of nothing, which no 206 can say
      if (last.value() == 0) continue;
      span = {last.value() >= size ? 0 : size - last.value(), kHuge};
    } else if (!after.empty() && last.LessThan(first)) {
      return {};
    }
    if (span.first >= size) continue;
    span.last = std::min<Wide>(span.last, Wide{size} - 1);
    sum += span.last - span.first + 1;
    spans.push_back(span);
  }
  if (specs == 0 || sum > size) return {};
  if (spans.empty()) return {Kind::kUnsatisfiable, {}};
  // Joins the first two that touch, in the place of the first, until no two do.
  for (size_t i = 0; i < spans.size(); ++i) {
    for (size_t j = i + 1; j < spans.size(); ++j) {
      if (!spans[i].Touches(spans[j])) continue;
      spans[i] = {std::min(spans[i].first, spans[j].first), std::max(spans[i].last, spans[j].last)};
      spans.erase(spans.begin() + static_cast<ptrdiff_t>(j));
      i = static_cast<size_t>(-1);
      break;
    }
  }
  RangeResult out{Kind::kRanges, {}};
  for (const Span& span : spans) {
    out.ranges.push_back(
        {static_cast<uint64_t>(span.first), static_cast<uint64_t>(span.last - span.first + 1)});
  }
  return out;
}

void CheckMultipart(const std::vector<ByteRange>& ranges, uint64_t size) {
  const MultipartRanges parts(ranges, size, "text/plain",
                              pollux::http::MakeBoundary("\"e\"", 1'000'000'000));
  Wide length = parts.End().size();
  for (size_t i = 0; i < parts.parts(); ++i) {
    length += parts.PartHead(i).size();
    length += parts.range(i).length;
    CHECK(parts.PartHead(i).find(ContentRange(ranges[i], size)) != std::string::npos);
  }
  CHECK(length == parts.ContentLength());
  CHECK(parts.ContentType().starts_with("multipart/byteranges; boundary="));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  const uint64_t file = input.Number(8);
  const auto ranges_max = static_cast<size_t>(input.Number(1));
  const RangeResult got = ParseRange(input.rest(), file, ranges_max);
  const RangeResult wanted = Reference(input.rest(), file, ranges_max);
  CHECK(got.kind == wanted.kind);
  CHECK(got.ranges == wanted.ranges);
  for (const ByteRange& range : got.ranges) {
    CHECK(range.length > 0 && range.length <= file && range.offset <= file - range.length);
  }
  if (got.ranges.size() > 1 && file <= kFileMax) CheckMultipart(got.ranges, file);
  return 0;
}
