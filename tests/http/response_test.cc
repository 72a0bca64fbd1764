#include "core/http/response.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>

namespace pollux::http {
namespace {

TEST(ResponseHeadTest, HasStatusLineFieldsAndAnEmptyLine) {
  ResponseHead head(206);
  head.Add("Content-Length", uint64_t{5}).Add("ETag", "\"x\"");
  EXPECT_EQ(std::move(head).Finish(),
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n");
}

TEST(ResponseHeadTest, NumbersAreWrittenInFull) {
  ResponseHead head(200);
  head.Add("A", uint64_t{0}).Add("B", std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(std::move(head).Finish(), "HTTP/1.1 200 OK\r\nA: 0\r\nB: 18446744073709551615\r\n\r\n");
}

TEST(ResponseHeadDeathTest, ValuesThatWouldSplitTheHeadAreNeverWritten) {
  const std::string nul("a\0b", 3);
  for (const std::string& value :
       {std::string("a\r\nX: y"), std::string("a\rb"), std::string("a\nb"), nul}) {
    EXPECT_DEATH(ResponseHead(200).Add("Location", value), "IsFieldValue");
  }
  EXPECT_DEATH(ResponseHead(200).Add("A: b\r\nC", "d"), "IsToken");
  EXPECT_DEATH(ResponseHead(200).Add("", "d"), "IsToken");
}

TEST(ReasonPhraseTest, EveryAnswerOfTheServerHasItsOwn) {
  std::set<std::string> phrases;
  for (const int status : {100, 200, 204, 206, 301, 304, 400, 403, 404, 405, 408,
                           412, 413, 414, 416, 417, 431, 500, 501, 503, 505}) {
    EXPECT_TRUE(phrases.insert(ReasonPhrase(status)).second) << status;
  }
  EXPECT_EQ(phrases.count("Unknown"), 0u);
  EXPECT_STREQ(ReasonPhrase(299), "Unknown");
}

TEST(ErrorBodyTest, NamesTheStatusAndEscapesTheDetail) {
  const std::string body = ErrorBody(404, "<script>&\"'");
  EXPECT_NE(body.find("404 Not Found"), std::string::npos);
  EXPECT_NE(body.find("&lt;script&gt;&amp;&quot;&#39;"), std::string::npos);
  EXPECT_EQ(body.find("<script>"), std::string::npos);
}

TEST(EscapeHtmlTest, OnlyTheFiveAreEscaped) {
  EXPECT_EQ(EscapeHtml("a&b<c>d\"e'f/ \xc3\xa4"), "a&amp;b&lt;c&gt;d&quot;e&#39;f/ \xc3\xa4");
  EXPECT_EQ(EscapeHtml(""), "");
}

TEST(EtagTest, IsQuotedAndChangesWithEveryPart) {
  EXPECT_EQ(MakeEtag(0x10, 0x20, 0x30), "\"10-20-30\"");
  const std::set<std::string> tags = {MakeEtag(1, 2, 3), MakeEtag(9, 2, 3), MakeEtag(1, 9, 3),
                                      MakeEtag(1, 2, 9), MakeEtag(1, -2, 3)};
  EXPECT_EQ(tags.size(), 5u);
  const uint64_t max = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(MakeEtag(max, -1, max), "\"ffffffffffffffff-ffffffffffffffff-ffffffffffffffff\"");
}

}  // namespace
}  // namespace pollux::http
