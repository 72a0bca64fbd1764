// The simulated kernel's scheduler: fibers keep what is theirs, and an execution is decided by its
// choices alone.
#include "fakes/kernel/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <random>
#include <stdexcept>
#include <vector>

#include "core/sys/raii.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

class RandomChooser final : public Chooser {
 public:
  explicit RandomChooser(unsigned seed) : random_(seed) {}
  size_t PickStep(std::span<const Option> options, std::span<const Option>) override {
    return random_() % options.size();
  }
  size_t PickValue(const char*, size_t count) override { return random_() % count; }

 private:
  std::minstd_rand random_;
};

class SchedulerTest : public ::testing::Test {
 protected:
  Thread Spawn(SimKernel& kernel, std::function<void()> body) {
    return {kernel, kernel.thread_create("t", std::move(body)).value()};
  }

  Resources resources_;
};

TEST_F(SchedulerTest, EachThreadKeepsItsErrno) {
  RandomChooser chooser(1);
  SimKernel kernel(chooser, resources_, {});
  auto word = kernel.word_create(0);
  int wrong = 0;
  const auto body = [&](int mine) {
    for (int i = 0; i < 50; ++i) {
      errno = mine;
      word->fetch_add(1);
      if (errno != mine) ++wrong;
    }
  };
  ASSERT_TRUE(kernel.Run([&] {
    Thread other = Spawn(kernel, [&] { body(EIO); });
    body(EPERM);
  }));
  EXPECT_EQ(wrong, 0);
}

TEST_F(SchedulerTest, ExceptionsHandledOnTwoThreadsDoNotMix) {
  RandomChooser chooser(2);
  SimKernel kernel(chooser, resources_, {});
  auto word = kernel.word_create(0);
  int wrong = 0;
  const auto body = [&](int mine) {
    for (int i = 0; i < 20; ++i) {
      try {
        throw mine;
      } catch (int) {
        word->fetch_add(1);  // others throw and catch meanwhile
        try {
          throw;
        } catch (int again) {
          if (again != mine) ++wrong;
        }
      }
    }
  };
  ASSERT_TRUE(kernel.Run([&] {
    Thread one = Spawn(kernel, [&] { body(1); });
    Thread two = Spawn(kernel, [&] { body(2); });
    body(3);
  }));
  EXPECT_EQ(wrong, 0);
}

TEST_F(SchedulerTest, SameSeedGivesTheSameTraceAndAnotherSeedAnother) {
  const auto run = [&](unsigned seed) {
    RandomChooser chooser(seed);
    SimKernel kernel(chooser, resources_, {});
    auto word = kernel.word_create(0);
    EXPECT_TRUE(kernel.Run([&] {
      Thread other = Spawn(kernel, [&] {
        for (int i = 0; i < 20; ++i) word->fetch_add(1);
      });
      for (int i = 0; i < 20; ++i) word->fetch_add(1);
    }));
    return kernel.scheduler().trace_hash();
  };
  EXPECT_EQ(run(7), run(7));
  EXPECT_NE(run(7), run(8));
}

TEST_F(SchedulerTest, LostUpdateIsReachedBySomeSchedule) {
  int lost = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    RandomChooser chooser(seed);
    SimKernel kernel(chooser, resources_, {});
    auto word = kernel.word_create(0);
    ASSERT_TRUE(kernel.Run([&] {
      const auto add = [&] { word->store(word->load() + 1); };
      Thread other = Spawn(kernel, add);
      add();
      other.Join();
      if (word->load() == 1) ++lost;
    }));
  }
  EXPECT_GT(lost, 0);
  EXPECT_LT(lost, 50);
}

TEST_F(SchedulerTest, TwoLocksInOppositeOrderAreReportedAsDeadlock) {
  bool found = false;
  for (unsigned seed = 0; seed < 100 && !found; ++seed) {
    RandomChooser chooser(seed);
    SimKernel kernel(chooser, resources_, {});
    auto a = kernel.mutex_create(), b = kernel.mutex_create();
    const auto take = [](Mutex& first, Mutex& second) {
      first.lock();
      second.lock();
      second.unlock();
      first.unlock();
    };
    if (kernel.Run([&] {
          Thread other = Spawn(kernel, [&] { take(*a, *b); });
          take(*b, *a);
        })) {
      continue;
    }
    found = true;
    EXPECT_EQ(kernel.scheduler().violation()->oracle, "deadlock");
    EXPECT_NE(kernel.scheduler().violation()->text.find("t sleeps in mutex lock"),
              std::string::npos)
        << kernel.scheduler().violation()->text;
  }
  EXPECT_TRUE(found);
}

TEST_F(SchedulerTest, LoopWithoutEndIsReportedAsSpin) {
  FirstChooser chooser;
  SimOptions options;
  options.scheduler.steps_max = 1000;
  SimKernel kernel(chooser, resources_, options);
  auto word = kernel.word_create(0);
  EXPECT_FALSE(kernel.Run([&] {
    while (word->load() == 0) {
    }
  }));
  EXPECT_EQ(kernel.scheduler().violation()->oracle, "spin");
}

TEST_F(SchedulerTest, ThreadThatOutlivesTheLeaderIsReported) {
  FirstChooser chooser;
  SimKernel kernel(chooser, resources_, {});
  EXPECT_FALSE(kernel.Run([&] { (void)kernel.thread_create("left", [] {}).value(); }));
  EXPECT_EQ(kernel.scheduler().violation()->oracle, "leak");
}

TEST_F(SchedulerTest, TimePassesOnlyWhenNothingElseCanHappen) {
  FirstChooser chooser;
  SimKernel kernel(chooser, resources_, {});
  const TimePoint start = MonotonicNow(kernel);
  ASSERT_TRUE(kernel.Run([&] {
    Thread other = Spawn(kernel, [&] {
      EXPECT_EQ(kernel.poll(nullptr, 0, 300).value(), 0);
      EXPECT_EQ(MonotonicNow(kernel) - start, std::chrono::milliseconds(300));
    });
    EXPECT_EQ(kernel.poll(nullptr, 0, 100).value(), 0);
    EXPECT_EQ(MonotonicNow(kernel) - start, std::chrono::milliseconds(100));
  }));
  EXPECT_EQ(MonotonicNow(kernel) - start, std::chrono::milliseconds(300));
}

TEST_F(SchedulerTest, CallThatIsNotModelledEndsTheProgramWithItsName) {
  FirstChooser chooser;
  SimKernel kernel(chooser, resources_, {});
  EXPECT_DEATH((void)kernel.fork(), "fork is not modelled");
}

TEST_F(SchedulerTest, WhatIsLeftOpenIsNamed) {
  FirstChooser chooser;
  SimKernel kernel(chooser, resources_, {});
  EXPECT_EQ(kernel.Leaks(), "");
  const int fd = kernel.eventfd(0, 0).value();
  const io_context_t context = kernel.io_setup(1).value();
  EXPECT_EQ(kernel.Leaks(), "descriptor 3, an AIO context");
  ASSERT_TRUE(kernel.close(fd));
  ASSERT_TRUE(kernel.io_destroy(context));
  EXPECT_EQ(kernel.Leaks(), "");
}

}  // namespace
}  // namespace pollux::sim
