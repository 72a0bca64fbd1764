// Paths out of request targets, and back: nothing climbs, nothing is decoded twice.
#include "core/http/target.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace pollux::http {
namespace {

constexpr const char* kRefused = "(refused)";

std::string PathOf(std::string_view text) {
  const auto target = ParseTarget(text);
  return target ? target->path : kRefused;
}

struct Row {
  const char* name;
  std::string target;
  std::string path;
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.target; }

std::string RowName(const testing::TestParamInfo<Row>& info) { return info.param.name; }

class TargetTest : public testing::TestWithParam<Row> {};

TEST_P(TargetTest, HasThePath) { EXPECT_EQ(PathOf(GetParam().target), GetParam().path); }

INSTANTIATE_TEST_SUITE_P(Decoding, TargetTest,
                         testing::ValuesIn(std::vector<Row>{
                             Row{"Root", "/", "/"},
                             Row{"Plain", "/a/b.txt", "/a/b.txt"},
                             Row{"Escape", "/a%20b", "/a b"},
                             Row{"LowerCaseHex", "/%c3%a4", "/\xc3\xa4"},
                             Row{"UpperCaseHex", "/%C3%A4", "/\xc3\xa4"},
                             Row{"RawUtf8", "/\xc3\xa4", "/\xc3\xa4"},
                             Row{"DecodedOnce", "/%2541", "/%41"},
                             Row{"DecodedOnceDots", "/%252e%252e/x", "/%2e%2e/x"},
                             Row{"EscapedPercent", "/%25", "/%"},
                             Row{"PlusIsNoSpace", "/a+b", "/a+b"},
                             Row{"EscapedSlash", "/a%2fb", "/a/b"},
                             Row{"EscapedQuestion", "/a%3fb", "/a?b"},
                             Row{"EscapedHash", "/a%23b", "/a#b"},
                             Row{"EscapedLineBreak", "/a%0d%0ab", "/a\r\nb"},
                             Row{"EscapedNul", "/a%00b", kRefused},
                             Row{"EscapedNulAtEnd", "/a.txt%00", kRefused},
                             Row{"EscapedNulOfNul", "/%2500", "/%00"},
                             Row{"RawNul", std::string("/a\0b", 4), kRefused},
                             Row{"BrokenEscape", "/%zz", kRefused},
                             Row{"HalfBrokenEscape", "/%4z", kRefused},
                             Row{"CutEscape", "/%4", kRefused},
                             Row{"CutEscapeAtPercent", "/%", kRefused},
                             Row{"EscapeWithSign", "/%+4", kRefused},
                             Row{"EscapeWithPrefix", "/%0x", kRefused},
                             Row{"MicrosoftEscape", "/%u002e%u002e/x", kRefused}}),
                         RowName);

INSTANTIATE_TEST_SUITE_P(DotSegments, TargetTest,
                         testing::ValuesIn(std::vector<Row>{
                             Row{"Dot", "/.", "/"},
                             Row{"DotSlash", "/./", "/"},
                             Row{"DotInside", "/a/./b", "/a/b"},
                             Row{"DotAtEnd", "/a/.", "/a/"},
                             Row{"DotDot", "/..", "/"},
                             Row{"DotDotSlash", "/../", "/"},
                             Row{"DotDotAbove", "/../x", "/x"},
                             Row{"ManyDotDotAbove", "/../../../../x", "/x"},
                             Row{"DotDotInside", "/a/../b", "/b"},
                             Row{"DotDotTwice", "/a/b/../../c", "/c"},
                             Row{"DotDotAtEnd", "/a/b/..", "/a/"},
                             Row{"DotDotToRoot", "/a/..", "/"},
                             Row{"DotDotSlashAtEnd", "/a/b/../", "/a/"},
                             Row{"MoreDotDotThanSegments", "/a/../../b", "/b"},
                             Row{"Rfc3986Example", "/a/b/c/./../../g", "/a/g"},
                             Row{"ThreeDotsAreAName", "/...", "/..."},
                             Row{"DotDotName", "/..a/a../.b", "/..a/a../.b"},
                             Row{"EscapedDots", "/%2e%2e/x", "/x"},
                             Row{"HalfEscapedDots", "/.%2E/x", "/x"},
                             Row{"EscapedSlashBehindDots", "/a/..%2fx", "/x"},
                             Row{"EscapedSlashesAndDots", "/%2e%2e%2f%2e%2e%2fx", "/x"},
                             Row{"EscapedSlashClimb", "/a%2f..%2f..%2fx", "/x"},
                             Row{"EscapedSlashFirst", "/%2fx", "/x"},
                             Row{"TwoSlashesFirst", "//x", "/x"},
                             Row{"ManySlashes", "/a////b", "/a/b"},
                             Row{"SlashesAtEnd", "/a//", "/a/"},
                             Row{"OnlySlashes", "////", "/"},
                             Row{"DotDotBehindEmptySegment", "/a//../b", "/b"},
                             Row{"DotsBehindEmptySegments", "//..//./x", "/x"},
                             Row{"Backslash", "/a\\..\\b", "/a\\..\\b"},
                             Row{"EscapedBackslash", "/..%5c..%5cx", "/..\\..\\x"},
                             Row{"OverlongDots", "/%c0%ae%c0%ae/x", "/\xc0\xae\xc0\xae/x"},
                             Row{"OverlongSlash", "/..%c0%afx", "/..\xc0\xafx"},
                             Row{"PathParameter", "/..;/x", "/..;/x"},
                             Row{"PathParameterWithName", "/..;a=b/x", "/..;a=b/x"},
                             Row{"DotDotAndSpace", "/..%20/x", "/.. /x"}}),
                         RowName);

// RFC 9112 §3.2.
INSTANTIATE_TEST_SUITE_P(Forms, TargetTest,
                         testing::ValuesIn(std::vector<Row>{
                             Row{"Absolute", "http://a/b", "/b"},
                             Row{"AbsoluteHttps", "https://a/b", "/b"},
                             Row{"AbsoluteUpperCase", "HtTp://a/b", "/b"},
                             Row{"AbsoluteEmptyPath", "http://a", "/"},
                             Row{"AbsoluteQueryOnly", "http://a?q/..", "/"},
                             Row{"AbsoluteDots", "http://a/../b", "/b"},
                             Row{"AbsoluteWithPort", "http://a:80/b", "/b"},
                             Row{"AbsoluteIpv6", "http://[::1]:80/b", "/b"},
                             Row{"AbsoluteNoHost", "http:///b", kRefused},
                             Row{"AbsolutePortOnly", "http://:80/b", kRefused},
                             Row{"AbsoluteUserInfo", "http://u:p@a/b", kRefused},
                             Row{"AbsoluteBadHost", "http://a\\b/c", kRefused},
                             Row{"AbsoluteOneSlash", "http:/a", kRefused},
                             Row{"OtherScheme", "file:///etc", kRefused},
                             Row{"Authority", "a:80", kRefused},
                             Row{"Asterisk", "*", kRefused},
                             Row{"Relative", "a/b", kRefused},
                             Row{"Empty", "", kRefused},
                             Row{"Fragment", "/a#b", kRefused},
                             Row{"FragmentInQuery", "/a?b#c", kRefused}}),
                         RowName);

TEST(TargetTest, QueryIsCutAndLeftAsItIs) {
  const auto target = ParseTarget("/a?b=%zz%00&c=../?d");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->path, "/a");
  EXPECT_EQ(target->query, "b=%zz%00&c=../?d");
  EXPECT_EQ(target->host, "");
}

TEST(TargetTest, HostOfAnAbsoluteFormKeepsItsPort) {
  EXPECT_EQ(ParseTarget("http://a.example:81/b")->host, "a.example:81");
  EXPECT_EQ(ParseTarget("http://[::1]")->host, "[::1]");
}

TEST(TargetTest, UsedTargetKeepsNothingOfItsLastUse) {
  Target target;
  ASSERT_TRUE(ParseTarget("http://a.example/a/long/enough/path/to/need/memory?q", target));
  ASSERT_TRUE(ParseTarget("/b", target));
  EXPECT_EQ(target.path, "/b");
  EXPECT_EQ(target.query, "");
  EXPECT_EQ(target.host, "");
}

bool IsClean(const std::string& path) {
  const std::string closed = path + "/";
  return path.front() == '/' && path.find("//") == std::string::npos &&
         path.find('\0') == std::string::npos && closed.find("/./") == std::string::npos &&
         closed.find("/../") == std::string::npos;
}

// Short strings over the bytes that matter, exhaustively.
TEST(TargetTest, NoCombinationOfDotsSlashesAndEscapesLeavesADotSegment) {
  const std::string pieces[] = {"/", ".", "a", "%2e", "%2f", "%25", "\\", ";"};
  constexpr int kPieces = 8;
  constexpr int kLength = 6;
  int total = 1;
  for (int i = 0; i < kLength; ++i) total *= kPieces;
  for (int n = 0; n < total; ++n) {
    std::string text = "/";
    for (int i = 0, rest = n; i < kLength; ++i, rest /= kPieces) text += pieces[rest % kPieces];
    const std::string path = PathOf(text);
    ASSERT_TRUE(IsClean(path)) << text << " gave " << path;
    // Once clean, a path is its own: encoded and read again it does not change.
    ASSERT_EQ(PathOf(EncodePath(path)), path) << text;
  }
}

TEST(TargetTest, DotSegmentsGoAsAStackOfNamesHasIt) {
  std::mt19937 random(1);
  const std::string names[] = {"..", ".", "", "a", "b", "..."};
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    std::vector<std::string> stack;
    bool directory = false;
    for (int i = static_cast<int>(random() % 8); i >= 0; --i) {
      const std::string& name = names[random() % 6];
      text += "/" + name;
      directory = name.empty() || name == "." || name == "..";
      if (!directory) stack.push_back(name);
      if (name == ".." && !stack.empty()) stack.pop_back();
    }
    std::string expected;
    for (const std::string& name : stack) expected += "/" + name;
    if (directory) expected += "/";
    ASSERT_EQ(PathOf(text), expected) << text;
  }
}

TEST(EncodePathTest, EveryByteButSlashAndNulComesBack) {
  for (int byte = 1; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    if (c == '/') continue;
    const std::string path = std::string("/d") + c + "/x" + c;
    const std::string encoded = EncodePath(path);
    EXPECT_EQ(PathOf(encoded), path) << byte;
    for (const char e : encoded) {
      EXPECT_TRUE(e > ' ' && e < 0x7f && e != '"' && e != '<' && e != '\\' && e != '?') << encoded;
    }
  }
}

TEST(EncodePathTest, UnreservedBytesStay) {
  EXPECT_EQ(EncodePath("/AZaz09-._~/"), "/AZaz09-._~/");
  EXPECT_EQ(EncodePath("/a b\r\n%?#\xc3"), "/a%20b%0D%0A%25%3F%23%C3");
}

TEST(EncodePathTest, NeverBeginsWithTwoSlashes) {
  EXPECT_EQ(EncodePath("//evil.example/x"), "/evil.example/x");
  EXPECT_EQ(EncodePath("////"), "/");
  EXPECT_EQ(EncodePath("/\\evil.example"), "/%5Cevil.example");
  EXPECT_EQ(EncodePath("/a//b"), "/a//b");
}

}  // namespace
}  // namespace pollux::http
