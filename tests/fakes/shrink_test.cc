// What comes out of the shrinker is one execution: its choices and its outcome belong together.
#include "fakes/explore/shrink.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

namespace pollux::sim {
namespace {

constexpr uint64_t kExecutionsMax = 5000;

uint64_t HashOf(const Choices& choices) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const uint32_t choice : choices) hash = (hash ^ choice) * 0x100000001b3u;
  return hash;
}

Outcome Violating(const Choices& choices, const std::string& oracle) {
  Outcome outcome;
  outcome.trace_hash = HashOf(choices);
  outcome.violation = Violation{oracle, ""};
  return outcome;
}

// Ten choices; the second says how many possibilities the later ones have. Violates "sum" if they
// add up to four.
Outcome Sum(Chooser& chooser) {
  Choices made;
  uint32_t sum = 0;
  for (int i = 0; i < 10; ++i) {
    const size_t count = i > 1 ? 2 + made[1] : 3;
    made.push_back(static_cast<uint32_t>(chooser.PickValue("", count)));
    sum += made.back();
  }
  if (sum >= 4) return Violating(made, "sum");
  Outcome outcome;
  outcome.trace_hash = HashOf(made);
  return outcome;
}

TEST(ShrinkTest, OutcomeIsThatOfTheChoices) {
  std::mt19937_64 random(1);
  int shrunk_ones = 0;
  for (int round = 0; round < 200; ++round) {
    Choices choices(12);  // the last ones are never asked for
    for (uint32_t& choice : choices) choice = static_cast<uint32_t>(random() % 4);
    const Shrunk shrunk = Shrink(choices, "sum", Sum, kExecutionsMax);
    ReplayStrategy replay(choices);
    ASSERT_TRUE(replay.Begin());
    ASSERT_EQ(Sum(replay).violation.has_value(), shrunk.outcome.violation.has_value());
    if (!shrunk.outcome.violation) continue;
    ++shrunk_ones;
    ReplayStrategy again(shrunk.choices);
    ASSERT_TRUE(again.Begin());
    EXPECT_EQ(Sum(again).trace_hash, shrunk.outcome.trace_hash);
    EXPECT_EQ(again.misfits(), 0u);
    EXPECT_LE(NonZero(shrunk.choices), 4u);
  }
  EXPECT_GT(shrunk_ones, 100);
}

TEST(ShrinkTest, AnotherViolationIsNoReplacement) {
  const auto execute = [](Chooser& chooser) {
    const Choices made = {static_cast<uint32_t>(chooser.PickValue("", 2)),
                          static_cast<uint32_t>(chooser.PickValue("", 2))};
    return Violating(made, made == Choices{1, 1} ? "both" : "not both");
  };
  const Shrunk shrunk = Shrink({1, 1}, "both", execute, kExecutionsMax);
  EXPECT_EQ(shrunk.choices, (Choices{1, 1}));
  EXPECT_EQ(shrunk.outcome.trace_hash, HashOf({1, 1}));
}

TEST(ShrinkTest, ChoicesThatViolateNothingComeBackWithoutAViolation) {
  EXPECT_FALSE(Shrink({0, 0, 0}, "sum", Sum, kExecutionsMax).outcome.violation);
}

TEST(ShrinkTest, StopsAtItsLimit) {
  const Shrunk shrunk = Shrink({2, 2, 2, 2}, "sum", Sum, 3);
  EXPECT_EQ(shrunk.executions, 3u);
  EXPECT_TRUE(shrunk.outcome.violation);
}

}  // namespace
}  // namespace pollux::sim
