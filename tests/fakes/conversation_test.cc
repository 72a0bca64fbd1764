// The model that says what must be answered in a conversation. That the server does answer so is
// what `pollux-sim run conversation` and the fuzzer look at; here, that it would not be overlooked
// if it did not.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/server/access_log.h"
#include "fakes/explore/strategy.h"
#include "fakes/scenarios/conversation_judge.h"
#include "fakes/scenarios/conversation_model.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: sim\r\n\r\n";

constexpr const char* kOfFile = "ETag: \"e\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
constexpr const char* kOfContent =
    "Accept-Ranges: bytes\r\nContent-Type: application/octet-stream\r\n";

// An answer with a Date, and `fields`, which end in "\r\n" each.
std::string AnswerOf(const std::string& status, const std::string& fields,
                     const std::string& body = "") {
  return "HTTP/1.1 " + status + "\r\nDate: Tue, 15 Nov 1994 08:12:31 GMT\r\n" + fields + "\r\n" +
         body;
}

std::string ErrorOf(const std::string& status, const std::string& fields = "") {
  return AnswerOf(status, "Content-Length: 2\r\n" + fields, "no");
}

// `fields` beside those of every whole file.
std::string FileOf(const std::string& body, const std::string& fields = "") {
  return AnswerOf(
      "200 OK",
      "Content-Length: " + std::to_string(body.size()) + "\r\n" + kOfFile + kOfContent + fields,
      body);
}

class ConversationModelTest : public ::testing::Test {
 protected:
  Expectation ExpectFor(std::string_view sent) { return Expect(sent, tree_, rules_); }
  std::string CompareWith(std::string_view sent, std::string_view received) {
    return Compare(received, ExpectFor(sent), rules_, {});
  }
  // Of "/a" with `fields`, which end in "\r\n" each.
  std::string CompareA(const std::string& fields, std::string_view received) {
    return CompareWith("GET /a HTTP/1.1\r\nHost: s\r\n" + fields + "\r\n", received);
  }

  const Tree tree_ = {{"/a", {std::make_shared<std::string>("content"), "\"e\"", 784111777}},
                      {"/dir/b", {std::make_shared<std::string>("x"), "\"x\"", 784111777}}};
  const ServerRules rules_{};
};

const std::string kWhole = FileOf("content");

TEST_F(ConversationModelTest, StatusesFollowFromTheTreeAndTheHead) {
  const std::pair<const char*, int> cases[] = {
      {"GET /a HTTP/1.1\r\nHost: s\r\n\r\n", 200},
      {"GET /b HTTP/1.1\r\nHost: s\r\n\r\n", 404},
      {"GET /dir HTTP/1.1\r\nHost: s\r\n\r\n", 301},
      {"GET /dir/ HTTP/1.1\r\nHost: s\r\n\r\n", 403},
      {"OPTIONS * HTTP/1.1\r\nHost: s\r\n\r\n", 204},
      {"POST /a HTTP/1.1\r\nHost: s\r\n\r\n", 405},
      {"BREW /a HTTP/1.1\r\nHost: s\r\n\r\n", 501},
      {"GET /a HTTP/1.1\r\n\r\n", 400},
      {"GET /a HTTP/2.0\r\nHost: s\r\n\r\n", 505},
  };
  for (const auto& [sent, status] : cases) {
    const Expectation expectation = ExpectFor(sent);
    ASSERT_EQ(expectation.answers.size(), 1u) << sent;
    EXPECT_EQ(expectation.answers[0].status, status) << sent;
  }
}

TEST_F(ConversationModelTest, PipelinedRequestsAreAnsweredInOrderUpToTheLast) {
  const std::string closing = "HEAD /a HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
  const Expectation expectation = ExpectFor(kGet + closing + kGet);
  ASSERT_EQ(expectation.answers.size(), 2u);
  EXPECT_FALSE(expectation.answers[0].last);
  EXPECT_TRUE(expectation.answers[1].last && expectation.answers[1].head_only);
  EXPECT_FALSE(expectation.open_end);
  EXPECT_TRUE(ExpectFor(std::string(kGet) + "GET").open_end);
}

TEST_F(ConversationModelTest, TheRightAnswerIsRight) {
  EXPECT_EQ(CompareWith(kGet, kWhole), "");
  EXPECT_EQ(CompareWith(std::string(kGet) + kGet, std::string(kWhole) + kWhole), "");
}

TEST_F(ConversationModelTest, AClientThatEndsAmidstItsContentIsTold) {
  const std::string half = "POST /a HTTP/1.1\r\nHost: s\r\nContent-Length: 5\r\n\r\nab";
  const std::string bad = ErrorOf("400 Bad Request", "Connection: close\r\n");
  EXPECT_TRUE(ExpectFor(half).answers.empty());  // nothing is owed as long as more may come
  EXPECT_EQ(CompareWith(half, bad), "");
  EXPECT_EQ(CompareWith(kGet + half, kWhole + bad), "");
  EXPECT_NE(CompareWith(half, ""), "");
  EXPECT_NE(CompareWith(half, bad + bad), "");
  EXPECT_NE(CompareWith(half, kWhole), "");
}

TEST_F(ConversationModelTest, EachWayToBeWrongIsNoticed) {
  EXPECT_NE(CompareWith(kGet, ""), "");
  EXPECT_NE(CompareWith(kGet, kWhole.substr(0, kWhole.size() - 1)), "");
  EXPECT_NE(CompareWith(kGet, FileOf("CONTENT")), "");
  EXPECT_NE(CompareWith(kGet, FileOf("con")), "");
  EXPECT_NE(CompareWith(kGet, ErrorOf("404 No")), "");
  EXPECT_NE(CompareWith(kGet, kWhole + "x"), "");
  EXPECT_NE(CompareWith(kGet, kWhole + kWhole), "");
  EXPECT_NE(CompareWith(kGet, FileOf("content", "Connection: close\r\n")), "");
}

// RFC 9110 §13.2.2: each condition, and which comes first.
TEST_F(ConversationModelTest, ConditionsDecideOverTheStatus) {
  const std::string before = ": Sun, 06 Nov 1994 08:49:36 GMT\r\n";
  const std::string then = ": Sun, 06 Nov 1994 08:49:37 GMT\r\n";
  const std::pair<std::string, int> cases[] = {
      {"If-Match: \"e\"\r\n", 200},
      {"If-Match: \"f\"\r\n", 412},
      {"If-Match: W/\"e\"\r\n", 412},
      {"If-None-Match: W/\"e\"\r\n", 304},
      {"If-None-Match: \"f\"\r\n", 200},
      {"If-Unmodified-Since" + before, 412},
      {"If-Unmodified-Since" + then, 200},
      {"If-Modified-Since" + then, 304},
      {"If-Modified-Since" + before, 200},
      {"If-Match: \"e\"\r\nIf-Unmodified-Since" + before, 200},
      {"If-Match: \"f\"\r\nIf-None-Match: \"e\"\r\n", 412},
      {"If-None-Match: \"f\"\r\nIf-Modified-Since" + then, 200},
      {"If-None-Match: \"e\"\r\nRange: bytes=0-1\r\n", 304},
      {"Range: bytes=0-1\r\nIf-Range: \"f\"\r\n", 200},
  };
  const std::pair<int, std::string> answers[] = {
      {200, kWhole},
      {304, AnswerOf("304 Not Modified", kOfFile)},
      {412, ErrorOf("412 Precondition Failed")},
  };
  for (const auto& [fields, owed] : cases) {
    for (const auto& [status, answer] : answers) {
      EXPECT_EQ(CompareA(fields, answer).empty(), status == owed) << fields << status;
    }
  }
}

TEST_F(ConversationModelTest, AnAnswerSaysWhichFileItIsOfAndHowMuch) {
  EXPECT_NE(CompareWith(kGet, FileOf("content", "Content-Range: bytes 0-6/7\r\n")), "");
  EXPECT_NE(CompareWith(kGet, FileOf("content", "ETag: \"e\"\r\n")), "");  // twice
  EXPECT_NE(CompareWith(kGet, FileOf("content", "Location: /a/\r\n")), "");
  const std::string length = "Content-Length: 7\r\n";
  for (const char* fields : {"ETag: \"f\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                             "ETag: \"e\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:38 GMT\r\n"}) {
    EXPECT_NE(CompareWith(kGet, AnswerOf("200 OK", length + fields + kOfContent, "content")), "");
    EXPECT_NE(CompareA("If-None-Match: *\r\n", AnswerOf("304 Not Modified", fields)), "");
  }
  EXPECT_NE(CompareWith(kGet, "HTTP/1.1 200 OK\r\n" + length + kOfFile + kOfContent +
                                  "\r\ncontent"),  // without a date
            "");
  const std::string old = "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  EXPECT_NE(CompareWith(old, kWhole), "");
  EXPECT_EQ(CompareWith(old, FileOf("content", "Connection: keep-alive\r\n")), "");
}

// RFC 9110 §14.4.
TEST_F(ConversationModelTest, ContentRangeSaysWhatIsSent) {
  const auto part = [](const std::string& range, const std::string& body) {
    return AnswerOf("206 Partial Content",
                    "Content-Length: " + std::to_string(body.size()) +
                        "\r\nContent-Range: " + range + "\r\n" + kOfFile + kOfContent,
                    body);
  };
  const char* range = "Range: bytes=1-2\r\n";
  EXPECT_EQ(CompareA(range, part("bytes 1-2/7", "on")), "");
  for (const char* wrong : {"bytes 1-3/7", "bytes 0-2/7", "bytes 1-2/8", "bytes 1-2/*"}) {
    EXPECT_NE(CompareA(range, part(wrong, "on")), "") << wrong;
  }
  EXPECT_NE(CompareA(range, part("bytes 1-2/7", "co")), "");
  EXPECT_NE(CompareA(range, kWhole), "");
  const char* behind = "Range: bytes=7-\r\n";
  EXPECT_EQ(CompareA(behind, ErrorOf("416 No", "Content-Range: bytes */7\r\n")), "");
  EXPECT_NE(CompareA(behind, ErrorOf("416 No", "Content-Range: bytes */8\r\n")), "");
  EXPECT_NE(CompareA(behind, ErrorOf("416 No")), "");
}

// The same path with a slash behind it, at the same host, with the same query.
TEST_F(ConversationModelTest, ARedirectLeadsToTheFolder) {
  const auto compare = [&](const std::string& location, const char* target) {
    return CompareWith("GET " + std::string(target) + " HTTP/1.1\r\nHost: s\r\n\r\n",
                       ErrorOf("301 Moved", "Location: " + location + "\r\n"));
  };
  EXPECT_EQ(compare("/dir/", "/dir"), "");
  EXPECT_EQ(compare("/dir/?q=%41", "//x/../dir?q=%41"), "");
  for (const char* wrong : {"/dir", "//dir/", "/dir/?", "/dir//", "/%64ir/", "dir/", "/b/"}) {
    EXPECT_NE(compare(wrong, "/dir"), "") << wrong;
  }
  EXPECT_NE(compare("/dir/", "/dir?q"), "");
  EXPECT_NE(CompareWith("GET /dir HTTP/1.1\r\nHost: s\r\n\r\n", ErrorOf("301 Moved")), "");
}

TEST_F(ConversationModelTest, HeadSaysTheLengthThatGetWouldHave) {
  const std::string head = "HEAD /a HTTP/1.1\r\nHost: s\r\n\r\n";
  const std::string fields = std::string(kOfFile) + kOfContent;
  EXPECT_EQ(CompareWith(head, AnswerOf("200 OK", "Content-Length: 7\r\n" + fields)), "");
  EXPECT_NE(CompareWith(head, AnswerOf("200 OK", "Content-Length: 0\r\n" + fields)), "");
  EXPECT_NE(CompareWith(head, AnswerOf("200 OK", fields)), "");
  EXPECT_NE(CompareWith(head, kWhole), "");
  const std::string missing = "HEAD /b HTTP/1.1\r\nHost: s\r\n\r\n";
  EXPECT_EQ(CompareWith(missing, AnswerOf("404 No", "Content-Length: 9\r\n")), "");
  EXPECT_NE(CompareWith(missing, AnswerOf("404 No", "Content-Length: 0\r\n")), "");
  const std::string options = "OPTIONS * HTTP/1.1\r\nHost: s\r\n\r\n";
  const std::string allow = "Allow: GET, HEAD, OPTIONS\r\n";
  EXPECT_EQ(CompareWith(options, AnswerOf("204 No Content", allow)), "");
  EXPECT_NE(CompareWith(options, AnswerOf("204 No Content", "Allow: GET\r\n")), "");
  EXPECT_NE(CompareWith(options, AnswerOf("204 No Content", allow + "Content-Length: 0\r\n")), "");
}

TEST_F(ConversationModelTest, ACutAnswerMayMissAnEndButHaveNoWrongByte) {
  const Expectation expectation = ExpectFor(kGet);
  const auto compare = [&](std::string_view received) {
    return Compare(received, expectation, rules_, {.cut = true});
  };
  EXPECT_EQ(compare(""), "");
  EXPECT_EQ(compare(kWhole.substr(0, kWhole.size() - 3)), "");
  EXPECT_NE(compare(kWhole.substr(0, kWhole.size() - 3) + "x"), "");
}

constexpr const char* kFolder = "GET /dir/ HTTP/1.1\r\nHost: s\r\n\r\n";

// A page, in one chunk, that shows these names.
std::string PageOf(const std::vector<std::string>& links, const std::string& fields = "") {
  std::string rows = "<h1><a href=\"../\">/</a></h1><tr><td><a href=\"../\">../</a></td>";
  for (const std::string& link : links) rows += "<tr><td><a href=\"" + link + "\">it</a></td>";
  if (!fields.empty())
    return AnswerOf("200 OK", fields + "Content-Type: text/html; charset=utf-8\r\n", rows);
  char size[16];
  std::snprintf(size, sizeof size, "%zx", rows.size());
  return AnswerOf("200 OK",
                  "Transfer-Encoding: chunked\r\nContent-Type: text/html; charset=utf-8\r\n",
                  size + ("\r\n" + rows) + "\r\n0\r\n\r\n");
}

TEST_F(ConversationModelTest, AListingShowsTheVeryNamesAndEndsWithItsLastChunk) {
  ServerRules listing;
  listing.listing = true;
  const auto compare = [&](std::string sent, std::string_view received, const Leeway& leeway = {}) {
    return Compare(received, Expect(sent, tree_, listing), listing, leeway);
  };
  const std::string page = PageOf({"b"});
  EXPECT_EQ(compare(kFolder, page), "");
  EXPECT_EQ(compare(std::string(kFolder) + kGet, page + kWhole), "");
  EXPECT_NE(compare(kFolder, page + "x"), "");
  EXPECT_NE(compare(kFolder, page.substr(0, page.size() - 5)), "");
  for (const auto& links : {std::vector<std::string>{}, {"bb"}, {"b", "b"}, {"b", "c"}, {"b/"}}) {
    EXPECT_NE(compare(kFolder, PageOf(links)), "") << links.size();
  }
  const std::string root = "GET / HTTP/1.1\r\nHost: s\r\n\r\n";
  EXPECT_EQ(compare(root, PageOf({"a", "dir/"})), "");
  EXPECT_NE(compare(root, PageOf({"a", "dir"})), "");
  const std::string old = "GET /dir/ HTTP/1.0\r\n\r\n";
  EXPECT_EQ(compare(old, PageOf({"b"}, "Connection: close\r\n")), "");
  EXPECT_NE(compare(old, PageOf({"b"}, "X: y\r\n")), "");
  const std::string any = "GET /dir/ HTTP/1.1\r\nHost: s\r\nIf-None-Match: *\r\n\r\n";
  EXPECT_EQ(compare(any, AnswerOf("304 Not Modified", "")), "");
  EXPECT_NE(compare(any, page), "");
}

TEST_F(ConversationModelTest, AListingAsJsonShowsTheVeryNamesToo) {
  ServerRules listing;
  listing.listing = true;
  const std::string sent = "GET /dir/ HTTP/1.1\r\nHost: s\r\nAccept: application/json\r\n\r\n";
  const auto compare = [&](const std::string& href, const std::string& type) {
    const std::string text = "{\"entries\":[{\"name\":\"b\",\"href\":\"" + href + "\"}]}";
    char size[16];
    std::snprintf(size, sizeof size, "%zx", text.size());
    const std::string answer =
        AnswerOf("200 OK", "Transfer-Encoding: chunked\r\nContent-Type: " + type + "\r\n",
                 size + ("\r\n" + text) + "\r\n0\r\n\r\n");
    return Compare(answer, Expect(sent, tree_, listing), listing, {});
  };
  EXPECT_EQ(compare("b", "application/json"), "");
  EXPECT_NE(compare("bb", "application/json"), "");
  EXPECT_NE(compare("b", "text/html; charset=utf-8"), "");
}

TEST_F(ConversationModelTest, FailedCallsAndAStopLeaveTheBytesToBeRight) {
  const std::string two = std::string(kGet) + kGet;
  const std::string closing = FileOf("content", "Connection: close\r\n");
  const auto compare = [&](std::string_view received, const Leeway& leeway) {
    return Compare(received, ExpectFor(two), rules_, leeway);
  };
  const Leeway failed = {.cut = true, .failed_calls = true};
  EXPECT_EQ(compare(ErrorOf("503 No") + kWhole, failed), "");
  EXPECT_NE(compare(ErrorOf("400 No"), failed), "");
  EXPECT_NE(compare(FileOf("contenT"), failed), "");
  // The table of types could not be read: all have the same one then.
  const ServedFile& a = tree_.at("/a");
  const Tree typed = {{"/a.txt", a}};
  ServerRules rules;
  rules.mime = http::MimeTypes("text/plain txt\n");
  const Expectation of_text = Expect("GET /a.txt HTTP/1.1\r\nHost: s\r\n\r\n", typed, rules);
  EXPECT_EQ(Compare(kWhole, of_text, rules, failed), "");
  EXPECT_NE(Compare(kWhole, of_text, rules, {}), "");
  EXPECT_EQ(compare(closing, {.cut = true, .stopped = true}), "");
  EXPECT_NE(compare(closing, {.cut = true}), "");
  EXPECT_NE(compare(closing + kWhole, {.cut = true, .stopped = true}), "");
}

std::string LogLine(const std::string& rest) {
  return "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] " + rest + " \"-\" \"-\"\n";
}

TEST_F(ConversationModelTest, WhatTheLogHasToSayIsReadFromTheAnswers) {
  const std::string partial = kWhole.substr(0, kWhole.size() - 1);
  const std::vector<Logged> came =
      WholeAnswers(kWhole + partial, ExpectFor(std::string(kGet) + kGet));
  ASSERT_EQ(came.size(), 1u);
  EXPECT_EQ(came[0].asked, "GET /a HTTP/1.1");
  EXPECT_EQ(came[0].status, 200);
  EXPECT_EQ(came[0].body_bytes, 7u);
  const std::vector<Logged> refused =
      WholeAnswers(ErrorOf("400 Bad Request"), ExpectFor("GET  / HTTP/1.1\r\n\r\n"));
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].asked, "");
  const std::vector<Logged> late = WholeAnswers(ErrorOf("408 Request Timeout"), ExpectFor(kGet));
  ASSERT_EQ(late.size(), 1u);
  EXPECT_EQ(late[0].asked, "");
  EXPECT_EQ(late[0].body_bytes, std::nullopt);
}

TEST(ConversationLogTest, AForgedLineIsNoticed) {
  const std::string line = LogLine("\"GET /a HTTP/1.1\" 200 7");
  EXPECT_EQ(JudgeLog("pollux: listening on http://127.0.0.1:8080\n" + line, {}, 1), "");
  EXPECT_NE(JudgeLog(line + line, {}, 1), "");
  EXPECT_NE(JudgeLog(LogLine("\"GET /\" HTTP/1.1\" 200 7"), {}, 1), "");
  EXPECT_NE(JudgeLog(LogLine("\"GET /\\ HTTP/1.1\" 200 7"), {}, 1), "");
  EXPECT_NE(JudgeLog(LogLine("\"GET /\\x0g HTTP/1.1\" 200 7"), {}, 1), "");
  EXPECT_NE(JudgeLog(LogLine("\"GET / HTTP/1.1\" x 7"), {}, 1), "");
  EXPECT_NE(JudgeLog(LogLine("\"GET / HTTP/1.1\" 200 x"), {}, 1), "");
  EXPECT_NE(JudgeLog(line + "no line of a log\n", {}, 1), "");
  EXPECT_NE(JudgeLog("pollux: \x01\n", {}, 1), "");
  EXPECT_NE(JudgeLog("pollux: cut", {}, 1), "");
}

TEST(ConversationLogTest, AMissingLineIsNoticed) {
  const std::string line = LogLine("\"GET /a HTTP/1.1\" 200 7");
  const Logged answer = {"GET /a HTTP/1.1", 200, 7};
  EXPECT_EQ(JudgeLog(line, {answer}, 2), "");
  EXPECT_NE(JudgeLog(line, {answer, answer}, 2), "");
  EXPECT_NE(JudgeLog("", {answer}, 2), "");
}

TEST(ConversationLogTest, ALineOfAnotherAnswerIsNoticed) {
  const std::string line = LogLine("\"GET /a HTTP/1.1\" 200 7");
  EXPECT_NE(JudgeLog(line, {{"GET /a HTTP/1.1", 404, 7}}, 2), "");
  EXPECT_NE(JudgeLog(line, {{"GET /a HTTP/1.1", 200, 8}}, 2), "");
  EXPECT_NE(JudgeLog(line, {{"GET /b HTTP/1.1", 200, 7}}, 2), "");
  EXPECT_NE(JudgeLog(line, {{"HEAD /a HTTP/1.1", 200, 7}}, 2), "");
  EXPECT_NE(JudgeLog(line, {{"GET /a HTTP/1.0", 200, 7}}, 2), "");
  EXPECT_EQ(JudgeLog(line, {{"", 200, std::nullopt}}, 2), "");
  // An answer to no request that could be read does not take the line of another.
  const std::string other = LogLine("\"-\" 400 3");
  const std::string known = LogLine("\"GET /a HTTP/1.1\" 400 3");
  EXPECT_EQ(JudgeLog(known + other, {{"", 400, 3}, {"GET /a HTTP/1.1", 400, 3}}, 2), "");
}

TEST(ConversationLogTest, LinesAreFoundForAnswersWhateverTheirOrder) {
  const std::string eight = LogLine("\"GET /a HTTP/1.1\" 200 8");
  const std::string nine = LogLine("\"GET /a HTTP/1.1\" 200 9");
  const std::string unread = LogLine("\"-\" 200 8");
  const Logged any = {"", 200, std::nullopt}, of_eight = {"GET /a HTTP/1.1", 200, 8};
  const Logged of_a = {"GET /a HTTP/1.1", 200, std::nullopt};
  for (const std::string& log : {eight + nine + unread, unread + nine + eight}) {
    EXPECT_EQ(JudgeLog(log, {any, of_a, of_eight}, 3), "");
    EXPECT_EQ(JudgeLog(log, {of_eight, of_a, any}, 3), "");
    EXPECT_EQ(JudgeLog(log, {of_a, any, of_eight}, 3), "");
    EXPECT_NE(JudgeLog(log, {of_a, of_eight, of_eight}, 3), "");
    EXPECT_NE(JudgeLog(log, {of_a, of_a, of_a}, 3), "");
  }
}

TEST(ConversationLogTest, EscapesAreReadBackAndLongTargetsMayLoseTheirEnds) {
  const std::string escaped = LogLine("\"GET /\\xc3\\x22\\x5c HTTP/1.1\" 304 -");
  EXPECT_EQ(JudgeLog(escaped, {{"GET /\xc3\"\\ HTTP/1.1", 304, 0}}, 1), "");
  EXPECT_NE(JudgeLog(escaped, {{"GET /\xc3\"\\\\ HTTP/1.1", 304, 0}}, 1), "");
  const std::string cut = LogLine("\"GET /aaaaaa... HTTP/1.1\" 404 9");
  EXPECT_EQ(JudgeLog(cut, {{"GET /aaaaaabcdefg HTTP/1.1", 404, 9}}, 1), "");
  EXPECT_NE(JudgeLog(cut, {{"GET /aaaaabbcdefg HTTP/1.1", 404, 9}}, 1), "");
  EXPECT_NE(JudgeLog(cut, {{"GET /aaaaaabcdefg HTTP/1.0", 404, 9}}, 1), "");
  EXPECT_NE(JudgeLog(cut, {{"GET /aaaaaa HTTP/1.1", 404, 9}}, 1), "");
}

// Of targets that are hardly too long, the cut form is longer.
TEST(ConversationLogTest, LongTargetsAreFoundAsTheServerWritesThem) {
  for (const size_t bytes : {399, 400, 401, 402, 403, 404, 4000}) {
    const std::string target = "/" + std::string(bytes - 1, 'a');
    const std::string referer(4000, 'r');
    AccessRecord record;
    record.host = "127.0.0.1";
    record.method = "GET";
    record.target = target;
    record.version = "HTTP/1.1";
    record.status = 404;
    record.body_bytes = 9;
    record.referer = referer;
    const std::string line = FormatAccessLine(record);
    EXPECT_EQ(JudgeLog(line, {{"GET " + target + " HTTP/1.1", 404, 9}}, 1), "") << bytes;
    EXPECT_NE(JudgeLog(line, {{"GET " + target + "a HTTP/1.0", 404, 9}}, 1), "") << bytes;
    const std::string shorter = "/" + std::string(std::min<size_t>(bytes, 400) - 2, 'a');
    EXPECT_NE(JudgeLog(line, {{"GET " + shorter + " HTTP/1.1", 404, 9}}, 1), "") << bytes;
  }
}

TEST(ConversationStoryTest, IsCleanWhateverTheScheduleAndThePlace) {
  Resources resources;
  StoryOptions options;
  for (const BackendKind backend : {BackendKind::kAuto, BackendKind::kLinuxAioSendfile}) {
    options.backend = backend;
    options.faults = backend == BackendKind::kAuto ? 2 : 0;
    RandomStrategy random(1);
    for (int i = 0; i < 50 && random.Begin(); ++i) {
      const Outcome outcome = TellConversation(options, random, resources, nullptr);
      ASSERT_FALSE(outcome.violation) << i << ": " << outcome.violation->text;
    }
  }
}

// A listing for HTTP/1.0 ends the connection only where it is one: else what follows is answered.
TEST(ConversationStoryTest, IsCleanWhatFollowsAListingThatIsNotSent) {
  Resources resources;
  StoryOptions options;
  for (const char* condition : {"If-None-Match: *", "If-Match: \"x\""}) {
    options.script = std::string("\x80GET /bare/ HTTP/1.0\r\nConnection: keep-alive\r\n") +
                     condition + "\r\n\r\n" + kGet + kGet;
    RandomStrategy random(1);
    for (int i = 0; i < 5 && random.Begin(); ++i) {
      const Outcome outcome = TellConversation(options, random, resources, nullptr);
      ASSERT_FALSE(outcome.violation) << condition << ": " << outcome.violation->text;
    }
  }
}

// The last client may be gone before the server has said what SIGTERM is to do.
TEST(ConversationStoryTest, IsCleanHoweverEarlyTheClientLeaves) {
  Resources resources;
  StoryOptions options;
  options.script = std::string("\0\xffq", 3);
  for (size_t others_first = 0; others_first < 60; ++others_first) {
    ReplayStrategy replay(Choices(others_first, 1));
    (void)replay.Begin();
    const Outcome outcome = TellConversation(options, replay, resources, nullptr);
    ASSERT_FALSE(outcome.violation) << others_first << ": " << outcome.violation->text;
  }
}

// Every call that may fail does so once, as in SQLite's tests: all choices are 0 but one.
TEST(ConversationStoryTest, IsCleanWhicheverCallFails) {
  Resources resources;
  StoryOptions options;
  options.script =
      "\x80\xff"
      "FGET /small HTTP/1.1\r\nHost: sim\r\n\r\nGET /large HTTP/1.1\r\nHost: sim\r\n\r\n"
      "GET /bare/ HTTP/1.1\r\nHost: sim\r\n\r\n";
  for (uint32_t at = 0; at < 400; ++at) {
    Choices choices(at, 0);
    choices.push_back(1 + at % 3);
    ReplayStrategy replay(choices);
    (void)replay.Begin();
    const Outcome outcome = TellConversation(options, replay, resources, nullptr);
    ASSERT_FALSE(outcome.violation) << at << ": " << outcome.violation->text;
  }
}

}  // namespace
}  // namespace pollux::sim
