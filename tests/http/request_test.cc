#include "core/http/request.h"

#include <gtest/gtest.h>

namespace pollux::http {
namespace {

TEST(RequestParserTest, SimpleRequestIsReadAndTheRestIsLeft) {
  RequestParser parser{Limits{}};
  const std::string_view head = "GET /a%20b?q=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
  const auto outcome = parser.Parse(std::string(head) + "GET /next");
  EXPECT_EQ(outcome.state, RequestParser::State::kComplete);
  EXPECT_EQ(outcome.consumed, head.size());
  EXPECT_EQ(parser.request().path, "/a b");
  EXPECT_EQ(parser.request().query, "q=1");
  EXPECT_TRUE(parser.request().keep_alive);
}

}  // namespace
}  // namespace pollux::http
