#include "core/http/range.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace pollux::http {
namespace {

using Kind = RangeResult::Kind;

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
constexpr size_t kRangesMax = 8;

std::string Show(const RangeResult& result) {
  if (result.kind == Kind::kWhole) return "whole";
  if (result.kind == Kind::kUnsatisfiable) return "unsatisfiable";
  std::string text;
  for (const ByteRange& range : result.ranges) {
    if (!text.empty()) text += ' ';
    text += std::to_string(range.offset) + "+" + std::to_string(range.length);
  }
  return text;
}

struct Row {
  const char* name;
  std::string value;
  uint64_t size;
  const char* expected;  // "offset+length ...", "whole" or "unsatisfiable"
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.value << " of " << row.size; }

std::string RowName(const testing::TestParamInfo<Row>& info) { return info.param.name; }

class RangeTest : public testing::TestWithParam<Row> {};

TEST_P(RangeTest, IsReadAsExpected) {
  const Row& row = GetParam();
  EXPECT_EQ(Show(ParseRange(row.value, row.size, kRangesMax)), row.expected);
}

// RFC 9110 §14.1.2 and §14.2.
INSTANTIATE_TEST_SUITE_P(
    Rows, RangeTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"First500", "bytes=0-499", 10000, "0+500"},
        Row{"Second500", "bytes=500-999", 10000, "500+500"},
        Row{"Last500", "bytes=-500", 10000, "9500+500"},
        Row{"FromOffset", "bytes=9500-", 10000, "9500+500"},
        Row{"AllOfIt", "bytes=0-", 10000, "0+10000"},
        Row{"FirstAndLastByte", "bytes=0-0,-1", 10000, "0+1 9999+1"},
        Row{"UnitInUpperCase", "BYTES=0-0", 10, "0+1"},
        Row{"SpacesAroundSpecs", "bytes= 0-0 ,\t5-5 ", 10, "0+1 5+1"},
        Row{"EmptyElements", "bytes=,0-0,,5-5,", 10, "0+1 5+1"},
        Row{"LeadingZeros", "bytes=0000-0001", 10, "0+2"},
        Row{"EndIsClamped", "bytes=5-100", 10, "5+5"},
        Row{"SuffixIsClamped", "bytes=-100", 10, "0+10"},
        // CVE-2017-7529
        Row{"SuffixOf2To63", "bytes=-9223372036854775808", 10, "0+10"},
        Row{"SuffixOf2To64", "bytes=-18446744073709551616", 10, "0+10"},
        Row{"HugeSuffixBesideRange", "bytes=-9223372036854774591,-623", 1000, "whole"},
        // CVE-2015-1635
        Row{"EndOf2To64Minus1", "bytes=0-18446744073709551615", 10, "0+10"},
        Row{"LastByteTo2To64Minus1", "bytes=9-18446744073709551615", 10, "9+1"},
        Row{"EndOverflows", "bytes=0-99999999999999999999999", 10, "0+10"},
        Row{"StartOverflows", "bytes=18446744073709551616-", 10, "unsatisfiable"},
        Row{"BothOverflow", "bytes=99999999999999999999998-99999999999999999999999", 10,
            "unsatisfiable"},
        Row{"BothOverflowInWrongOrder", "bytes=99999999999999999999999-99999999999999999999998", 10,
            "whole"},
        Row{"LargestFile", "bytes=18446744073709551614-", kMax, "18446744073709551614+1"},
        Row{"WholeLargestFile", "bytes=0-18446744073709551615", kMax, "0+18446744073709551615"},
        Row{"StartAtTheEnd", "bytes=10-", 10, "unsatisfiable"},
        Row{"StartBehindTheEnd", "bytes=11-20", 10, "unsatisfiable"},
        Row{"SuffixOfZero", "bytes=-0", 10, "unsatisfiable"},
        Row{"AllUnsatisfiable", "bytes=10-,20-30,-0", 10, "unsatisfiable"},
        Row{"SomeUnsatisfiable", "bytes=10-,2-3,-0", 10, "2+2"},
        Row{"EmptyFile", "bytes=0-", 0, "unsatisfiable"},
        Row{"EmptyFileFirstByte", "bytes=0-0", 0, "unsatisfiable"},
        Row{"EmptyFileSuffix", "bytes=-5", 0, "whole"},
        Row{"EmptyFileSuffixOfZero", "bytes=-0", 0, "unsatisfiable"},
        Row{"OtherUnit", "lines=0-1", 10, "whole"}, Row{"NoUnit", "0-1", 10, "whole"},
        Row{"NoEquals", "bytes 0-1", 10, "whole"},
        Row{"SpaceBeforeEquals", "bytes =0-1", 10, "whole"}, Row{"Empty", "", 10, "whole"},
        Row{"NoSpecs", "bytes=", 10, "whole"}, Row{"OnlyEmptyElements", "bytes=, ,", 10, "whole"},
        Row{"OnlyDash", "bytes=-", 10, "whole"}, Row{"WrongOrder", "bytes=5-4", 10, "whole"},
        Row{"OneBadSpecSpoilsAll", "bytes=0-0,x", 10, "whole"},
        Row{"WrongOrderSpoilsAll", "bytes=0-0,5-4", 10, "whole"},
        Row{"Letters", "bytes=a-b", 10, "whole"}, Row{"Hex", "bytes=0x0-0x5", 10, "whole"},
        Row{"Sign", "bytes=+1-2", 10, "whole"}, Row{"NegativeStart", "bytes=-1-2", 10, "whole"},
        Row{"TwoDashes", "bytes=1--2", 10, "whole"},
        Row{"ThreeNumbers", "bytes=1-2-3", 10, "whole"},
        Row{"SpaceInside", "bytes=1 -2", 10, "whole"},
        Row{"JoinedFields", "bytes=0-1, bytes=2-3", 10, "whole"},
        Row{"OverlapIsMerged", "bytes=0-4,3-6", 100, "0+7"},
        Row{"NeighboursAreMerged", "bytes=0-4,5-9", 100, "0+10"},
        Row{"GapIsKept", "bytes=0-4,6-9", 100, "0+5 6+4"},
        Row{"ContainedIsMerged", "bytes=0-9,2-3", 100, "0+10"},
        Row{"OrderOfTheRequestIsKept", "bytes=50-59,0-9,80-89", 100, "50+10 0+10 80+10"},
        Row{"MergedStandsWhereItsFirstStood", "bytes=50-59,0-9,55-64", 100, "50+15 0+10"},
        Row{"BridgeMergesThree", "bytes=0-1,4-5,2-3", 100, "0+6"},
        // CVE-2011-3192
        Row{"SumOverSize", "bytes=0-,0-", 10, "whole"},
        Row{"SumOfSize", "bytes=0-4,0-4", 10, "0+5"},
        Row{"SumOfSizePlusOne", "bytes=0-4,0-5", 10, "whole"},
        Row{"SumWouldWrap", "bytes=0-,0-,0-,0-", kMax, "whole"},
        Row{"AtTheLimit", "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14", 100,
            "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1"},
        Row{"OverTheLimit", "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16", 100, "whole"},
        Row{"UnsatisfiableOnesCount", "bytes=200-,200-,200-,200-,200-,200-,200-,200-,0-0", 100,
            "whole"}}),
    RowName);

// The slow, obvious way: a bitmap of the bytes that each spec names.
struct SmallSpec {
  std::optional<uint64_t> first;
  std::optional<uint64_t> last;
};

RangeResult Reference(const std::vector<SmallSpec>& specs, uint64_t size) {
  uint64_t sum = 0;
  std::vector<int> wanted_by(size, -1);  // the first spec that wants the byte
  for (size_t i = 0; i < specs.size(); ++i) {
    const auto& [first, last] = specs[i];
    if (!first && !last) return {};
    if (first && last && *last < *first) return {};
    // A suffix of an empty file is satisfiable and has no bytes.
    if (!first && size == 0 && *last > 0) return {};
    for (uint64_t byte = 0; byte < size; ++byte) {
      const bool in = first ? byte >= *first && (!last || byte <= *last) : size - byte <= *last;
      if (!in) continue;
      ++sum;
      if (wanted_by[byte] < 0) wanted_by[byte] = static_cast<int>(i);
    }
  }
  if (sum > size) return {};
  if (sum == 0) return {Kind::kUnsatisfiable, {}};
  std::vector<std::pair<int, ByteRange>> runs;  // each with the earliest spec in it
  for (uint64_t byte = 0; byte < size; ++byte) {
    if (wanted_by[byte] < 0) continue;
    if (byte == 0 || wanted_by[byte - 1] < 0) runs.push_back({wanted_by[byte], {byte, 0}});
    runs.back().first = std::min(runs.back().first, wanted_by[byte]);
    ++runs.back().second.length;
  }
  std::sort(runs.begin(), runs.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  RangeResult result{Kind::kRanges, {}};
  for (const auto& run : runs) result.ranges.push_back(run.second);
  return result;
}

std::string Text(const SmallSpec& spec) {
  std::string text = spec.first ? std::to_string(*spec.first) : "";
  text += '-';
  return spec.last ? text + std::to_string(*spec.last) : text;
}

void ExpectAsReference(const std::vector<SmallSpec>& specs, uint64_t size) {
  std::string value = "bytes=";
  for (const SmallSpec& spec : specs) value += Text(spec).append(",");
  ASSERT_EQ(Show(ParseRange(value, size, kRangesMax)), Show(Reference(specs, size)))
      << value << " of " << size;
}

TEST(RangeTest, AllPairsAndTriplesOfSmallSpecsAreAsTheReferenceHasThem) {
  std::vector<SmallSpec> specs;
  constexpr uint64_t kNumbers = 6;  // 0..4, and none
  for (uint64_t first = 0; first < kNumbers; ++first) {
    for (uint64_t last = 0; last < kNumbers; ++last) {
      SmallSpec spec;
      if (first < kNumbers - 1) spec.first = first;
      if (last < kNumbers - 1) spec.last = last;
      specs.push_back(spec);
    }
  }
  for (uint64_t size = 0; size <= 5; ++size) {
    for (const SmallSpec& a : specs) {
      ExpectAsReference({a}, size);
      for (const SmallSpec& b : specs) {
        ExpectAsReference({a, b}, size);
        for (const SmallSpec& c : specs) ExpectAsReference({a, b, c}, size);
      }
    }
  }
}

// Single bytes of a file with room for gaps: every way to order, join and repeat four of them.
TEST(RangeTest, AllFoursOfSingleBytesAreAsTheReferenceHasThem) {
  constexpr uint64_t kSize = 7;
  for (uint64_t a = 0; a < kSize; ++a) {
    for (uint64_t b = 0; b < kSize; ++b) {
      for (uint64_t c = 0; c < kSize; ++c) {
        for (uint64_t d = 0; d < kSize; ++d) {
          ExpectAsReference({{a, a}, {b, b}, {c, c}, {d, d}}, kSize);
        }
      }
    }
  }
}

TEST(RangeTest, ThousandsOfRangesAreIgnoredWithoutBeingKept) {
  std::string value = "bytes=0-";
  for (int i = 0; i < 5000; ++i) value += ",5-" + std::to_string(i + 5);
  const RangeResult result = ParseRange(value, 1 << 20, kRangesMax);
  EXPECT_EQ(result.kind, Kind::kWhole);
  EXPECT_EQ(result.ranges.capacity(), 0u);
}

TEST(RangeTest, ContentRangeNamesFirstAndLastByte) {
  EXPECT_EQ(ContentRange({0, 500}, 1234), "bytes 0-499/1234");
  EXPECT_EQ(ContentRange({kMax - 1, 1}, kMax),
            "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
}

}  // namespace
}  // namespace pollux::http
