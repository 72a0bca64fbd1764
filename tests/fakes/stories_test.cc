// What the simulated kernel says of the core: the specimens of 2006 are caught, each by the oracle
// that it is for, and the corrected ones are clean.
#include <gtest/gtest.h>

#include <map>
#include <span>
#include <string>

#include "fakes/explore/exhaustive.h"
#include "fakes/explore/shrink.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

constexpr uint64_t kFindWithin = 2000;  // executions
constexpr uint64_t kCleanFor = 1000;
constexpr size_t kShrunkMax = 30;  // choices that are not 0

class StoriesTest : public ::testing::TestWithParam<CoordinationKind> {
 protected:
  StoriesTest() { options_.coordination = GetParam(); }

  void ExpectLoopIsClean() {
    for (const Story& story : AllStories()) {
      if (!story.exhaustible) continue;
      RandomStrategy random(1);
      PctStrategy pct(1, 3);
      for (Strategy* strategy : {static_cast<Strategy*>(&random), static_cast<Strategy*>(&pct)}) {
        for (uint64_t i = 0; i < kCleanFor && strategy->Begin(); ++i) {
          const Outcome outcome = story.tell(options_, *strategy, resources_, nullptr);
          strategy->End();
          ASSERT_FALSE(outcome.violation) << story.name << ": " << outcome.violation->text;
        }
      }
    }
  }

  StoryOptions options_;
  Resources resources_;
};

// The first violation of `oracle` by `strategy`, shrunk; the test fails if there is none.
Outcome Find(const std::string& story_name, const StoryOptions& options, Strategy& strategy,
             const std::string& oracle, Resources& resources) {
  const Story* story = FindStory(story_name);
  const auto execute = [&](Chooser& chooser) {
    return story->tell(options, chooser, resources, nullptr);
  };
  for (uint64_t i = 0; i < kFindWithin && strategy.Begin(); ++i) {
    const Outcome outcome = execute(strategy);
    strategy.End();
    if (!outcome.violation || outcome.violation->oracle != oracle) continue;
    const Shrunk shrunk = Shrink(strategy.choices(), oracle, execute, 5000);
    EXPECT_LE(NonZero(shrunk.choices), kShrunkMax);
    EXPECT_LE(NonZero(shrunk.choices), NonZero(strategy.choices()));
    // The same choices, the same execution.
    ReplayStrategy replay(shrunk.choices);
    EXPECT_TRUE(replay.Begin());
    Outcome again = execute(replay);
    EXPECT_EQ(again.trace_hash, shrunk.outcome.trace_hash);
    EXPECT_EQ(replay.misfits(), 0u);
    return again;
  }
  ADD_FAILURE() << story_name << ": no violation of " << oracle;
  return {};
}

class SpecimenTest : public ::testing::Test {
 protected:
  SpecimenTest() { options_.coordination = CoordinationKind::kPublished; }
  void ExpectFound(const std::string& story, const std::string& oracle, const std::string& text) {
    RandomStrategy random(1);
    PctStrategy pct(1, 3);
    for (Strategy* strategy : {static_cast<Strategy*>(&random), static_cast<Strategy*>(&pct)}) {
      const Outcome found = Find(story, options_, *strategy, oracle, resources_);
      ASSERT_TRUE(found.violation);
      EXPECT_NE(found.violation->text.find(text), std::string::npos) << found.violation->text;
    }
  }
  StoryOptions options_;
  Resources resources_;
};

TEST_F(SpecimenTest, PublishedLosesAWakeUp) {
  ExpectFound("one-chunk", "timeout rescue", "a completion waited until the time-out of poll");
}

TEST_F(SpecimenTest, PublishedKickNeverLandsInTheHelper) {
  ExpectFound("slow-read", "timeout rescue", "a readable socket waited");
}

TEST_F(SpecimenTest, PublishedTakesAForeignSignalForTheKick) {
  ExpectFound("foreign-signal", "foreign EINTR", "after a signal that was no kick");
}

// A report on a page says who sent it and who submitted the read.
TEST_F(SpecimenTest, ReportOnAPageHasBothStacks) {
  options_.coordination = CoordinationKind::kEventfd;
  options_.retire = Retire::kReuse;
  RandomStrategy strategy(1);
  const Outcome found = Find("late-reader", options_, strategy, "page references", resources_);
  ASSERT_TRUE(found.violation);
  EXPECT_EQ(found.violation->text.find('\n'), std::string::npos) << "not kept unless wanted";

  options_.stacks = true;
  RandomStrategy again(1);
  const Outcome told = Find("late-reader", options_, again, "page references", resources_);
  ASSERT_TRUE(told.violation);
  EXPECT_EQ(told.trace_hash, found.trace_hash);
  const std::string& text = told.violation->text;
  const size_t sent = text.find("\n  the page was sent by\n");
  const size_t read = text.find("\n  the read was submitted by\n");
  ASSERT_NE(sent, std::string::npos) << text;
  ASSERT_NE(read, std::string::npos) << text;
  EXPECT_LT(text.find("\n    pollux::sim::SimKernel::sendfile\n", sent), read) << text;
  EXPECT_NE(text.find("\n    pollux::sim::SimKernel::io_submit\n", read), std::string::npos)
      << text;
  // From there up to whoever runs the loop.
  EXPECT_NE(text.find("\n    pollux::EventLoop::", sent), std::string::npos) << text;
  EXPECT_NE(text.find("\n    pollux::EventLoop::", read), std::string::npos) << text;
}

TEST_F(SpecimenTest, ReusedBufferIsOverwrittenWhileASocketRefersToIt) {
  options_.coordination = CoordinationKind::kEventfd;
  options_.retire = Retire::kReuse;
  ExpectFound("late-reader", "page references", "");
}

TEST_F(SpecimenTest, ServerOnPublishedStalls) {
  ExpectFound("download", "timeout rescue", "a client waited until the time-out of poll");
}

TEST_P(StoriesTest, LoopIsCleanUnderSignalsEarlyTimeoutsAndAFault) {
  options_.signals = 2;
  options_.early_timeouts = 2;
  options_.faults = 1;
  ExpectLoopIsClean();
}

// Without early time-outs the clock is a judge: timers, stops, turns.
TEST_P(StoriesTest, LoopIsCleanAndInTimeUnderSignalsAndAFault) {
  options_.signals = 2;
  options_.faults = 1;
  ExpectLoopIsClean();
}

TEST_P(StoriesTest, EveryScheduleOfOneChunkAndAForeignSignalIsClean) {
  options_.signals = 1;
  ExhaustiveStrategy strategy(Reduction::kDpor);
  uint64_t executions = 0;
  while (strategy.Begin()) {
    const Outcome outcome = TellOneChunk(options_, strategy, resources_, nullptr);
    strategy.End();
    ++executions;
    ASSERT_FALSE(outcome.violation) << outcome.violation->text;
  }
  EXPECT_TRUE(strategy.exhausted());
  EXPECT_GT(executions, 1u);
}

// Bytes exact, nothing left open, no stall; each backend.
TEST_P(StoriesTest, ServerServesEveryByteInEverySchedule) {
  for (const BackendKind backend :
       {BackendKind::kWritev, BackendKind::kLinuxSendfile, BackendKind::kLinuxAioSendfile,
        BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile, BackendKind::kAuto}) {
    options_.backend = backend;
    for (const char* name : {"download", "late-reader", "leaver", "shrinking-file", "shared-file",
                             "dead-reader", "ten-downloads"}) {
      RandomStrategy strategy(1);
      for (int i = 0; i < 5 && strategy.Begin(); ++i) {
        const Outcome outcome = FindStory(name)->tell(options_, strategy, resources_, nullptr);
        ASSERT_FALSE(outcome.violation)
            << name << " with " << ToString(backend) << ": " << outcome.violation->text;
      }
    }
  }
}

TEST_P(StoriesTest, FailedAndShortReadsCutAnswersButNoByteIsWrong) {
  options_.faults = 3;
  options_.signals = 1;
  PctStrategy strategy(1, 3);
  for (int i = 0; i < 20 && strategy.Begin(); ++i) {
    const Outcome outcome = TellTenDownloads(options_, strategy, resources_, nullptr);
    strategy.End();
    ASSERT_FALSE(outcome.violation) << outcome.violation->text;
  }
}

// Refuses every read with RWF_NOWAIT that may be refused, and leaves all else as it is.
class Refuser final : public Chooser {
 public:
  size_t PickStep(std::span<const Option>, std::span<const Option>) override { return 0; }
  size_t PickValue(const char* label, size_t) override {
    if (!std::string(label).starts_with("RWF_NOWAIT")) return 0;
    ++refusals_;
    return 1;
  }
  int refusals() const { return refusals_; }

 private:
  int refusals_ = 0;
};

// Its buffers are read into again and again, so that the loop submits most reads itself.
TEST_P(StoriesTest, ReadsThatAreRefusedBecauseTheyWouldBlockAreMadeAllTheSame) {
  options_.backend = BackendKind::kLinuxAioWrite;
  options_.faults = 5;
  Refuser chooser;
  const Outcome outcome = TellLateReader(options_, chooser, resources_, nullptr);
  EXPECT_FALSE(outcome.violation) << outcome.violation->text;
  EXPECT_EQ(chooser.refusals(), 5);
  EXPECT_GT(outcome.state, 60'000u);  // bytes the client got, its head with them
}

// Notes what happens, and which faults a strategy chooses.
class Witness final : public Chooser, public StepListener {
 public:
  explicit Witness(Strategy& strategy) : strategy_(strategy) {}
  size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) override {
    return strategy_.PickStep(options, blocked);
  }
  size_t PickValue(const char* label, size_t count) override {
    const size_t answer = strategy_.PickValue(label, count);
    if (answer > 0) ++seen_[label];
    return answer;
  }
  void OnStep(const Step& step) override { ++seen_[step.what]; }
  int seen(const std::string& what) { return seen_[what]; }

 private:
  Strategy& strategy_;
  std::map<std::string, int> seen_;
};

// A hundred clients and eight; whoever is not dead or cut off has got every byte, or it is a
// violation.
TEST_P(StoriesTest, CrowdIsServedThroughFaultsAndAfterThem) {
  RandomStrategy random(1);
  PctStrategy pct(1, 3);
  int faults = 0;
  for (Strategy* strategy : {static_cast<Strategy*>(&random), static_cast<Strategy*>(&pct)}) {
    for (int i = 0; i < 3 && strategy->Begin(); ++i) {
      Witness witness(*strategy);
      const Outcome outcome = TellCrowd(options_, witness, resources_, &witness);
      strategy->End();
      ASSERT_FALSE(outcome.violation) << outcome.violation->text;
      EXPECT_EQ(witness.seen("client connects"), 108);
      EXPECT_EQ(witness.seen("all goes well again"), 1);
      EXPECT_LE(witness.seen("read: whole, EIO, short"), 5);
      faults += witness.seen("read: whole, EIO, short");
    }
  }
  EXPECT_GT(faults, 0);
}

INSTANTIATE_TEST_SUITE_P(Corrected, StoriesTest,
                         ::testing::Values(CoordinationKind::kMasked, CoordinationKind::kEventfd),
                         [](const auto& test) { return std::string(ToString(test.param)); });

// A specimen that nothing hides: the server serves on it all the same, if nobody is interrupted.
TEST(UninterruptedTest, EveryCoordinationServesOneFileToOneClient) {
  for (const auto kind :
       {CoordinationKind::kPublished, CoordinationKind::kMasked, CoordinationKind::kEventfd}) {
    StoryOptions options;
    options.coordination = kind;
    FirstChooser chooser;
    Resources resources;
    const Outcome outcome = TellDownload(options, chooser, resources, nullptr);
    EXPECT_FALSE(outcome.violation) << ToString(kind) << ": " << outcome.violation->text;
    EXPECT_GT(outcome.state, 200'000u);  // bytes the client got, its head with them
  }
}

}  // namespace
}  // namespace pollux::sim
