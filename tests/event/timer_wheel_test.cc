// The wheel against a model that is too simple to be wrong: a list of deadlines.
#include "core/event/timer_wheel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <random>
#include <vector>

namespace pollux {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr TimePoint kStart{std::chrono::seconds(1'234'567)};

class TimerWheelTest : public ::testing::Test {
 protected:
  TimerWheelTest() { wheel_.Advance(kStart); }
  auto Fires(int name) {
    return [this, name] { fired_.push_back(name); };
  }

  TimerWheel wheel_;
  std::vector<int> fired_;
};

TEST_F(TimerWheelTest, EmptyWheelHasNoDeadline) {
  EXPECT_TRUE(wheel_.empty());
  EXPECT_EQ(wheel_.NextDeadline(), std::nullopt);
}

TEST_F(TimerWheelTest, FiresAtItsDeadlineAndNotBefore) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(5));
  EXPECT_TRUE(timer.armed());
  wheel_.Advance(kStart + milliseconds(5) - Nanoseconds(1));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(5));
  EXPECT_THAT(fired_, ElementsAre(1));
  EXPECT_FALSE(timer.armed());
  EXPECT_TRUE(wheel_.empty());
}

TEST_F(TimerWheelTest, DeadlineWithinATickIsRoundedUpToTheNext) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + microseconds(5300));
  wheel_.Advance(kStart + microseconds(5999));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(6));
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, DeadlineInThePastFiresInTheNextAdvance) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart - hours(1));
  EXPECT_LE(wheel_.NextDeadline(), kStart);
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, ATimeThatIsOverAlreadyMovesNothingBack) {
  Timer timer(Fires(1));
  wheel_.Advance(kStart + milliseconds(50));  // another group of slots than kStart's
  wheel_.Arm(timer, kStart + milliseconds(60));
  wheel_.Advance(kStart);
  EXPECT_EQ(wheel_.NextDeadline(), kStart + milliseconds(60));
  wheel_.Advance(kStart + milliseconds(1));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(60));
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, FiresInTheOrderOfDeadlinesWhateverTheLevels) {
  std::deque<Timer> timers;
  const std::vector<int> delays = {90'000, 3, 4096, 4095, 64, 1, 300'000, 63, 65, 2};
  for (const int delay : delays) {
    timers.emplace_back(Fires(delay));
    wheel_.Arm(timers.back(), kStart + milliseconds(delay));
  }
  wheel_.Advance(kStart + milliseconds(400'000));
  EXPECT_THAT(fired_, ElementsAre(1, 2, 3, 63, 64, 65, 4095, 4096, 90'000, 300'000));
}

TEST_F(TimerWheelTest, RearmingForgetsTheOldDeadline) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(10));
  wheel_.Arm(timer, kStart + milliseconds(500));
  EXPECT_GT(*wheel_.NextDeadline(), kStart + milliseconds(10)) << "a wake-up for nothing";
  wheel_.Advance(kStart + milliseconds(499));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(500));
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, RearmingAFarTimerFiresItAtItsLastDeadlineAlone) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(10'000));
  for (int request = 1; request <= 300; ++request) {  // idle, head, idle, ... for half a minute
    const TimePoint now = kStart + milliseconds(100 * request);
    wheel_.Advance(now);
    wheel_.Arm(timer, now + milliseconds(10'000));
    wheel_.Arm(timer, now + milliseconds(60'000));
    EXPECT_GT(*wheel_.NextDeadline(), now) << "a wake-up for nothing";
  }
  wheel_.Advance(kStart + milliseconds(89'999));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(90'000));
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, RearmingToAnEarlierDeadlineIsNeverLate) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(10'000));
  wheel_.Arm(timer, kStart + milliseconds(60'000));
  wheel_.Arm(timer, kStart + milliseconds(20'000));  // earlier than meant, later than placed
  wheel_.Advance(kStart + milliseconds(19'999));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(kStart + milliseconds(20'000));
  EXPECT_THAT(fired_, ElementsAre(1));
  wheel_.Arm(timer, kStart + milliseconds(90'000));
  wheel_.Arm(timer, kStart + milliseconds(30'000));
  wheel_.Advance(kStart + milliseconds(30'000));
  EXPECT_THAT(fired_, ElementsAre(1, 1));
}

TEST_F(TimerWheelTest, DisarmedTimerDoesNotFireAndLeavesNoDeadline) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(10));
  timer.Disarm();
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel_.NextDeadline(), std::nullopt);
  wheel_.Advance(kStart + milliseconds(20));
  EXPECT_THAT(fired_, IsEmpty());
  timer.Disarm();  // again: no effect
}

TEST_F(TimerWheelTest, DestroyedTimerLeavesTheWheel) {
  {
    Timer timer(Fires(1));
    wheel_.Arm(timer, kStart + milliseconds(10));
  }
  EXPECT_TRUE(wheel_.empty());
  wheel_.Advance(kStart + milliseconds(20));
  EXPECT_THAT(fired_, IsEmpty());
}

TEST_F(TimerWheelTest, DestroyedWheelDisarmsItsTimers) {
  Timer timer(Fires(1));
  {
    TimerWheel wheel;
    wheel.Arm(timer, kStart);
  }
  EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, TimerArmedByAFiringOneWaitsForTheNextAdvance) {
  Timer second(Fires(2));
  Timer first([&] {
    fired_.push_back(1);
    wheel_.Arm(second, kStart);  // long past
  });
  wheel_.Arm(first, kStart + milliseconds(1));
  wheel_.Advance(kStart + milliseconds(50));
  EXPECT_THAT(fired_, ElementsAre(1));
  wheel_.Advance(kStart + milliseconds(50));
  EXPECT_THAT(fired_, ElementsAre(1, 2));
}

TEST_F(TimerWheelTest, CallbackMayRearmItsOwnTimer) {
  int left = 3;
  Timer timer([&] {
    fired_.push_back(left);
    if (--left > 0) wheel_.Arm(timer, kStart + milliseconds(100 * (4 - left)));
  });
  wheel_.Arm(timer, kStart + milliseconds(100));
  for (int ms = 50; ms <= 400; ms += 50) wheel_.Advance(kStart + milliseconds(ms));
  EXPECT_THAT(fired_, ElementsAre(3, 2, 1));
  EXPECT_FALSE(timer.armed());
}

TEST_F(TimerWheelTest, CallbackMayDisarmAndPostponeOthersThatAreDueAsWell) {
  Timer disarmed(Fires(2));
  Timer postponed(Fires(3));
  Timer first([&] {
    fired_.push_back(1);
    disarmed.Disarm();
    wheel_.Arm(postponed, kStart + milliseconds(90));
  });
  Timer last(Fires(4));
  wheel_.Arm(first, kStart + milliseconds(5));
  wheel_.Arm(disarmed, kStart + milliseconds(5));
  wheel_.Arm(postponed, kStart + milliseconds(5));
  wheel_.Arm(last, kStart + milliseconds(6));
  wheel_.Advance(kStart + milliseconds(10));
  EXPECT_THAT(fired_, ElementsAre(1, 4));
  wheel_.Advance(kStart + milliseconds(90));
  EXPECT_THAT(fired_, ElementsAre(1, 4, 3));
}

TEST_F(TimerWheelTest, CallbackMayDestroyItsOwnTimerAndUseWhatItCaptured) {
  // More captures than std::function keeps in place, so that a use after free would be one.
  struct Owner {
    std::unique_ptr<Timer> timer;
  } owner;
  std::vector<int>* fired = &fired_;
  const std::array<int, 16> padding{7};
  owner.timer = std::make_unique<Timer>([&owner, fired, padding] {
    owner.timer.reset();
    fired->push_back(padding[0]);
  });
  wheel_.Arm(*owner.timer, kStart + milliseconds(1));
  wheel_.Advance(kStart + milliseconds(1));
  EXPECT_THAT(fired_, ElementsAre(7));
}

TEST_F(TimerWheelTest, FarthestDeadlineThatCanBeNamedIsKept) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, TimePoint::max());
  ASSERT_TRUE(wheel_.NextDeadline());
  EXPECT_GT(*wheel_.NextDeadline(), kStart);
  wheel_.Advance(kStart + hours(24 * 365 * 200));
  EXPECT_THAT(fired_, IsEmpty());
  wheel_.Advance(TimePoint::max());
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, ClockThatStandsStillOrGoesBackFiresNothingTwice) {
  Timer timer(Fires(1));
  wheel_.Arm(timer, kStart + milliseconds(3));
  wheel_.Advance(kStart + milliseconds(3));
  wheel_.Advance(kStart + milliseconds(3));
  wheel_.Advance(kStart);
  EXPECT_THAT(fired_, ElementsAre(1));
}

TEST_F(TimerWheelTest, SleepingFromDeadlineToDeadlineFiresInTimeWithFewWakeUps) {
  Timer timer(Fires(1));
  const TimePoint due = kStart + hours(30) + milliseconds(17);
  wheel_.Arm(timer, due);
  int wake_ups = 0;
  while (fired_.empty()) {
    const TimePoint next = *wheel_.NextDeadline();
    ASSERT_LE(next, due) << "too late";
    wheel_.Advance(next);
    ASSERT_LE(++wake_ups, 8);
    if (fired_.empty()) {
      ASSERT_GT(*wheel_.NextDeadline(), next) << "a spin";
    }
  }
}

// Random arms, disarms and clock steps of all sizes; after each, what fired is what a list of
// deadlines says, in its order, and the next deadline is never late.
TEST_F(TimerWheelTest, AgreesWithAListOfDeadlines) {
  struct Modelled {
    std::unique_ptr<Timer> timer;
    uint64_t due_tick = 0;
    bool armed = false;
  };
  constexpr int kTimers = 60;
  const auto tick_up = [](TimePoint t) {
    return static_cast<uint64_t>((t.time_since_epoch().count() + 999'999) / 1'000'000);
  };
  for (unsigned seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    // As many small as large ones, up to ten days.
    const auto span = [&random] {
      return Nanoseconds(static_cast<int64_t>(random() % (uint64_t{1} << (10 + random() % 40))));
    };
    TimerWheel wheel;
    std::vector<int> fired;
    std::vector<Modelled> timers(kTimers);
    for (int i = 0; i < kTimers; ++i) {
      timers[i].timer = std::make_unique<Timer>([&fired, i] { fired.push_back(i); });
    }
    TimePoint now = kStart + span();
    wheel.Advance(now);
    for (int step = 0; step < 3000; ++step) {
      Modelled& picked = timers[random() % kTimers];
      const TimePoint deadline = now + span() - span() / 8;
      switch (random() % 4) {
        case 0:
        case 1:
          wheel.Arm(*picked.timer, deadline);
          picked.armed = true;
          picked.due_tick = tick_up(deadline);
          break;
        case 2:
          picked.timer->Disarm();
          picked.armed = false;
          break;
        default: {
          now += span();
          fired.clear();
          wheel.Advance(now);
          const auto now_tick = static_cast<uint64_t>(now.time_since_epoch().count() / 1'000'000);
          std::vector<int> expected;
          for (int i = 0; i < kTimers; ++i) {
            if (timers[i].armed && timers[i].due_tick <= now_tick) {
              expected.push_back(i);
              timers[i].armed = false;
            }
          }
          std::vector<int> sorted = fired;
          std::sort(sorted.begin(), sorted.end());
          ASSERT_EQ(sorted, expected);
          break;
        }
      }
      std::optional<uint64_t> earliest;
      for (const Modelled& timer : timers) {
        ASSERT_EQ(timer.timer->armed(), timer.armed);
        if (timer.armed) earliest = std::min(earliest.value_or(timer.due_tick), timer.due_tick);
      }
      ASSERT_EQ(wheel.NextDeadline().has_value(), earliest.has_value());
      if (earliest) {
        // What was armed into the past is due now.
        ASSERT_LE(wheel.NextDeadline(), std::max(TimePoint(milliseconds(*earliest)), now));
      }
    }
  }
}

}  // namespace
}  // namespace pollux
