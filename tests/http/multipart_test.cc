#include "core/http/multipart.h"

#include <gtest/gtest.h>

#include <string>

namespace pollux::http {
namespace {

std::string Content(const MultipartRanges& ranges, const std::string& file) {
  std::string content;
  for (size_t part = 0; part < ranges.parts(); ++part) {
    content += ranges.PartHead(part);
    content += file.substr(ranges.range(part).offset, ranges.range(part).length);
  }
  return content + ranges.End();
}

// The layout of RFC 9110 §14.6's example.
TEST(MultipartRangesTest, EachPartSaysItsTypeAndItsPlace) {
  const MultipartRanges ranges({{7, 2}, {0, 3}}, 10, "text/plain", "THIS");
  EXPECT_EQ(ranges.ContentType(), "multipart/byteranges; boundary=THIS");
  EXPECT_EQ(Content(ranges, "0123456789"),
            "--THIS\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/10\r\n\r\n78"
            "\r\n--THIS\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-2/10\r\n\r\n012"
            "\r\n--THIS--\r\n");
}

TEST(MultipartRangesTest, ContentLengthIsThatOfTheContent) {
  const std::string file(1234567, 'x');
  for (size_t count : {2, 3, 16}) {
    std::vector<ByteRange> spread;
    for (size_t i = 0; i < count; ++i) spread.push_back({i * 54321, i + 1});
    const MultipartRanges ranges(spread, file.size(), "a/b", MakeBoundary("\"e\"", 5));
    EXPECT_EQ(ranges.ContentLength(), Content(ranges, file).size()) << count;
  }
}

TEST(MultipartRangesTest, TheLargestFileDoesNotOverflow) {
  constexpr uint64_t kSize = uint64_t{1} << 63;
  const MultipartRanges ranges({{0, kSize / 2}, {kSize / 2 + 1, kSize / 2 - 1}}, kSize, "a/b", "B");
  EXPECT_EQ(ranges.ContentLength(), kSize - 1 + ranges.PartHead(0).size() +
                                        ranges.PartHead(1).size() + ranges.End().size());
  EXPECT_NE(ranges.PartHead(0).find("bytes 0-4611686018427387903/9223372036854775808"),
            std::string::npos);
}

TEST(BoundaryTest, DependsOnTheFileAndTheTime) {
  const std::string boundary = MakeBoundary("\"a\"", 1);
  EXPECT_EQ(boundary, MakeBoundary("\"a\"", 1));
  EXPECT_NE(boundary, MakeBoundary("\"a\"", 2));
  EXPECT_NE(boundary, MakeBoundary("\"b\"", 1));
  EXPECT_NE(boundary.substr(0, 16), boundary.substr(16));
  EXPECT_EQ(boundary.size(), 32u);
  EXPECT_EQ(boundary.find_first_not_of("0123456789abcdef"), std::string::npos);
}

}  // namespace
}  // namespace pollux::http
