// `masked` and `eventfd` on the running kernel, with both handlers: whatever the moment at which a
// completion, a wake-up or a foreign signal arrives, no sleep misses it. Sleeps have no time-out or
// one of many seconds, so a lost wake-up would be seen as a hang or as a time-out in the books.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "tests/event/real_loop.h"

namespace pollux {
namespace {

// Some microseconds, to meet the sleep at different moments.
void Spin(unsigned long turns) {
  std::atomic<unsigned long> left = turns;
  while (left > 0) left.fetch_sub(1, std::memory_order_relaxed);
}

using Parameters = std::tuple<CoordinationKind, const char*>;

class SoundCoordinationTest : public ::testing::TestWithParam<Parameters> {
 protected:
  LinuxKernel kernel_;
  RealLoop real_{kernel_, std::get<0>(GetParam()), std::get<1>(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(All, SoundCoordinationTest,
                         ::testing::Combine(::testing::Values(CoordinationKind::kMasked,
                                                              CoordinationKind::kEventfd),
                                            ::testing::Values("poll", "epoll")),
                         [](const auto& combination) {
                           return std::string(ToString(std::get<0>(combination.param))) + "_" +
                                  std::get<1>(combination.param);
                         });

TEST_P(SoundCoordinationTest, CompletionBeforeTheSleepEndsIt) {
  TestRead read;
  real_.Submit(read);
  read.Complete();
  real_.RunUntilCompleted(1);
  EXPECT_EQ(real_.completed()[0], &read);
}

TEST_P(SoundCoordinationTest, CompletionDuringTheSleepEndsIt) {
  TestRead read;
  real_.Submit(read);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    read.Complete();
  });
  real_.RunUntilCompleted(1);
  later.join();
  EXPECT_EQ(real_.loop().stats().completion_delay.count(), 1u);
}

TEST_P(SoundCoordinationTest, ManyCompletionsAtRandomMomentsAreAllDispatched) {
  constexpr int kRounds = 2000;
  std::vector<TestRead> reads(RealLoop::kDepth);
  std::minstd_rand random(7);
  std::atomic<int> round_begun = 0;
  std::thread disk([&] {
    std::minstd_rand spins(11);
    for (int round = 1; round <= kRounds; ++round) {
      while (round_begun.load() < round) {
      }
      Spin(spins() % 20000);
      for (size_t n = 0; n < reads.size(); n += 4) reads[n].Complete();
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    for (size_t n = 0; n < reads.size(); n += 4) real_.Submit(reads[n]);
    round_begun = round;
    Spin(random() % 20000);
    real_.RunUntilCompleted(reads.size() / 4);
    real_.Forget();
    for (size_t n = 0; n < reads.size(); n += 4) reads[n].Rewind();
  }
  disk.join();
  EXPECT_EQ(real_.coordination().stats().timeout_rescues, 0u);
  EXPECT_EQ(real_.coordination().stats().timeouts, 0u);
}

}  // namespace
}  // namespace pollux
