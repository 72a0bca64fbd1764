// What a parsed request says, the limits, and the parser's life over several requests.
#include "core/http/request.h"

#include <gtest/gtest.h>

#include <utility>

#include "tests/http/split.h"

namespace pollux::http {
namespace {

using State = RequestParser::State;

Request Complete(const std::string& bytes) {
  const Parsed parsed = ParseAtEverySplit(bytes);
  EXPECT_EQ(parsed.state, State::kComplete) << parsed.reason;
  return parsed.request;
}

Request WithFields(const std::string& fields, const std::string& version = "HTTP/1.1") {
  return Complete("GET / " + version + "\r\nHost: a\r\n" + fields + "\r\n");
}

int StatusOf(const std::string& bytes, const Limits& limits) {
  return ParseAtEverySplit(bytes, limits).status;
}

TEST(RequestParserTest, EveryMemberIsRead) {
  const Request r = Complete(
      "GET /a%20b/../c?q=%41 HTTP/1.1\r\n"
      "Host: localhost:8080\r\n"
      "Range: bytes=0-1\r\n"
      "If-Range: \"r\"\r\n"
      "If-Match: \"m\"\r\n"
      "If-None-Match: \"n\"\r\n"
      "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
      "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n"
      "Referer: http://x/\r\n"
      "uSER-aGENT:\ttest/1 (a; b) \r\n"
      "Content-Length: 7\r\n"
      "Expect: 100-continue\r\n"
      "\r\n");
  EXPECT_EQ(r.method, Method::kGet);
  EXPECT_EQ(r.method_name, "GET");
  EXPECT_EQ(r.version_minor, 1);
  EXPECT_EQ(r.target, "/a%20b/../c?q=%41");
  EXPECT_EQ(r.path, "/c");
  EXPECT_EQ(r.query, "q=%41");
  EXPECT_TRUE(r.keep_alive);
  EXPECT_FALSE(r.chunked);
  EXPECT_EQ(r.content_length, 7u);
  EXPECT_TRUE(r.expect_continue);
  EXPECT_EQ(r.range, "bytes=0-1");
  EXPECT_EQ(r.if_range, "\"r\"");
  EXPECT_EQ(r.if_match, "\"m\"");
  EXPECT_EQ(r.if_none_match, "\"n\"");
  EXPECT_EQ(r.if_modified_since, "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(r.if_unmodified_since, "Sun, 06 Nov 1994 08:49:38 GMT");
  EXPECT_EQ(r.host, "localhost:8080");
  EXPECT_EQ(r.referer, "http://x/");
  EXPECT_EQ(r.user_agent, "test/1 (a; b)");
}

TEST(RequestParserTest, MembersThatDidNotComeAreEmpty) {
  const Request r = WithFields("");
  EXPECT_FALSE(r.range || r.if_range || r.if_match || r.if_none_match || r.if_modified_since ||
               r.if_unmodified_since || r.content_length);
  EXPECT_FALSE(r.chunked);
  EXPECT_FALSE(r.expect_continue);
  EXPECT_EQ(r.query, "");
  EXPECT_EQ(r.referer, "");
  EXPECT_EQ(r.user_agent, "");
}

TEST(RequestParserTest, MethodsAreSortedByWhatIsAnswered) {
  const std::pair<const char*, Method> methods[] = {
      {"GET", Method::kGet},
      {"HEAD", Method::kHead},
      {"OPTIONS", Method::kOptions},
      {"POST", Method::kOtherKnown},
      {"PUT", Method::kOtherKnown},
      {"DELETE", Method::kOtherKnown},
      {"PATCH", Method::kOtherKnown},
      {"TRACE", Method::kOtherKnown},
      {"get", Method::kUnknown},  // methods are case-sensitive (RFC 9110 §9.1)
      {"BREW", Method::kUnknown},
      {"GETT", Method::kUnknown},
      {"!#$%&'*+-.^_`|~", Method::kUnknown}};
  for (const auto& [name, method] : methods) {
    const Request r = Complete(std::string(name) + " /x HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(r.method, method) << name;
    EXPECT_EQ(r.method_name, name);
    EXPECT_EQ(r.path, "/x");
  }
}

TEST(RequestParserTest, ConnectIsKnownHasNoPathAndEndsTheConnection) {
  const Request r = Complete("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n");
  EXPECT_EQ(r.method, Method::kOtherKnown);
  EXPECT_EQ(r.target, "a:443");
  EXPECT_EQ(r.path, "");
  EXPECT_FALSE(r.keep_alive);
}

TEST(RequestParserTest, OptionsAsteriskHasThatPath) {
  EXPECT_EQ(Complete("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").path, "*");
  EXPECT_EQ(Complete("OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n").path, "/x");
}

TEST(RequestParserTest, AbsoluteTargetWinsOverHost) {
  const Request r = Complete("GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(r.host, "b:81");
  EXPECT_EQ(r.path, "/x");
  EXPECT_EQ(r.query, "y");
  EXPECT_EQ(r.target, "http://b:81/x?y");
}

TEST(RequestParserTest, LaterMinorVersionsCountAs11AndOnlyTheVersionIsTouched) {
  const Request r = Complete("GET /HTTP/1.7 HTTP/1.7\r\nHost: a\r\nUser-Agent: HTTP/1.7\r\n\r\n");
  EXPECT_EQ(r.version_minor, 1);
  EXPECT_EQ(r.target, "/HTTP/1.7");
  EXPECT_EQ(r.user_agent, "HTTP/1.7");
}

// RFC 9112 §9.3.
TEST(RequestParserTest, ConnectionPersistsByVersionAndTokens) {
  struct {
    const char* version;
    const char* fields;
    bool keep_alive;
  } rows[] = {
      {"HTTP/1.1", "", true},
      {"HTTP/1.0", "", false},
      {"HTTP/1.1", "Connection: close\r\n", false},
      {"HTTP/1.1", "Connection: Close\r\n", false},
      {"HTTP/1.1", "Connection: upgrade, close\r\n", false},
      {"HTTP/1.1", "Connection: close ,upgrade\r\n", false},
      {"HTTP/1.1", "Connection: upgrade\r\nConnection: close\r\n", false},
      {"HTTP/1.1", "Connection: close\r\nConnection: keep-alive\r\n", false},
      {"HTTP/1.1", "Connection: keep-alive, close\r\n", false},
      {"HTTP/1.1", "Connection: closed\r\n", true},
      {"HTTP/1.1", "Connection: x-close\r\n", true},
      {"HTTP/1.1", "Connection:\r\n", true},
      {"HTTP/1.1", "Connection: , ,close\r\n", false},
      {"HTTP/1.1", "Proxy-Connection: close\r\n", true},
      {"HTTP/1.0", "Connection: keep-alive\r\n", true},
      {"HTTP/1.0", "Connection: Keep-Alive\r\n", true},
      {"HTTP/1.0", "Connection: x, keep-alive\r\n", true},
      {"HTTP/1.0", "Connection: keep-alive, close\r\n", false},
      {"HTTP/1.0", "Connection: close, keep-alive\r\n", false},
      {"HTTP/1.0", "Proxy-Connection: keep-alive\r\n", false},
      {"HTTP/1.2", "", true},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(WithFields(row.fields, row.version).keep_alive, row.keep_alive)
        << row.version << " " << row.fields;
  }
}

// RFC 9110 §10.1.1.
TEST(RequestParserTest, ContinueIsWantedOnlyIn11AndForABody) {
  const std::string expect = "Expect: 100-continue\r\n";
  EXPECT_TRUE(WithFields(expect + "Content-Length: 1\r\n").expect_continue);
  EXPECT_TRUE(WithFields(expect + "Transfer-Encoding: chunked\r\n").expect_continue);
  EXPECT_FALSE(WithFields(expect + "Content-Length: 0\r\n").expect_continue);
  EXPECT_FALSE(WithFields(expect).expect_continue);
  EXPECT_FALSE(WithFields(expect + "Content-Length: 1\r\n", "HTTP/1.0").expect_continue);
}

// RFC 9110 §5.3.
TEST(RequestParserTest, RepeatedConditionsAreJoined) {
  const Request r = WithFields(
      "If-None-Match: \"a\"\r\nX: y\r\nIf-None-Match: \"b\"\r\n"
      "Range: bytes=0-1\r\nRange: bytes=2-3\r\n");
  EXPECT_EQ(r.if_none_match, "\"a\", \"b\"");
  EXPECT_EQ(r.range, "bytes=0-1, bytes=2-3");
}

TEST(RequestParserTest, ChunkedHasNoLength) {
  const Request r = WithFields("Transfer-Encoding: chunked\r\n");
  EXPECT_TRUE(r.chunked);
  EXPECT_FALSE(r.content_length);
}

TEST(RequestParserTest, HeadOfExactlyTheLimitIsServedAndOneByteMoreIs431) {
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: abc\r\n\r\n";
  Limits limits;
  limits.head_bytes_max = head.size();
  EXPECT_EQ(StatusOf(head, limits), 0);
  EXPECT_EQ(StatusOf("\r\n\r\n" + head, limits), 0) << "empty lines are not of the head";
  limits.head_bytes_max = head.size() - 1;
  EXPECT_EQ(StatusOf(head, limits), 431);
}

TEST(RequestParserTest, HeadWithoutEndIsRefusedAtTheLimit) {
  Limits limits;
  limits.head_bytes_max = 200;
  const Parsed parsed =
      ParseAtEverySplit("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1000, 'x'), limits);
  EXPECT_EQ(parsed.status, 431);
  EXPECT_EQ(parsed.consumed, 200u);
}

TEST(RequestParserTest, FieldsUpToTheLimitAreServedAndOneMoreIs431) {
  Limits limits;
  limits.header_count_max = 3;
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\nX: 2\r\n";
  EXPECT_EQ(StatusOf(head + "\r\n", limits), 0);
  EXPECT_EQ(StatusOf(head + "X: 3\r\n\r\n", limits), 431);
}

TEST(RequestParserTest, TargetUpToTheLimitIsServedAndOneByteMoreIs414) {
  Limits limits;
  limits.target_bytes_max = 10;
  EXPECT_EQ(StatusOf("GET /123456789 HTTP/1.1\r\nHost: a\r\n\r\n", limits), 0);
  EXPECT_EQ(StatusOf("GET /1234567890 HTTP/1.1\r\nHost: a\r\n\r\n", limits), 414);
  const Parsed parsed = ParseAtEverySplit("GET /" + std::string(100, 'x'), limits);
  EXPECT_EQ(parsed.status, 414) << "without waiting for the end of the line";
}

TEST(RequestParserTest, TargetThatFillsTheHeadIs414) {
  Limits limits;
  limits.head_bytes_max = 50;
  EXPECT_EQ(StatusOf("GET /" + std::string(100, 'x'), limits), 414);
}

TEST(RequestParserTest, RequestLineOf8000BytesIsServedByDefault) {
  RequestParser parser{Limits{}};
  const std::string target = "/" + std::string(8000, 'x');
  const auto outcome = parser.Parse("GET " + target + " HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(outcome.state, State::kComplete);
  EXPECT_EQ(parser.request().path, target);
}

TEST(RequestParserTest, AfterAnErrorNothingIsTakenUntilReset) {
  RequestParser parser{Limits{}};
  const auto bad = parser.Parse("GET / HTTP/1.1\r\nHost : a\r\n\r\n");
  ASSERT_EQ(bad.state, State::kBad);
  for (const char* more : {"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"}) {
    const auto again = parser.Parse(more);
    EXPECT_EQ(again.state, State::kBad);
    EXPECT_EQ(again.consumed, 0u);
    EXPECT_EQ(again.status, bad.status);
    EXPECT_STREQ(again.reason, bad.reason);
  }
  parser.Reset();
  EXPECT_EQ(parser.Parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n").state, State::kComplete);
}

TEST(RequestParserTest, AfterAnErrorTheLogHasWhatWasUnderstood) {
  const Parsed in_field = ParseAtEverySplit("HEAD /x HTTP/1.1\r\nHost: a\rb");
  EXPECT_EQ(in_field.request.method, Method::kHead);
  EXPECT_EQ(in_field.request.target, "/x");
  const Parsed in_target = ParseAtEverySplit("GET /abc\x01");
  EXPECT_EQ(in_target.request.method_name, "GET");
  EXPECT_EQ(in_target.request.target, "/abc");
  const Parsed in_method = ParseAtEverySplit("GE\x01T /");
  EXPECT_EQ(in_method.request.method_name, "GE");
  EXPECT_EQ(in_method.request.target, "");
}

TEST(RequestParserTest, PipelinedRequestsAreReadInOrder) {
  const std::string two =
      "GET /1 HTTP/1.1\r\nHost: a\r\nRange: bytes=0-\r\n\r\n\r\nHEAD /2 HTTP/1.0\r\n\r\n";
  RequestParser parser{Limits{}};
  const auto first = parser.Parse(two);
  ASSERT_EQ(first.state, State::kComplete);
  EXPECT_EQ(parser.request().path, "/1");
  EXPECT_EQ(parser.Parse(two).consumed, 0u) << "complete until Reset";
  parser.Reset();
  const auto second = parser.Parse(std::string_view(two).substr(first.consumed));
  ASSERT_EQ(second.state, State::kComplete);
  EXPECT_EQ(first.consumed + second.consumed, two.size());
  EXPECT_EQ(parser.request().path, "/2");
  EXPECT_EQ(parser.request().host, "");
  EXPECT_FALSE(parser.request().range);
}

TEST(RequestParserTest, StartedMeansThatAByteOfARequestCame) {
  RequestParser parser{Limits{}};
  EXPECT_FALSE(parser.started());
  parser.Parse("\r\n\r");
  EXPECT_FALSE(parser.started()) << "an empty line behind the last request starts none";
  parser.Parse("\nG");
  EXPECT_TRUE(parser.started());
  parser.Reset();
  EXPECT_FALSE(parser.started());
}

TEST(RequestParserTest, MovedParserGoesOn) {
  RequestParser first{Limits{}};
  first.Parse("GET / HTTP/1.1\r\nHo");
  RequestParser second(std::move(first));
  EXPECT_EQ(second.Parse("st: a\r\n\r\n").state, State::kComplete);
}

}  // namespace
}  // namespace pollux::http
