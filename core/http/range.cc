#include "core/http/range.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

// One range-spec: "first-last", "first-" or "-suffix". Numbers are unbounded in the grammar, so
// they stay digits until their order is known.
struct Spec {
  std::string_view first;
  std::string_view last;
};

bool AllDigits(std::string_view text) { return std::all_of(text.begin(), text.end(), IsDigit); }

std::string_view StripZeros(std::string_view digits) {
  return digits.substr(std::min(digits.find_first_not_of('0'), digits.size()));
}

bool Less(std::string_view a, std::string_view b) {
  a = StripZeros(a);
  b = StripZeros(b);
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// What does not fit is beyond the end of every file.
uint64_t Saturated(std::string_view digits) { return ParseDecimal(digits).value_or(kMax); }

std::optional<Spec> ParseSpec(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const Spec spec{text.substr(0, dash), text.substr(dash + 1)};
  if (!AllDigits(spec.first) || !AllDigits(spec.last)) return std::nullopt;
  if (spec.first.empty() && spec.last.empty()) return std::nullopt;
  const bool closed = !spec.first.empty() && !spec.last.empty();
  if (closed && Less(spec.last, spec.first)) return std::nullopt;
  return spec;
}

// Nothing where the spec is unsatisfiable. `size` > 0.
std::optional<ByteRange> Satisfy(const Spec& spec, uint64_t size) {
  if (spec.first.empty()) {
    const uint64_t suffix = std::min(Saturated(spec.last), size);
    if (suffix == 0) return std::nullopt;
    return ByteRange{size - suffix, suffix};
  }
  const uint64_t first = Saturated(spec.first);
  if (first >= size) return std::nullopt;
  const uint64_t last = spec.last.empty() ? size - 1 : std::min(Saturated(spec.last), size - 1);
  return ByteRange{first, last - first + 1};
}

// Merges what overlaps or touches. Each merged range stands where the first of its parts stood
// (RFC 9110 §15.3.7.2 wants the order of the request). Their sum was checked, so nothing overflows.
void Coalesce(std::vector<ByteRange>& ranges) {
  struct Placed {
    ByteRange range;
    size_t place;
  };
  std::vector<Placed> sorted;
  sorted.reserve(ranges.size());
  for (size_t i = 0; i < ranges.size(); ++i) sorted.push_back({ranges[i], i});
  std::sort(sorted.begin(), sorted.end(),
            [](const Placed& a, const Placed& b) { return a.range.offset < b.range.offset; });
  size_t out = 0;
  for (size_t i = 1; i < sorted.size(); ++i) {
    ByteRange& into = sorted[out].range;
    const ByteRange& next = sorted[i].range;
    if (next.offset > into.offset + into.length) {
      sorted[++out] = sorted[i];
      continue;
    }
    into.length = std::max(into.offset + into.length, next.offset + next.length) - into.offset;
    sorted[out].place = std::min(sorted[out].place, sorted[i].place);
  }
  sorted.resize(out + 1);
  std::sort(sorted.begin(), sorted.end(),
            [](const Placed& a, const Placed& b) { return a.place < b.place; });
  ranges.clear();
  for (const Placed& placed : sorted) ranges.push_back(placed.range);
}

}  // namespace

RangeResult ParseRange(std::string_view value, uint64_t size, size_t ranges_max) {
  constexpr std::string_view kUnit = "bytes=";
  const auto whole = [] { return RangeResult{}; };
  if (!EqualsIgnoreCase(value.substr(0, kUnit.size()), kUnit)) return whole();

  std::vector<ByteRange> ranges;
  size_t specs = 0;
  uint64_t sum = 0;
  bool sum_exceeds_size = false;
  bool empty_suffix = false;
  ListReader list(value.substr(kUnit.size()));
  while (const auto element = list.Next()) {
    if (element->empty()) continue;  // RFC 9110 §5.6.1.2
    const auto spec = ParseSpec(*element);
    if (!spec || ++specs > ranges_max) return whole();
    if (size == 0) {
      // A suffix of nothing is nothing, which no Content-Range can say: all of it, then.
      empty_suffix = empty_suffix || (spec->first.empty() && Saturated(spec->last) > 0);
      continue;
    }
    const auto range = Satisfy(*spec, size);
    if (!range) continue;
    // Both are at most `size`, so the difference cannot wrap.
    sum_exceeds_size = sum_exceeds_size || range->length > size - sum;
    if (!sum_exceeds_size) sum += range->length;
    ranges.push_back(*range);
  }
  if (specs == 0 || sum_exceeds_size || empty_suffix) return whole();
  if (ranges.empty()) return {RangeResult::Kind::kUnsatisfiable, {}};
  if (ranges.size() > 1) Coalesce(ranges);
  return {RangeResult::Kind::kRanges, std::move(ranges)};
}

std::string ContentRange(const ByteRange& range, uint64_t size) {
  return "bytes " + std::to_string(range.offset) + "-" +
         std::to_string(range.offset + range.length - 1) + "/" + std::to_string(size);
}

}  // namespace pollux::http
