// The model is held to what Linux was seen to do in a whole run: the core's loop, with each of its
// coordinations, reads a file into shared memory and sends it on, on the real kernel and under a
// recorder (fakes/scenarios/real_run.h). The simulated kernel has to accept what was recorded, also
// from a file, and to refuse what was never seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <tuple>
#include <utility>

#include "core/event/coordination.h"
#include "fakes/recording/accept.h"
#include "fakes/recording/recording_file.h"
#include "fakes/scenarios/real_run.h"
#include "tests/base/missing.h"

namespace pollux {
namespace {

class RecordingTest : public ::testing::TestWithParam<std::pair<CoordinationKind, bool>> {
 protected:
  void SetUp() override {
    auto recording = sim::RecordRealRun(GetParam().first, GetParam().second, ".");
    if (!recording && recording.error().starts_with("no direct I/O")) {
      SKIP_FOR_WANT_OF("a build tree on a file system with O_DIRECT");
    }
    ASSERT_TRUE(recording) << recording.error();
    recording_ = *std::move(recording);
  }

  Recording recording_;
};

// As if the call named `name` had ended otherwise, the first time.
Recording Doctored(Recording recording, const std::string& name, const std::string& result) {
  const auto call = std::find_if(recording.calls.begin(), recording.calls.end(),
                                 [&](const RecordedCall& one) { return one.name == name; });
  EXPECT_NE(call, recording.calls.end()) << name;
  call->result = result;
  return recording;
}

TEST_P(RecordingTest, SimulatedKernelAcceptsWhatLinuxDid) {
  const sim::Acceptance acceptance = sim::Accept(recording_);
  EXPECT_TRUE(acceptance.accepted) << acceptance.refusal << "\n" << WriteRecording(recording_);
}

TEST_P(RecordingTest, FileOfItIsReadBackAsItWasAndAccepted) {
  const std::string text = WriteRecording(recording_);
  const auto read = ReadRecording(text);
  ASSERT_TRUE(read) << read.error();
  EXPECT_EQ(WriteRecording(*read), text);
  const sim::Acceptance acceptance = sim::Accept(*read);
  EXPECT_TRUE(acceptance.accepted) << acceptance.refusal << "\n" << text;
}

TEST_P(RecordingTest, ResultsThatLinuxNeverGaveAreRefusedWithTheCallAndWhatTheModelSays) {
  for (const auto& [name, result, instead] :
       std::initializer_list<std::tuple<const char*, const char*, const char*>>{
           {"recv", "EAGAIN", "1 bytes of digest "},
           {"io_submit", "2", "1"},
           {"sendfile", "4096", "8192"},
           {"fallocate", "EINTR", "0"}}) {
    const sim::Acceptance acceptance = sim::Accept(Doctored(recording_, name, result));
    EXPECT_FALSE(acceptance.accepted) << name;
    EXPECT_EQ(recording_.calls[acceptance.call].name, name);
    ASSERT_EQ(acceptance.allowed.size(), 1u) << acceptance.refusal;
    EXPECT_TRUE(acceptance.allowed.begin()->starts_with(instead)) << acceptance.refusal;
    EXPECT_NE(acceptance.refusal.find(std::string(name) + " in thread 0: Linux said \"" + result +
                                      "\", the model says \"" + instead),
              std::string::npos)
        << acceptance.refusal;
  }
}

TEST_P(RecordingTest, OtherBytesThanTheFilesAreRefused) {
  const sim::Acceptance acceptance =
      sim::Accept(Doctored(recording_, "peer takes", "8192 bytes of digest 1"));
  EXPECT_FALSE(acceptance.accepted);
  EXPECT_EQ(recording_.calls[acceptance.call].name, "peer takes") << acceptance.refusal;
}

INSTANTIATE_TEST_SUITE_P(Coordinations, RecordingTest,
                         ::testing::Values(std::pair(CoordinationKind::kPublished, false),
                                           std::pair(CoordinationKind::kMasked, true),
                                           std::pair(CoordinationKind::kMasked, false),
                                           std::pair(CoordinationKind::kEventfd, true),
                                           std::pair(CoordinationKind::kEventfd, false)),
                         [](const auto& test) {
                           return std::string(ToString(test.param.first)) +
                                  (test.param.second ? "Epoll" : "Poll");
                         });

// A file that was there is opened, and closed.
const std::string kHead =
    R"({"format": "pollux-sim recording 1", "threads": 1, "files": 1, "calls": 2})"
    "\n";
const std::string kFile = R"({"file": "/a", "contents": "x"})"
                          "\n";
const std::string kOpen =
    R"({"thread": 0, "begin": 1, "end": 2, "call": "openat", "arguments": {"dirfd": -100, )"
    R"("path": "/a", "flags": 0, "mode": 0, "made": 7}, "result": "a descriptor"})"
    "\n";
const std::string kClose =
    R"({"thread": 0, "begin": 3, "end": 4, "call": "close", "arguments": {"fd": 7}, )"
    R"("result": "0"})"
    "\n";

// `text` with the first `what` in another form.
std::string With(std::string text, const std::string& what, const std::string& instead) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  return text.replace(at, what.size(), instead);
}

TEST(RecordingFileTest, RecordingWrittenByHandIsAccepted) {
  const auto read = ReadRecording(kHead + kFile + kOpen + kClose);
  ASSERT_TRUE(read) << read.error();
  EXPECT_TRUE(sim::Accept(*read).accepted) << sim::Accept(*read).refusal;
  EXPECT_EQ(LineOf(*read, 1), 4u);
}

TEST(RecordingFileTest, CallThatNeverReturnsIsRefusedAsSuch) {
  const auto read = ReadRecording(
      With(kHead, "\"calls\": 2", "\"calls\": 1") + kFile +
      R"({"thread": 0, "begin": 1, "end": 2, "call": "poll", "arguments": {"fds": [], )"
      R"("timeout_ms": -1}, "result": "1, entry 0:1"})");
  ASSERT_TRUE(read) << read.error();
  const sim::Acceptance acceptance = sim::Accept(*read);
  EXPECT_FALSE(acceptance.accepted);
  EXPECT_NE(acceptance.refusal.find("does not come to its end (deadlock"), std::string::npos)
      << acceptance.refusal;
}

TEST(RecordingFileTest, WhatIsCutOffForeignOrMangledIsNamedWithItsLine) {
  const std::string whole = kHead + kFile + kOpen + kClose;
  for (const auto& [text, error] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "line 1: the file ends here"},
           {"\x7f"
            "ELF",
            "line 1: no JSON object"},
           {"[1]\n", "line 1: no JSON object"},
           {"{}\n", "line 1: not of the format"},
           {With(whole, "recording 1", "recording 9"), "line 1: not of the format"},
           {kHead + kFile + kOpen, "line 4: the file ends here"},
           {whole.substr(0, whole.size() - 10), "line 4: no JSON object, or cut off"},
           {whole + kClose, "line 4: there are more lines"},
           {With(whole, "\"threads\": 1", "\"threads\": 0"), "line 1: \"threads\" is out of range"},
           {With(whole, "\"calls\": 2", "\"calls\": 2.0"), "line 1: \"calls\" is no whole number"},
           {With(whole, "\"file\": \"/a", "\"file\": \"a"), "line 2: \"file\" is no absolute path"},
           {With(whole, "\"dirfd\": -100", "\"dirfd\": 4294967196"),
            "line 3: \"dirfd\" is out of range"},
           {With(whole, "\"path\": \"/a\", ", ""), "line 3: \"path\" is missing"},
           {With(whole, "\"flags\": 0", "\"flags\": true"), "line 3: \"flags\" is no whole number"},
           {With(whole, "\"close\"", "\"clone\""), "line 4: no call \"clone\" is known"},
           {With(whole, "\"begin\": 3", "\"begin\": 1"), "line 4: it begins before"},
           {With(whole, "\"begin\": 3", "\"begin\": 5"), "line 4: it ends before it begins"},
           {With(whole, "\"thread\": 0", "\"thread\": 1"), "line 3: \"thread\" is out of range"}}) {
    const auto read = ReadRecording(text);
    ASSERT_FALSE(read) << text;
    EXPECT_TRUE(read.error().starts_with(error)) << read.error();
  }
}

}  // namespace
}  // namespace pollux
