// Contract: threads, locks, shared words, clocks, and the process's own facts.
#include <sys/resource.h>

#include <cerrno>
#include <mutex>

#include "tests/sys/kernel_world.h"

namespace pollux {
namespace {

class ThreadContractTest : public ContractTest {};

TEST_P(ThreadContractTest, JoinWaitsForTheBodyAndItsEffects) {
  InWorld([&] {
    int effect = 0;
    Thread thread = Spawn([&] { effect = 1; });
    thread.Join();
    EXPECT_EQ(effect, 1);
  });
}

TEST_P(ThreadContractTest, ThreadsShareAProcessAndDifferInId) {
  InWorld([&] {
    pid_t process = 0, id = 0;
    Spawn([&] {
      process = kernel_.getpid();
      id = kernel_.gettid();
    }).Join();
    EXPECT_EQ(process, kernel_.getpid());
    EXPECT_NE(id, kernel_.gettid());
    EXPECT_EQ(kernel_.gettid(), kernel_.getpid());  // the leader's
  });
}

TEST_P(ThreadContractTest, MutexAdmitsOneAtATime) {
  InWorld([&] {
    constexpr int kRounds = 1000;
    auto mutex = kernel_.mutex_create();
    int total = 0;  // only under the mutex; the thread sanitizer would object otherwise
    auto add = [&] {
      for (int i = 0; i < kRounds; ++i) {
        std::lock_guard lock(*mutex);
        ++total;
      }
    };
    Thread one = Spawn(add), two = Spawn(add);
    one.Join();
    two.Join();
    EXPECT_EQ(total, 2 * kRounds);
  });
}

TEST_P(ThreadContractTest, SignalledConditionIsSeenByItsWaiter) {
  InWorld([&] {
    auto mutex = kernel_.mutex_create();
    auto changed = kernel_.condvar_create();
    bool ping = false, pong = false;
    Thread thread = Spawn([&] {
      std::lock_guard lock(*mutex);
      while (!ping) changed->wait(*mutex);
      pong = true;
      changed->signal();
    });
    {
      std::lock_guard lock(*mutex);
      ping = true;
      changed->signal();
      while (!pong) changed->wait(*mutex);
    }
    thread.Join();
    EXPECT_TRUE(pong);
  });
}

TEST_P(ThreadContractTest, BroadcastWakesEveryWaiter) {
  InWorld([&] {
    auto mutex = kernel_.mutex_create();
    auto changed = kernel_.condvar_create();
    bool go = false;
    int gone = 0;
    auto wait = [&] {
      std::lock_guard lock(*mutex);
      while (!go) changed->wait(*mutex);
      ++gone;
    };
    Thread one = Spawn(wait), two = Spawn(wait), three = Spawn(wait);
    {
      std::lock_guard lock(*mutex);
      go = true;
      changed->broadcast();
    }
    one.Join();
    two.Join();
    three.Join();
    EXPECT_EQ(gone, 3);
  });
}

TEST_P(ThreadContractTest, WordOperationsReturnWhatWasThere) {
  InWorld([&] {
    auto word = kernel_.word_create(5);
    EXPECT_EQ(word->load(), 5u);
    EXPECT_EQ(word->fetch_add(2), 5u);
    EXPECT_EQ(word->exchange(1), 7u);
    word->store(UINT64_MAX);
    EXPECT_EQ(word->fetch_add(1), UINT64_MAX);
    EXPECT_EQ(word->load(), 0u);
  });
}

TEST_P(ThreadContractTest, WordIsNotTornOrLostBetweenThreads) {
  InWorld([&] {
    auto word = kernel_.word_create(0);
    auto add = [&] {
      for (int i = 0; i < 1000; ++i) word->fetch_add(1);
    };
    Thread one = Spawn(add), two = Spawn(add);
    one.Join();
    two.Join();
    EXPECT_EQ(word->load(), 2000u);
  });
}

// Dekker's: with sequential consistency at least one of two threads sees the other's store. The
// published protocol's check before it sleeps relies on as much.
TEST_P(ThreadContractTest, OfTwoStoresAtLeastOneIsSeenByTheOther) {
  InWorld([&] {
    for (int round = 0; round < 200; ++round) {
      auto a = kernel_.word_create(0), b = kernel_.word_create(0);
      uint64_t saw_b = 0, saw_a = 0;
      Thread one = Spawn([&] {
        a->store(1);
        saw_b = b->load();
      });
      b->store(1);
      saw_a = a->load();
      one.Join();
      ASSERT_EQ(saw_a + saw_b > 0, true) << "round " << round;
    }
  });
}

TEST_P(ThreadContractTest, MonotonicClockAdvancesByATimeoutAtLeast) {
  InWorld([&] {
    const TimePoint before = MonotonicNow(kernel_);
    const timespec brief{0, 2'000'000};
    EXPECT_EQ(kernel_.ppoll(nullptr, 0, &brief, nullptr).value(), 0);
    EXPECT_GE(MonotonicNow(kernel_) - before, std::chrono::milliseconds(2));
  });
}

TEST_P(ThreadContractTest, DescriptorLimitIsEmfileAndLiftedAgain) {
  InWorld([&] {
    rlimit before{};
    ASSERT_TRUE(kernel_.getrlimit(RLIMIT_NOFILE, &before));
    Fd held(kernel_, kernel_.eventfd(0, 0).value());
    rlimit tight = before;
    tight.rlim_cur = static_cast<rlim_t>(held.get()) + 1;
    ASSERT_TRUE(kernel_.setrlimit(RLIMIT_NOFILE, tight));
    Result<int> refused = kernel_.eventfd(0, 0);
    ASSERT_TRUE(kernel_.setrlimit(RLIMIT_NOFILE, before));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, EMFILE);
    EXPECT_TRUE(Fd(kernel_, kernel_.eventfd(0, 0).value()).valid());
  });
}

TEST_P(ThreadContractTest, UnknownUserIsEnoentAndRootIsZero) {
  InWorld([&] {
    EXPECT_EQ(kernel_.getpwnam("root").value().uid, 0u);
    EXPECT_EQ(kernel_.getpwnam("no such user").error().code, ENOENT);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, ThreadContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);

}  // namespace
}  // namespace pollux
