// Scripts of conversations, and the model that says what must be answered to them. That the server
// does answer so is what `pollux-sim run conversation` and the fuzzer look at; here, that neither
// would overlook it if it did not.
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/conversation_model.h"
#include "fakes/scenarios/conversation_script.h"
#include "fakes/scenarios/fuzz_input.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

constexpr const char* kGet = "GET /a HTTP/1.1\r\nHost: sim\r\n\r\n";

TEST(ConversationScriptTest, BytesAreSentAsTheyStandAndMarksSayWhatElseHappens) {
  const Script script = ParseScript(
      "@GET \xff\xff\xff"
      "c/\xffp\xffsx\xffh-\xffnlast");
  ASSERT_EQ(script.clients.size(), 2u);
  const ClientScript& first = script.clients[0];
  EXPECT_EQ(first.Sent(), "GET \xff/x");
  ASSERT_EQ(first.acts.size(), 5u);
  EXPECT_EQ(first.acts[0].bytes, "GET \xff");
  EXPECT_EQ(first.acts[2].kind, Act::Kind::kPause);
  EXPECT_EQ(first.acts[4].kind, Act::Kind::kHalfClose);  // and nothing behind it
  EXPECT_TRUE(first.stays);
  EXPECT_EQ(script.clients[1].Sent(), "last");
  EXPECT_TRUE(script.settings.small_limits);
}

TEST(ConversationScriptTest, SignalsAndTroublesAreMarksToo) {
  const Script script = ParseScript(
      "\x80\xffTGET\xff"
      "F\xffn\xffH\xff"
      "F");
  EXPECT_TRUE(script.settings.listing);
  EXPECT_EQ(script.troubles, 2);
  ASSERT_EQ(script.clients.size(), 2u);
  EXPECT_EQ(script.clients[0].acts[0].kind, Act::Kind::kTerminate);
  EXPECT_EQ(script.clients[0].Sent(), "GET");
  EXPECT_TRUE(script.Has(Act::Kind::kHangup) && script.Has(Act::Kind::kTerminate));
  EXPECT_FALSE(script.Has(Act::Kind::kReset));
}

TEST(ConversationScriptTest, AnyBytesAreAScript) {
  EXPECT_EQ(ParseScript("").clients.size(), 1u);
  EXPECT_EQ(ParseScript(std::string_view("\0\xff", 2)).clients.size(), 1u);
  std::string many(1, '\0');
  for (int i = 0; i < 100; ++i) many += "\xffn\xffp";
  EXPECT_EQ(ParseScript(many).clients.size(), kScriptClientsMax);
}

TEST(FuzzInputTest, HoldsOptionsScriptAndChoices) {
  const auto input = ParseFuzzInput(
      "PXF1\x01\x01\x15@GET\xff"
      "e\x02\x11");
  ASSERT_TRUE(input);
  EXPECT_EQ(input->options.backend, BackendKind::kLinuxAioSendfile);
  EXPECT_EQ(input->options.coordination, CoordinationKind::kEventfd);
  EXPECT_EQ(input->options.signals, 1);
  EXPECT_EQ(input->options.faults, 1);
  EXPECT_EQ(input->options.early_timeouts, 1);
  EXPECT_EQ(input->options.script, "@GET");
  EXPECT_EQ(input->choices, (Choices{2, 0, 0, 1}));
  EXPECT_FALSE(ParseFuzzInput("{}"));
  EXPECT_TRUE(ParseFuzzInput("PXF1"));
}

class ConversationModelTest : public ::testing::Test {
 protected:
  Expectation ExpectFor(std::string_view sent) { return Expect(sent, tree_, rules_); }
  std::string CompareWith(std::string_view sent, std::string_view received) {
    return Compare(received, ExpectFor(sent), rules_, {});
  }

  const Tree tree_ = {{"/a", std::make_shared<std::string>("content")},
                      {"/dir/b", std::make_shared<std::string>("x")}};
  const ServerRules rules_{};
};

constexpr const char* kWhole = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontent";

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
  const std::string bad =
      "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  EXPECT_TRUE(ExpectFor(half).answers.empty());  // nothing is owed as long as more may come
  EXPECT_EQ(CompareWith(half, bad), "");
  EXPECT_EQ(CompareWith(kGet + half, kWhole + bad), "");
  EXPECT_NE(CompareWith(half, ""), "");
  EXPECT_NE(CompareWith(half, bad + bad), "");
  EXPECT_NE(CompareWith(half, kWhole), "");
}

TEST_F(ConversationModelTest, EachWayToBeWrongIsNoticed) {
  EXPECT_NE(CompareWith(kGet, ""), "");
  EXPECT_NE(CompareWith(kGet, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nconten"), "");
  EXPECT_NE(CompareWith(kGet, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nCONTENT"), "");
  EXPECT_NE(CompareWith(kGet, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ncon"), "");
  EXPECT_NE(CompareWith(kGet, "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), "");
  EXPECT_NE(CompareWith(kGet, std::string(kWhole) + "x"), "");
  EXPECT_NE(CompareWith(kGet, std::string(kWhole) + kWhole), "");
  EXPECT_NE(
      CompareWith(kGet, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\ncontent"),
      "");
}

TEST_F(ConversationModelTest, ACutAnswerMayMissAnEndButHaveNoWrongByte) {
  const Expectation expectation = ExpectFor(kGet);
  const auto compare = [&](std::string_view received) {
    return Compare(received, expectation, rules_, {.cut = true});
  };
  EXPECT_EQ(compare(""), "");
  EXPECT_EQ(compare("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncon"), "");
  EXPECT_NE(compare("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncox"), "");
}

constexpr const char* kFolder = "GET /dir/ HTTP/1.1\r\nHost: s\r\n\r\n";
constexpr const char* kPage =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na b \r\n1\r\nc\r\n0\r\n\r\n";

TEST_F(ConversationModelTest, AListingShowsEachNameAndEndsWithItsLastChunk) {
  ServerRules listing;
  listing.listing = true;
  const auto compare = [&](std::string sent, std::string_view received, const Leeway& leeway = {}) {
    return Compare(received, Expect(sent, tree_, listing), listing, leeway);
  };
  const std::string page = kPage;
  EXPECT_EQ(compare(kFolder, page), "");
  EXPECT_EQ(compare(std::string(kFolder) + kGet, page + kWhole), "");
  EXPECT_NE(compare(kFolder, page + "x"), "");
  EXPECT_NE(compare(kFolder, page.substr(0, page.size() - 5)), "");
  EXPECT_NE(compare(kFolder, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "");
  const std::string old = "GET /dir/ HTTP/1.0\r\n\r\n";
  EXPECT_EQ(compare(old, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nb"), "");
  EXPECT_NE(compare(old, "HTTP/1.1 200 OK\r\n\r\nb"), "");
  const std::string any = "GET /dir/ HTTP/1.1\r\nHost: s\r\nIf-None-Match: *\r\n\r\n";
  EXPECT_EQ(compare(any, "HTTP/1.1 304 Not Modified\r\n\r\n"), "");
  EXPECT_NE(compare(any, page), "");
}

TEST_F(ConversationModelTest, FailedCallsAndAStopLeaveTheBytesToBeRight) {
  const std::string two = std::string(kGet) + kGet;
  const std::string closing =
      "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 7\r\n\r\ncontent";
  const auto compare = [&](std::string_view received, const Leeway& leeway) {
    return Compare(received, ExpectFor(two), rules_, leeway);
  };
  const Leeway failed = {.cut = true, .failed_calls = true};
  EXPECT_EQ(compare("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n" + std::string(kWhole), failed),
            "");
  EXPECT_NE(compare("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", failed), "");
  EXPECT_NE(compare("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontenT", failed), "");
  EXPECT_EQ(compare(closing, {.cut = true, .stopped = true}), "");
  EXPECT_NE(compare(closing, {.cut = true}), "");
  EXPECT_NE(compare(closing + kWhole, {.cut = true, .stopped = true}), "");
}

TEST(ConversationLogTest, AForgedLineIsNoticed) {
  const std::string line =
      "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a HTTP/1.1\" 200 7 \"-\" \"-\"\n";
  EXPECT_EQ(JudgeLog("pollux: listening on http://127.0.0.1:8080\n" + line, 1), "");
  EXPECT_NE(JudgeLog(line + line, 1), "");
  EXPECT_NE(JudgeLog("127.0.0.1 - - [x] \"GET /\" HTTP/1.1\" 200 7 \"-\" \"-\"\n", 1), "");
  EXPECT_NE(JudgeLog(line + "no line of a log\n", 1), "");
  EXPECT_NE(JudgeLog("pollux: \x01\n", 1), "");
  EXPECT_NE(JudgeLog("pollux: cut", 1), "");
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
