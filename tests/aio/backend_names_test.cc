#include <gtest/gtest.h>

#include <set>

#include "core/aio/backend.h"

namespace pollux {
namespace {

TEST(BackendNamesTest, EveryBackendIsParsedFromItsDocumentedWord) {
  EXPECT_EQ(ParseBackend("writev"), BackendKind::kWritev);
  EXPECT_EQ(ParseBackend("linux-sendfile"), BackendKind::kLinuxSendfile);
  EXPECT_EQ(ParseBackend("linux-aio-sendfile"), BackendKind::kLinuxAioSendfile);
  EXPECT_EQ(ParseBackend("linux-aio-write"), BackendKind::kLinuxAioWrite);
  EXPECT_EQ(ParseBackend("threads-sendfile"), BackendKind::kThreadsSendfile);
  EXPECT_EQ(ParseBackend("auto"), BackendKind::kAuto);
}

TEST(BackendNamesTest, EveryRetireIsParsedFromItsDocumentedWord) {
  EXPECT_EQ(ParseRetire("punch"), Retire::kPunch);
  EXPECT_EQ(ParseRetire("fresh"), Retire::kFresh);
  EXPECT_EQ(ParseRetire("reuse"), Retire::kReuse);
}

TEST(BackendNamesTest, NothingElseIsParsed) {
  for (const char* word : {"", "Auto", "auto ", "sendfile", "writev\n", "linux-aio"}) {
    EXPECT_EQ(ParseBackend(word), std::nullopt) << word;
    EXPECT_EQ(ParseRetire(word), std::nullopt) << word;
  }
}

TEST(BackendNamesTest, ChunkStatesHaveNamesOfTheirOwn) {
  std::set<std::string> names;
  for (int i = 0; i < kChunkStates; ++i) names.insert(ToString(static_cast<ChunkState>(i)));
  EXPECT_EQ(names, (std::set<std::string>{"free", "reading", "ready", "sending", "retired"}));
}

}  // namespace
}  // namespace pollux
