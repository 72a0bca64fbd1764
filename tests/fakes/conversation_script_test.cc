// What the bytes of a script mean, and those of an input of the server's fuzzer, which holds one.
#include <gtest/gtest.h>

#include <string>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/conversation_script.h"
#include "fakes/scenarios/fuzz_input.h"

namespace pollux::sim {
namespace {

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

}  // namespace
}  // namespace pollux::sim
