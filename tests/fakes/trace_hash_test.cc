// The same seed is the same execution: again in the same process, with memory and fibers that
// others have used, and in every build (integration/test_sim_search.py compares those there are).
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

uint64_t TraceHash(const Story& story, const StoryOptions& options, uint64_t seed,
                   Resources& resources) {
  RandomStrategy strategy(seed);
  EXPECT_TRUE(strategy.Begin());
  return story.tell(options, strategy, resources, nullptr).trace_hash;
}

TEST(TraceHashTest, EveryStoryIsTheSameAgainWithWhatOthersHaveUsed) {
  Resources used;
  for (const CoordinationKind coordination :
       {CoordinationKind::kPublished, CoordinationKind::kMasked, CoordinationKind::kEventfd}) {
    StoryOptions options;
    options.coordination = coordination;
    options.faults = 1;
    options.signals = 1;
    for (const Story& story : AllStories()) {
      for (uint64_t seed = 1; seed <= 2; ++seed) {
        Resources fresh;
        EXPECT_EQ(TraceHash(story, options, seed, used), TraceHash(story, options, seed, fresh))
            << story.name << " with " << ToString(coordination) << ", seed " << seed;
      }
    }
  }
}

TEST(TraceHashTest, AnotherSeedIsAnotherExecution) {
  Resources resources;
  const Story& story = *FindStory("two-chunks");
  EXPECT_NE(TraceHash(story, {}, 1, resources), TraceHash(story, {}, 2, resources));
}

// Kept here because it depends on nothing of the core above the seam: it changes only with what the
// model takes for a step and what it calls it, and then replay files do not fit any more either.
TEST(TraceHashTest, ToyLoopIsTheSameInEveryBuild) {
  Resources resources;
  const Story& story = *FindStory("toy-loop");
  EXPECT_EQ(TraceHash(story, {}, 1, resources), 1130711118985654894u);
  EXPECT_EQ(TraceHash(story, {}, 2, resources), 399757273935869328u);
}

}  // namespace
}  // namespace pollux::sim
