// What a request head may look like and what is refused, a row each, named by its rule. Every row
// is parsed at every split (split.h). RFC numbers: 9112 unless they say 9110.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/http/request.h"
#include "tests/http/split.h"

namespace pollux::http {
namespace {

using State = RequestParser::State;

struct Row {
  const char* name;
  const char* clause;
  std::string bytes;
  int status;  // 0: complete
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.clause << " " << row.bytes; }

std::string RowName(const testing::TestParamInfo<Row>& info) { return info.param.name; }

// Bytes with NUL in them.
template <size_t size>
std::string Bytes(const char (&text)[size]) {
  return std::string(text, size - 1);
}

std::string Get(const std::string& fields) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
}

class FramingTest : public testing::TestWithParam<Row> {};

TEST_P(FramingTest, OutcomeIsTheSameAtEverySplit) {
  const Row& row = GetParam();
  const std::string next = "GET /next HTTP/1.1\r\n";
  const Parsed parsed = ParseAtEverySplit(row.bytes + next);
  EXPECT_EQ(parsed.status, row.status) << parsed.reason;
  if (row.status == 0) {
    EXPECT_EQ(parsed.state, State::kComplete);
    EXPECT_EQ(parsed.consumed, row.bytes.size()) << "what follows was touched";
  } else {
    EXPECT_EQ(parsed.state, State::kBad);
    EXPECT_NE(parsed.reason, "");
    EXPECT_LE(parsed.consumed, row.bytes.size()) << "waited for more than the bad bytes";
    EXPECT_FALSE(parsed.request.keep_alive);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Lines, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Minimal", "2.1", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"OneEmptyLineBefore", "2.2", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"EightEmptyLinesBefore", "2.2",
            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"NineEmptyLinesBefore", "2.2",
            "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BareCrBeforeRequest", "2.2", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BareLfBeforeRequest", "2.2", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BareCrEndsRequestLine", "2.2", "GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
        Row{"BareLfEndsRequestLine", "2.2", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
        Row{"BareLfThroughout", "2.2", "GET / HTTP/1.1\nHost: a\n\n", 400},
        Row{"BareCrInTarget", "2.2", "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BareCrInValue", "2.2", Get("X: a\rb\r\n"), 400},
        Row{"BareCrEndsField", "2.2", Get("X: a\rY: b\r\n"), 400},
        Row{"TwoCrEndField", "2.2", Get("X: a\r\r\n"), 400},
        Row{"BareLfEndsField", "2.2", Get("X: a\nY: b\r\n"), 400},
        Row{"BareLfEndsHead", "2.2", "GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
        Row{"BareCrEndsHead", "2.2", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400},
        Row{"SpaceBeforeFirstField", "2.2", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        Row{"TabBeforeFirstField", "2.2", "GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", 400},
        Row{"TlsClientHello", "2.2", Bytes("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03"), 400},
        Row{"NulFirst", "2.2", Bytes("\0GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    RequestLine, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"TwoSpacesBehindMethod", "3", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"TwoSpacesBehindTarget", "3", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"TabBehindMethod", "3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"TabInTarget", "3", "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"SpaceFirst", "3", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"SpaceLast", "3", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        Row{"SpaceInTarget", "3.2", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"NulInTarget", "3.2", Bytes("GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
        Row{"DelInTarget", "3.2", "GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"RawUtf8InTarget", "3.2", "GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"FragmentInTarget", "3.2", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"NoTarget", "3", "GET HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"MethodOnly", "3", "GET\r\n\r\n", 400},
        Row{"SimpleRequestOfHttp09", "3", "GET /\r\n\r\n", 400},
        Row{"EmptyMethod", "3.1", " / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"MethodIsNoToken", "3.1", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"MethodWithNul", "3.1", Bytes("GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400},
        Row{"MethodWithHighByte", "3.1", "GE\xc3 / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"MethodOf32Bytes", "3.1", std::string(32, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"MethodOf33Bytes", "3.1", std::string(33, 'M') + " / HTTP/1.1\r\nHost: a\r\n\r\n", 501},
        Row{"EndlessMethod", "3.1", std::string(9000, 'M'), 501}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Version, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Http10", "2.3", "GET / HTTP/1.0\r\n\r\n", 0},
        Row{"Http12IsServedAs11", "9110 2.5", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 0},
        Row{"Http19IsServedAs11", "9110 2.5", "GET / HTTP/1.9\r\nHost: a\r\n\r\n", 0},
        Row{"Http12NeedsHost", "3.2", "GET / HTTP/1.2\r\n\r\n", 400},
        Row{"Http20", "9110 15.6.6", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        Row{"Http2Preface", "9110 15.6.6", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        Row{"Http30", "9110 15.6.6", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505},
        Row{"Http09", "9110 15.6.6", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505},
        Row{"LowerCase", "2.3", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"NoMinor", "2.3", "GET / HTTP/1\r\nHost: a\r\n\r\n", 400},
        Row{"Http2WithoutMinor", "2.3", "GET / HTTP/2\r\nHost: a\r\n\r\n", 400},
        Row{"TwoDigitMinor", "2.3", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
        Row{"TwoDigitMajor", "2.3", "GET / HTTP/11.1\r\nHost: a\r\n\r\n", 400},
        Row{"Letters", "2.3", "GET / HTTP/a.b\r\nHost: a\r\n\r\n", 400},
        Row{"Comma", "2.3", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", 400},
        Row{"OtherProtocol", "2.3", "GET / ICAP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"Empty", "2.3", "GET / \r\nHost: a\r\n\r\n", 400}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Target, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Absolute", "3.2.2", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"AbsoluteEmptyPath", "3.2.2", "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"AbsoluteUpperCaseScheme", "3.2.2", "GET HTTP://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"AbsoluteStillNeedsHost", "3.2", "GET http://b/x HTTP/1.1\r\n\r\n", 400},
        Row{"AbsoluteWithBadHostField", "3.2", "GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        Row{"AbsoluteWithoutAuthority", "9110 4.2.1", "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
            400},
        Row{"AbsoluteWithUserInfo", "9110 4.2.4", "GET http://u@b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            400},
        Row{"AbsoluteOtherScheme", "3.2.2", "GET ftp://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"AsteriskWithOptions", "3.2.4", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
        Row{"AsteriskWithGet", "3.2.4", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"AsteriskWithPost", "3.2.4", "POST * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"AsteriskAndMore", "3.2.4", "OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"AuthorityWithGet", "3.2.3", "GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"AuthorityWithConnectIsLeftTo405", "3.2.3", "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            0},
        Row{"NoLeadingSlash", "3.2.1", "GET a/b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"QueryOnly", "3.2.1", "GET ?x HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"EscapedNul", "3.2", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BrokenEscape", "3.2", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        Row{"BrokenEscapeInQueryIsNotDecoded", "3.2", "GET /?%zz HTTP/1.1\r\nHost: a\r\n\r\n", 0}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Host, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Missing", "3.2", "GET / HTTP/1.1\r\n\r\n", 400},
        Row{"MissingInHttp10", "3.2", "GET / HTTP/1.0\r\n\r\n", 0},
        Row{"Repeated", "3.2", Get("Host: b\r\n"), 400},
        Row{"RepeatedEqual", "3.2", Get("Host: a\r\n"), 400},
        Row{"RepeatedInHttp10", "3.2", "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        Row{"Empty", "3.2", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 0},
        Row{"WithPort", "3.2", "GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n", 0},
        Row{"WithEmptyPort", "3.2", "GET / HTTP/1.1\r\nHost: a.example:\r\n\r\n", 0},
        Row{"WithLargestPort", "3.2", "GET / HTTP/1.1\r\nHost: a:65535\r\n\r\n", 0},
        Row{"WithTooLargePort", "3.2", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", 400},
        Row{"WithPortThatIsNoNumber", "3.2", "GET / HTTP/1.1\r\nHost: a:8o\r\n\r\n", 400},
        Row{"WithTwoPorts", "3.2", "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", 400},
        Row{"Ipv4", "3.2", "GET / HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n", 0},
        Row{"Ipv6", "3.2", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0},
        Row{"Ipv6Broken", "3.2", "GET / HTTP/1.1\r\nHost: [::1:80\r\n\r\n", 400},
        Row{"Underscore", "3.2", "GET / HTTP/1.1\r\nHost: a_b\r\n\r\n", 0},
        Row{"Escape", "3.2", "GET / HTTP/1.1\r\nHost: a%20b\r\n\r\n", 0},
        Row{"BrokenEscape", "3.2", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", 400},
        Row{"Space", "3.2", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        Row{"List", "3.2", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400},
        Row{"Slash", "3.2", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        Row{"UserInfo", "3.2", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400},
        Row{"HighByte", "3.2", "GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n", 400}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(Fields, FramingTest,
                         testing::ValuesIn(std::vector<Row>{
                             Row{"SpaceBeforeColon", "5.1", Get("X : a\r\n"), 400},
                             Row{"TabBeforeColon", "5.1", Get("X\t: a\r\n"), 400},
                             Row{"NoColon", "5", Get("X\r\n"), 400},
                             Row{"EmptyName", "5.1", Get(": a\r\n"), 400},
                             Row{"NameIsNoToken", "5.1", Get("X(y): a\r\n"), 400},
                             Row{"NameWithNul", "5.1", Get(Bytes("X\0: a\r\n")), 400},
                             Row{"NameWithHighByte", "5.1", Get("X\xc3\xa4: a\r\n"), 400},
                             Row{"EmptyValue", "5.1", Get("X:\r\n"), 0},
                             Row{"BlankValue", "5.1", Get("X: \t \r\n"), 0},
                             Row{"NoSpaceBeforeValue", "5.1", Get("X:a\r\n"), 0},
                             Row{"TabBeforeValue", "5.1", Get("X:\ta\r\n"), 0},
                             Row{"WhiteSpaceBehindValue", "5.1", Get("X: a \t\r\n"), 0},
                             Row{"TabInValue", "9110 5.5", Get("X: a\tb\r\n"), 0},
                             Row{"HighBytesInValue", "9110 5.5", Get("X: \xc3\xa4\xff\r\n"), 0},
                             Row{"NulInValue", "9110 5.5", Get(Bytes("X: a\0b\r\n")), 400},
                             Row{"BellInValue", "9110 5.5", Get("X: a\ab\r\n"), 400},
                             Row{"VerticalTabInValue", "9110 5.5", Get("X: a\vb\r\n"), 400},
                             Row{"DelInValue", "9110 5.5", Get("X: a\x7f\r\n"), 400},
                             Row{"FoldedWithSpace", "5.2", Get("X: a\r\n b\r\n"), 400},
                             Row{"FoldedWithTab", "5.2", Get("X: a\r\n\tb\r\n"), 400},
                             Row{"FoldedEmpty", "5.2", Get("X: a\r\n \r\n"), 400},
                             Row{"FoldedAtOnce", "5.2", Get("X:\r\n a\r\n"), 400}}),
                         RowName);

INSTANTIATE_TEST_SUITE_P(
    ContentLength, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Number", "6.3", Get("Content-Length: 5\r\n"), 0},
        Row{"Zero", "6.3", Get("Content-Length: 0\r\n"), 0},
        Row{"LeadingZeros", "6.3", Get("Content-Length: 0005\r\n"), 0},
        Row{"Largest", "6.3", Get("Content-Length: 18446744073709551615\r\n"), 0},
        Row{"Overflow", "6.3", Get("Content-Length: 18446744073709551616\r\n"), 400},
        Row{"LongOverflow", "6.3", Get("Content-Length: " + std::string(500, '9') + "\r\n"), 400},
        Row{"Plus", "6.3", Get("Content-Length: +5\r\n"), 400},
        Row{"Minus", "6.3", Get("Content-Length: -5\r\n"), 400},
        Row{"Hex", "6.3", Get("Content-Length: 0x5\r\n"), 400},
        Row{"HexDigits", "6.3", Get("Content-Length: a\r\n"), 400},
        Row{"Underscore", "6.3", Get("Content-Length: 1_0\r\n"), 400},
        Row{"InnerSpace", "6.3", Get("Content-Length: 1 0\r\n"), 400},
        Row{"Point", "6.3", Get("Content-Length: 5.0\r\n"), 400},
        Row{"Empty", "6.3", Get("Content-Length:\r\n"), 400},
        Row{"Quoted", "6.3", Get("Content-Length: \"5\"\r\n"), 400},
        Row{"SpacesAround", "6.3", Get("Content-Length:  5 \r\n"), 0},
        Row{"RepeatedDiffering", "6.3", Get("Content-Length: 5\r\nContent-Length: 6\r\n"), 400},
        Row{"RepeatedEqual", "6.3", Get("Content-Length: 5\r\nContent-Length: 5\r\n"), 400},
        Row{"ListOfEqual", "6.3", Get("Content-Length: 5, 5\r\n"), 400},
        Row{"ListWithEmptyElement", "6.3", Get("Content-Length: 5,\r\n"), 400}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    TransferEncoding, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Chunked", "6.1", Get("Transfer-Encoding: chunked\r\n"), 0},
        Row{"ChunkedUpperCase", "7", Get("Transfer-Encoding: CHUNKED\r\n"), 0},
        Row{"WithContentLength", "6.1", Get("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
            400},
        Row{"BehindContentLength", "6.1",
            Get("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400},
        Row{"UnknownWithContentLength", "6.1", Get("Content-Length: 5\r\nTransfer-Encoding: x\r\n"),
            400},
        Row{"InHttp10", "6.1", "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            400},
        Row{"FinalIsNotChunked", "6.3", Get("Transfer-Encoding: gzip\r\n"), 400},
        Row{"ChunkedThenGzip", "6.3", Get("Transfer-Encoding: chunked, gzip\r\n"), 400},
        Row{"ChunkedThenGzipInTwoLines", "6.3",
            Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n"), 400},
        Row{"GzipThenChunked", "6.1", Get("Transfer-Encoding: gzip, chunked\r\n"), 501},
        Row{"GzipThenChunkedInTwoLines", "6.1",
            Get("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"), 501},
        Row{"UnknownThenChunked", "6.1", Get("Transfer-Encoding: x-y;q=1, chunked\r\n"), 501},
        Row{"Unknown", "6.3", Get("Transfer-Encoding: xchunked\r\n"), 400},
        Row{"Identity", "6.3", Get("Transfer-Encoding: identity\r\n"), 400},
        Row{"IdentityThenChunked", "6.1", Get("Transfer-Encoding: identity, chunked\r\n"), 501},
        Row{"ChunkedTwice", "6.1", Get("Transfer-Encoding: chunked, chunked\r\n"), 400},
        Row{"ChunkedTwiceInTwoLines", "6.1",
            Get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
        Row{"ChunkedWithParameter", "7.1", Get("Transfer-Encoding: chunked;a=b\r\n"), 400},
        Row{"Empty", "6.1", Get("Transfer-Encoding:\r\n"), 400},
        Row{"EmptyElementFirst", "6.1", Get("Transfer-Encoding: , chunked\r\n"), 400},
        Row{"EmptyElementLast", "6.1", Get("Transfer-Encoding: chunked,\r\n"), 400},
        Row{"VerticalTabFirst", "6.1", Get("Transfer-Encoding: \vchunked\r\n"), 400},
        Row{"Quoted", "6.1", Get("Transfer-Encoding: \"chunked\"\r\n"), 400},
        Row{"SpaceInside", "6.1", Get("Transfer-Encoding: chu nked\r\n"), 400}}),
    RowName);

INSTANTIATE_TEST_SUITE_P(
    Expectations, FramingTest,
    testing::ValuesIn(std::vector<Row>{
        Row{"Continue", "9110 10.1.1", Get("Content-Length: 5\r\nExpect: 100-continue\r\n"), 0},
        Row{"ContinueUpperCase", "9110 10.1.1", Get("Expect: 100-CONTINUE\r\n"), 0},
        Row{"Nothing", "9110 5.6.1.2", Get("Expect:\r\n"), 0},
        Row{"ContinueAndNothing", "9110 5.6.1.2", Get("Expect: 100-continue, ,\r\n"), 0},
        Row{"Other", "9110 10.1.1", Get("Expect: 200-ok\r\n"), 417},
        Row{"OtherBesideContinue", "9110 10.1.1", Get("Expect: 100-continue, x=y\r\n"), 417},
        Row{"OtherInSecondLine", "9110 10.1.1", Get("Expect: 100-continue\r\nExpect: x\r\n"), 417},
        Row{"BadFramingWins", "6.3", Get("Expect: x\r\nContent-Length: x\r\n"), 400}}),
    RowName);

}  // namespace
}  // namespace pollux::http
