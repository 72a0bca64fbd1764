// The thread sanitizer on simulated threads: they synchronise by the seam's primitives alone, so
// that it sees what of the core two of them touch with nothing in between. Only in its build.
#include "fakes/kernel/tsan.h"

#if defined(POLLUX_TSAN)

#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "core/sys/raii.h"
#include "fakes/explore/strategy.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

constexpr int kExecutions = 40;
constexpr int kRaceReported = 66;  // the sanitizer's exit status

// The first violation of `kExecutions` of each story; empty if there is none.
std::string FirstViolation(CoordinationKind kind, int signals) {
  StoryOptions options;
  options.coordination = kind;
  options.signals = signals;
  Resources resources;
  for (const char* name : {"one-chunk", "two-chunks", "slow-read", "stop", "download"}) {
    RandomStrategy strategy(1);
    const bool server = std::string(name) == "download";
    for (int i = 0; i < kExecutions && strategy.Begin(); ++i) {
      options.signals = server ? 0 : signals;
      const Outcome outcome = FindStory(name)->tell(options, strategy, resources, nullptr);
      strategy.End();
      if (outcome.violation) return outcome.violation->oracle + ": " + outcome.violation->text;
    }
  }
  return "";
}

// Two threads count in one variable, under a mutex or without.
std::string Count(bool locked) {
  RandomStrategy strategy(1);
  Resources resources;
  for (int i = 0; i < kExecutions && strategy.Begin(); ++i) {
    SimKernel kernel(strategy, resources, {});
    const auto mutex = kernel.mutex_create();
    int count = 0;
    const auto add = [&] {
      if (locked) mutex->lock();
      ++count;
      if (locked) mutex->unlock();
    };
    EXPECT_TRUE(kernel.Run([&] {
      const Thread other(kernel, kernel.thread_create("t", add).value());
      add();
    }));
    strategy.End();
    EXPECT_EQ(count, 2);
    if (kernel.scheduler().violation()) return kernel.scheduler().violation()->oracle;
  }
  return "";
}

// Runs it in a process of its own, which the sanitizer ends.
void ExpectRace(const std::function<void()>& run, const char* where) {
  EXPECT_EXIT(
      {
        run();
        std::exit(0);
      },
      ::testing::ExitedWithCode(kRaceReported), where);
}

TEST(RacesTest, CorrectedCoordinationsHaveNone) {
  const uint64_t before = tsan::Reports();
  for (const auto kind : {CoordinationKind::kMasked, CoordinationKind::kEventfd}) {
    EXPECT_EQ(FirstViolation(kind, 1), "") << ToString(kind);
  }
  EXPECT_EQ(tsan::Reports(), before);
}

TEST(RacesTest, VariableUnderAMutexHasNone) { EXPECT_EQ(Count(true), ""); }

// The loop and the helper of 2006 share what is pending and the job list, with nothing in between.
TEST(RacesDeathTest, PublishedSharesItsJobListUnprotected) {
  ExpectRace([] { (void)FirstViolation(CoordinationKind::kPublished, 0); },
             "data race(.|\n)*published.cc");
}

TEST(RacesDeathTest, VariableWithoutOneIsReported) {
  ExpectRace([] { (void)Count(false); }, "data race");
}

}  // namespace
}  // namespace pollux::sim

#endif
