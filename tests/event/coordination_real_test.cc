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

#include "fakes/hold_kernel.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

// Some microseconds, to meet the sleep at different moments.
void Spin(unsigned long turns) {
  std::atomic<unsigned long> left = turns;
  while (left > 0) left.fetch_sub(1, std::memory_order_relaxed);
}

using Parameters = std::tuple<CoordinationKind, const char*>;

const auto kSoundWays =
    ::testing::Combine(::testing::Values(CoordinationKind::kMasked, CoordinationKind::kEventfd),
                       ::testing::Values("poll", "epoll"));

std::string NameOf(const ::testing::TestParamInfo<Parameters>& way) {
  return std::string(ToString(std::get<0>(way.param))) + "_" + std::get<1>(way.param);
}

class SoundCoordinationTest : public ::testing::TestWithParam<Parameters> {
 protected:
  LinuxKernel kernel_;
  RealLoop real_{kernel_, std::get<0>(GetParam()), std::get<1>(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(All, SoundCoordinationTest, kSoundWays, NameOf);

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
      while (round_begun.load() < round) std::this_thread::yield();
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

TEST_P(SoundCoordinationTest, WakeFromAnotherThreadEndsASleepWhateverItsMoment) {
  constexpr uint64_t kRounds = 5000;
  std::atomic<uint64_t> turns = 0;
  std::thread waker([&] {
    std::minstd_rand spins(3);
    for (uint64_t round = 0; round < kRounds; ++round) {
      while (turns.load() < round) std::this_thread::yield();
      Spin(spins() % 3000);
      real_.coordination().Wake();
    }
  });
  std::minstd_rand random(5);
  for (uint64_t round = 0; round < kRounds; ++round) {
    ASSERT_TRUE(real_.loop().RunOnce());  // without a time-out
    turns = round + 1;
    Spin(random() % 3000);
  }
  waker.join();
  EXPECT_EQ(real_.coordination().stats().timeouts, 0u);
}

TEST_P(SoundCoordinationTest, StormOfForeignSignalsIsHarmless) {
  std::atomic<bool> enough = false;
  std::thread storm([&] {
    while (!enough) {
      kill(getpid(), SIGUSR1);
      kill(getpid(), SIGALRM);
    }
  });
  std::vector<TestRead> reads(RealLoop::kDepth);
  for (int round = 0; round < 300; ++round) {
    for (TestRead& read : reads) real_.Submit(read);
    for (TestRead& read : reads) read.Complete();
    real_.RunUntilCompleted(reads.size());
    real_.Forget();
    for (TestRead& read : reads) read.Rewind();
  }
  enough = true;
  storm.join();
  EXPECT_EQ(real_.coordination().stats().timeout_rescues, 0u);
}

TEST_P(SoundCoordinationTest, LoopThatNeverSleepsHearsASignalAllTheSame) {
  class Counting final : public SignalHandler {
   public:
    void OnTerminate() override { ++terminate; }
    void OnHangup() override {}
    int terminate = 0;
  } signals;
  class Ignoring final : public FdeventCallback {
   public:
    void OnFdevent(uint32_t) override {}
  } ignoring;
  real_.loop().SetSignalHandler(&signals);
  Pipe always_ready;
  always_ready.Write();
  auto registration = real_.loop().Register(always_ready.read_end(), POLLIN, &ignoring);
  ASSERT_TRUE(registration);
  kill(getpid(), SIGTERM);
  for (int turn = 0; turn < Signals::kBusyWaitsMax; ++turn) ASSERT_TRUE(real_.loop().RunOnce());
  EXPECT_EQ(signals.terminate, 1);
  EXPECT_EQ(real_.coordination().stats().interrupted, 0u);
}

TEST_P(SoundCoordinationTest, OperatorsSigusr1DuringASleepIsATurnForNothing) {
  kill(getpid(), SIGUSR1);
  ASSERT_TRUE(real_.loop().RunOnce());
  EXPECT_EQ(real_.coordination().stats().interrupted, 1u);
  EXPECT_THAT(real_.completed(), ::testing::IsEmpty());
}

TEST_P(SoundCoordinationTest, StopFindsTheHelperWhereverItIs) {
  TestRead read;
  for (int round = 0; round < 40; ++round) {
    RealLoop other(kernel_, std::get<0>(GetParam()), std::get<1>(GetParam()));
    if (round % 4 != 0) other.Submit(read);
    if (round % 4 == 2) read.Complete();
    if (round % 4 == 3) {
      read.Complete();
      other.RunUntilCompleted(1);
    }
    Spin(static_cast<unsigned long>(round) * 37 % 5000);
    other.coordination().Stop();
    if (round % 4 >= 2) read.Rewind();
    if (round % 4 == 1) {  // io_destroy waits for it
      read.Complete();
      read.Rewind();
    }
  }
}

TEST_P(SoundCoordinationTest, WithdrawnReadLeavesAHelperThatServesTheNext) {
  TestRead read;
  iocb* request = read.request();
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(real_.coordination().BeforeSubmit({&request, 1}));
    real_.coordination().SubmitFailed(1);
    real_.Submit(read);
    read.Complete();
    real_.RunUntilCompleted(1);
    real_.Forget();
    read.Rewind();
  }
}

// --- Held between the last look and the sleep, where 2006 lost its wake-ups.

class HeldCoordinationTest : public ::testing::TestWithParam<Parameters> {
 protected:
  LinuxKernel linux_;
  HoldKernel kernel_{linux_};
  RealLoop real_{kernel_, std::get<0>(GetParam()), std::get<1>(GetParam())};
};

INSTANTIATE_TEST_SUITE_P(Sound, HeldCoordinationTest, kSoundWays, NameOf);

TEST_P(HeldCoordinationTest, CompletionBetweenTheCheckAndTheSleepIsNeverLost) {
  TestRead read;
  for (uint64_t round = 1; round <= 500; ++round) {
    real_.Submit(read);
    kernel_.HoldNextLoopWait([&] {
      read.Complete();
      // With a helper: until its kick was sent. The eventfd is readable when the write returns.
      if (std::get<0>(GetParam()) != CoordinationKind::kMasked) return;
      while (kernel_.returned(HoldKernel::Point::kKickToLoop) < round) std::this_thread::yield();
    });
    real_.RunUntilCompleted(1);  // without a time-out
    ASSERT_FALSE(kernel_.holding());
    real_.Forget();
    read.Rewind();
  }
  EXPECT_EQ(real_.coordination().stats().timeouts, 0u);
}

TEST_P(HeldCoordinationTest, WakeBetweenTheCheckAndTheSleepIsNeverLost) {
  for (int round = 0; round < 500; ++round) {
    kernel_.HoldNextLoopWait([&] { real_.coordination().Wake(); });
    ASSERT_TRUE(real_.loop().RunOnce());  // without a time-out
  }
}

// --- The same done to the specimen.
//
// Not in the thread sanitizer's build: its threads share plain variables, which is [shared job
// list], and the sanitizer would (rightly) report it.
#if !defined(__SANITIZE_THREAD__)

class SpecimenTest : public ::testing::Test {
 protected:
  LinuxKernel linux_;
  HoldKernel kernel_{linux_};
  RealLoop real_{kernel_, CoordinationKind::kPublished, "poll"};
};

TEST_F(SpecimenTest, CompletionBetweenTheCheckAndTheSleepStallsForASecond) {
  TestRead read;
  real_.Submit(read);
  while (kernel_.entered(HoldKernel::Point::kHelperWait) == 0) {
    ASSERT_TRUE(real_.coordination().Wait({}, Nanoseconds(0)));
  }
  kernel_.HoldNextLoopWait([&] {
    read.Complete();
    while (kernel_.returned(HoldKernel::Point::kKickToLoop) == 0) std::this_thread::yield();
  });
  real_.RunUntilCompleted(1);
  EXPECT_EQ(real_.coordination().stats().timeout_rescues, 1u);
  EXPECT_GE(real_.loop().stats().completion_delay.max(), std::chrono::milliseconds(900));
}

TEST_F(SpecimenTest, KickToTheHelperNeverLandsAndTheLoopWaitsForTheDisk) {
  Pipe socket;
  class Reading final : public FdeventCallback {
   public:
    explicit Reading(Pipe& pipe) : pipe_(pipe) {}
    void OnFdevent(uint32_t) override { pipe_.Read(); }

   private:
    Pipe& pipe_;
  } reading(socket);
  auto registration = real_.loop().Register(socket.read_end(), POLLIN, &reading);
  ASSERT_TRUE(registration);
  TestRead read;  // takes longer than the test
  real_.Submit(read);
  while (kernel_.entered(HoldKernel::Point::kHelperWait) == 0) {
    ASSERT_TRUE(real_.coordination().Wait({}, Nanoseconds(0)));
  }
  socket.Write();
  ASSERT_TRUE(real_.loop().RunOnce());
  // One socket was ready; it was looked at when the helper's second was over.
  EXPECT_EQ(real_.coordination().stats().helper_kicks, 1u);
  EXPECT_GE(kernel_.last_returned(HoldKernel::Point::kHelperWait) -
                kernel_.last_returned(HoldKernel::Point::kKickToHelper),
            std::chrono::milliseconds(500));
  read.Complete();
}

#endif

}  // namespace
}  // namespace pollux
