// Nothing that a client sends may break a rule that holds for all bytes. Inputs are random bytes,
// and valid requests with random damage, from fixed seeds: what the fuzzers do at length, in short.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "core/http/accept.h"
#include "core/http/authority.h"
#include "core/http/body.h"
#include "core/http/date.h"
#include "core/http/listing.h"
#include "core/http/mime.h"
#include "core/http/preconditions.h"
#include "core/http/range.h"
#include "core/http/request.h"
#include "core/http/response.h"
#include "core/http/target.h"
#include "core/http/utf8.h"

namespace pollux::http {
namespace {

constexpr int kRounds = 20000;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  size_t Below(size_t n) { return random_() % n; }

  std::string Bytes(size_t size_max) {
    std::string bytes(Below(size_max + 1), '\0');
    for (char& c : bytes) c = static_cast<char>(random_());
    return bytes;
  }

  // Mostly of what the grammar is made of, so that it gets past the first byte.
  std::string Pieces(const std::vector<std::string>& pieces, size_t count_max) {
    std::string text;
    for (size_t i = Below(count_max + 1); i > 0; --i) text += pieces[Below(pieces.size())];
    return text;
  }

  std::string Damaged(std::string text) {
    for (size_t i = Below(4); i > 0 && !text.empty(); --i) {
      const size_t at = Below(text.size());
      static constexpr char kLikely[] = "\r\n\0 \t:,;%/.*-0f\"\x7f\xff";
      const char c =
          Below(4) == 0 ? static_cast<char>(random_()) : kLikely[Below(sizeof(kLikely) - 1)];
      switch (Below(4)) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        case 2:
          text.erase(at, 1 + Below(5));
          break;
        default:
          text.insert(at, text.substr(Below(text.size()), Below(30)));
      }
    }
    return text;
  }

 private:
  std::mt19937_64 random_;
};

const std::vector<std::string> kRequests = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "\r\nHEAD /%41/../b?c=%zz HTTP/1.0\r\nConnection: keep-alive, x\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: "
    "5\r\n\r\nhello",
    "POST http://u.example:80/x?y HTTP/1.2\r\nHost: a%20b:1\r\nTransfer-Encoding: gzip, chunked\r\n"
    "\r\n5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
    "GET /x HTTP/1.1\r\nHost:\r\nRange: bytes=0-1,-5\r\nIf-Range: W/\"x\"\r\nIf-Match: *, \"a\"\r\n"
    "If-None-Match: \"a\", W/\"b\"\r\nIf-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT\r\n\r\n",
};

void ExpectOutcomeIsSound(const RequestParser::Outcome& outcome, const RequestParser& parser,
                          size_t given) {
  ASSERT_LE(outcome.consumed, given);
  switch (outcome.state) {
    case RequestParser::State::kNeedMore:
      ASSERT_EQ(outcome.consumed, given);
      break;
    case RequestParser::State::kBad:
      ASSERT_TRUE(outcome.status >= 400 && outcome.status <= 505);
      ASSERT_STRNE(outcome.reason, "");
      break;
    case RequestParser::State::kComplete: {
      const Request& request = parser.request();
      ASSERT_FALSE(request.method_name.empty());
      ASSERT_FALSE(request.chunked && request.content_length);
      const std::string closed = request.path + "/";
      ASSERT_EQ(closed.find("/../"), std::string::npos) << request.target;
      ASSERT_EQ(closed.find('\0'), std::string::npos) << request.target;
      break;
    }
  }
}

// One input, whole and in random pieces, body and all.
void ParseAndSkip(const std::string& bytes, Generator& generator) {
  const Limits limits{.head_bytes_max = 300, .header_count_max = 8, .target_bytes_max = 60};
  RequestParser whole(limits);
  const auto outcome = whole.Parse(bytes);
  ExpectOutcomeIsSound(outcome, whole, bytes.size());

  RequestParser pieces(limits);
  RequestParser::Outcome last;
  size_t at = 0;
  while (at < bytes.size() && last.state == RequestParser::State::kNeedMore) {
    const size_t size = std::min(bytes.size() - at, 1 + generator.Below(20));
    last = pieces.Parse(std::string_view(bytes).substr(at, size));
    at += last.consumed;
  }
  ASSERT_EQ(last.state, outcome.state);
  ASSERT_EQ(last.status, outcome.status);
  ASSERT_EQ(at, outcome.consumed);
  ASSERT_EQ(pieces.request().path, whole.request().path);

  if (outcome.state != RequestParser::State::kComplete) return;
  BodySkipper skipper(whole.request(), BodyLimits{});
  const std::string_view rest = std::string_view(bytes).substr(outcome.consumed);
  ASSERT_LE(skipper.Skip(rest).consumed, rest.size());
}

TEST(RandomBytesTest, RequestsHaveOneOutcomeHoweverTheyArrive) {
  Generator generator(1);
  for (int round = 0; round < kRounds; ++round) {
    const std::string& request = kRequests[generator.Below(kRequests.size())];
    const std::string bytes =
        round % 8 == 0 ? generator.Bytes(100) : generator.Damaged(request + kRequests[0]);
    ParseAndSkip(bytes, generator);
    ASSERT_FALSE(HasFatalFailure()) << testing::PrintToString(bytes);
  }
}

TEST(RandomBytesTest, PathsAreCleanAndSurviveEncoding) {
  Generator generator(2);
  const std::vector<std::string> pieces = {"/",  ".", "..", "%2e",     "%2f", "%", "%00",  "a",
                                           "\\", "?", "#",  "http://", ":",   "@", "\xff", ";"};
  for (int round = 0; round < kRounds; ++round) {
    std::string text(1, '/');
    text += generator.Pieces(pieces, 12) + generator.Bytes(2);
    const auto target = ParseTarget(text.substr(generator.Below(2)));
    if (!target) continue;
    const std::string encoded = EncodePath(target->path);
    ASSERT_NE(encoded.substr(0, 2), "//");
    const auto again = ParseTarget(encoded);
    ASSERT_TRUE(again);
    ASSERT_EQ(again->path, target->path);
  }
}

TEST(RandomBytesTest, RangesStayInsideOfTheFile) {
  Generator generator(3);
  const std::vector<std::string> pieces = {
      "-", ",", "0", "1", "9", "5-", "-7", " ", "18446744073709551615", "99999999999999999999",
      "x"};
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t size = generator.Below(3) == 0 ? ~uint64_t{0} : generator.Below(30);
    const auto result = ParseRange("bytes=" + generator.Pieces(pieces, 9), size, 4);
    ASSERT_EQ(result.ranges.empty(), result.kind != RangeResult::Kind::kRanges);
    ASSERT_LE(result.ranges.size(), 4u);
    for (const ByteRange& range : result.ranges) {
      ASSERT_GT(range.length, 0u);
      ASSERT_LT(range.offset, size);
      ASSERT_LE(range.length, size - range.offset);
    }
  }
}

TEST(RandomBytesTest, ValuesAreReadWithoutHarm) {
  Generator generator(4);
  const std::vector<std::string> dates = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                          "Sunday, 06-Nov-94 08:49:37 GMT",
                                          "Sun Nov  6 08:49:37 1994"};
  const std::vector<std::string> pieces = {"\"", "W/",  "a", ",",  " ", "*",  "[", "]",  ":",
                                           "@",  "%41", "1", "\\", "/", ".x", "#", "\n", "a/b"};
  Request request;
  request.method = Method::kGet;
  request.range = "bytes=0-";
  for (int round = 0; round < kRounds; ++round) {
    const std::string text = generator.Pieces(pieces, 10) + generator.Bytes(2);
    const std::string date = generator.Damaged(dates[generator.Below(dates.size())]);
    const auto seconds = ParseDate(date, static_cast<int64_t>(generator.Below(~size_t{0})));
    // Nothing is read as a date that FormatDate could not write.
    if (seconds) {
      ASSERT_EQ(ParseDate(FormatDate(*seconds), 0), seconds) << date;
    }
    request.if_match = text;
    request.if_none_match = generator.Damaged("\"a\", W/\"b\"");
    request.if_range = round % 2 == 0 ? text : date;
    EvaluatePreconditions(request, {"\"a\"", 0}, 1);
    IsHostAndPort(text);
    MimeTypes(text).TypeOf(text);
    EscapeHtml(text);
  }
}

TEST(RandomBytesTest, AcceptWeighsFromNothingToAll) {
  Generator generator(5);
  const std::vector<std::string> pieces = {"text/html", "application/json",
                                           "*/*",       "text/*",
                                           ";",         "q=",
                                           "0.5",       "1",
                                           ",",         " ",
                                           "\"",        "\\",
                                           "x=y",       "\t"};
  for (int round = 0; round < kRounds; ++round) {
    const int weight = AcceptWeight(generator.Pieces(pieces, 12) + generator.Bytes(2), "text/html");
    ASSERT_GE(weight, 0);
    ASSERT_LE(weight, 1000);
  }
}

// tr, three td, a, bdi, time: each begins and ends.
constexpr int kTagsOfAnEntry = 14;

// Whatever the names are, JSON is JSON, and no byte of a name stands unescaped in HTML.
TEST(RandomBytesTest, ListingsOfAnyNamesAreWellFormed) {
  Generator generator(6);
  for (int round = 0; round < kRounds / 10; ++round) {
    std::string json, html;
    const auto json_writer = MakeJsonListing();
    const auto html_writer = MakeHtmlListing();
    json_writer->Begin("/" + generator.Bytes(9) + "/", true, json);
    html_writer->Begin("/", true, html);
    const auto empty_page = std::count(html.begin(), html.end(), '<');
    for (int i = 0; i < 5; ++i) {
      const std::string name = generator.Bytes(20);
      json_writer->Add({name, i % 2 == 0, 1, 0}, json);
      html_writer->Add({name, false, 1, 0}, html);
    }
    json_writer->End(json);
    ASSERT_EQ(nlohmann::json::parse(json)["entries"].size(), 5u);
    ASSERT_EQ(std::count(html.begin(), html.end(), '<') - empty_page, 5 * kTagsOfAnEntry) << html;
    for (std::string_view rest = html; !rest.empty();) {
      const size_t length = Utf8SequenceLength(rest);
      ASSERT_GT(length, 0u);
      rest.remove_prefix(length);
    }
  }
}

}  // namespace
}  // namespace pollux::http
