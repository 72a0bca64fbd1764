// Byte ranges (RFC 9110 §14.1.2, §14.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pollux::http {

struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;  // > 0
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct RangeResult {
  enum class Kind {
    kWhole,          // no usable Range (unknown unit, bad syntax, too many): answer 200
    kRanges,         // `ranges` is not empty: 206
    kUnsatisfiable,  // 416 with "Content-Range: bytes */size"
  };
  Kind kind = Kind::kWhole;
  std::vector<ByteRange> ranges;
};

// `value` is the Range field's value, `size` the representation's size in bytes. All arithmetic is
// checked; more than `ranges_max` range specs are ignored as a whole (CVE-2011-3192).
RangeResult ParseRange(std::string_view value, uint64_t size, size_t ranges_max);

// "bytes 0-499/1234"
std::string ContentRange(const ByteRange& range, uint64_t size);

}  // namespace pollux::http
