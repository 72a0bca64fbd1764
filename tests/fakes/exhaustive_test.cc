// The reductions leave nothing out: on programs small enough to be run in every order they reach
// the same ends, and the same verdicts, as the naive search; with far fewer executions.
#include "fakes/explore/exhaustive.h"

#include <gtest/gtest.h>

#include <fcntl.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "core/sys/raii.h"
#include "fakes/kernel/sim_kernel.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

// What all executions of a program came to.
struct Seen {
  std::set<std::string> ends;
  uint64_t executions = 0;
  bool exhausted = false;
};

// Runs inside of an execution; returns what it came to.
using Program = std::function<std::string(SimKernel&)>;

Seen RunAll(Reduction reduction, const Program& program, SimOptions options = {}) {
  constexpr uint64_t kExecutionsMax = 200'000;
  ExhaustiveStrategy strategy(reduction);
  Resources resources;
  Seen seen;
  while (seen.executions < kExecutionsMax && strategy.Begin()) {
    SimKernel kernel(strategy, resources, options);
    std::string end;
    if (!kernel.Run([&] { end = program(kernel); })) {
      end = kernel.scheduler().violation()->oracle;
    }
    strategy.End();
    seen.ends.insert(end);
    ++seen.executions;
  }
  seen.exhausted = strategy.exhausted();
  return seen;
}

Thread Spawn(SimKernel& kernel, std::function<void()> body) {
  return {kernel, kernel.thread_create("t", std::move(body)).value()};
}

void ExpectReductionsAgree(const Program& program, SimOptions options = {}) {
  const Seen naive = RunAll(Reduction::kNone, program, options);
  ASSERT_TRUE(naive.exhausted) << "too large for the naive search";
  for (const Reduction reduction : {Reduction::kSleepSets, Reduction::kDpor}) {
    const Seen reduced = RunAll(reduction, program, options);
    EXPECT_TRUE(reduced.exhausted);
    EXPECT_EQ(reduced.ends, naive.ends);
    EXPECT_LE(reduced.executions, naive.executions);
  }
}

std::string LostUpdate(SimKernel& kernel) {
  auto word = kernel.word_create(0);
  const auto add = [&] { word->store(word->load() + 1); };
  Thread one = Spawn(kernel, add), two = Spawn(kernel, add);
  one.Join();
  two.Join();
  return std::to_string(word->load());
}

TEST(ExhaustiveTest, LostUpdate) {
  ExpectReductionsAgree(LostUpdate);
  EXPECT_EQ(RunAll(Reduction::kDpor, LostUpdate).ends, (std::set<std::string>{"1", "2"}));
}

// Three threads that write to words of their own and one they share.
TEST(ExhaustiveTest, IndependentWritesAreNotPermuted) {
  const Program program = [](SimKernel& kernel) {
    auto a = kernel.word_create(0), b = kernel.word_create(0);
    Thread one = Spawn(kernel, [&] {
      a->store(1);
      a->store(2);
    });
    Thread two = Spawn(kernel, [&] {
      b->store(1);
      b->store(2);
    });
    one.Join();
    two.Join();
    return std::to_string(a->load() * 10 + b->load());
  };
  ExpectReductionsAgree(program);
  EXPECT_LT(RunAll(Reduction::kDpor, program).executions * 10,
            RunAll(Reduction::kNone, program).executions);
}

TEST(ExhaustiveTest, DeadlockOfTwoLocks) {
  const Program program = [](SimKernel& kernel) {
    auto a = kernel.mutex_create(), b = kernel.mutex_create();
    const auto take = [](Mutex& first, Mutex& second) {
      first.lock();
      second.lock();
      second.unlock();
      first.unlock();
    };
    Thread other = Spawn(kernel, [&] { take(*a, *b); });
    take(*b, *a);
    other.Join();
    return std::string("ended");
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"deadlock", "ended"}));
}

TEST(ExhaustiveTest, SignalBeforeOrAfterAWordIsSet) {
  static volatile int handled;
  const Program program = [](SimKernel& kernel) {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { handled = handled + 1; };
    EXPECT_TRUE(kernel.sigaction(SIGUSR1, action));
    auto word = kernel.word_create(0);
    const pid_t main = kernel.gettid();
    Thread other = Spawn(kernel, [&] {
      (void)kernel.tgkill(kernel.getpid(), main, SIGUSR1);
      word->store(1);
    });
    const uint64_t first = word->load();
    const int handled_first = handled;
    other.Join();
    return std::to_string(first) + std::to_string(handled_first) + std::to_string(handled);
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"001", "011", "111"}));
}

// Whether it ends the process depends on when a thread blocks it, which nothing else tells of.
TEST(ExhaustiveTest, SignalThatKillsBeforeOrAfterAThreadBlocksIt) {
  const sigset_t deadly = ToSet(SignalBit(SIGUSR2));
  const Program program = [deadly](SimKernel& kernel) {
    Thread other =
        Spawn(kernel, [&] { EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr)); });
    EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr));
    EXPECT_TRUE(kernel.kill(kernel.getpid(), SIGUSR2));
    other.Join();
    return std::string("lived");
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"killed", "lived"}));
}

// The same of what a thread does that has it open, and has nothing else to do with it.
TEST(ExhaustiveTest, SignalThatKillsBeforeOrAfterTheOnlyStepOfWhoHasItOpen) {
  const Program program = [](SimKernel& kernel) {
    const sigset_t deadly = ToSet(SignalBit(SIGUSR2));
    auto word = kernel.word_create(0);
    Thread other = Spawn(kernel, [&] { (void)word->load(); });
    EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr));
    Thread sender = Spawn(kernel, [&] { EXPECT_TRUE(kernel.kill(kernel.getpid(), SIGUSR2)); });
    other.Join();
    sender.Join();
    return std::string("lived");
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"killed", "lived"}));
}

// It comes between the last step of who had it open and the blocking, which is a step of its own.
TEST(ExhaustiveTest, SignalThatKillsRightBeforeAThreadBlocksIt) {
  const Program program = [](SimKernel& kernel) {
    const sigset_t deadly = ToSet(SignalBit(SIGUSR2));
    auto word = kernel.word_create(0);
    Thread other = Spawn(kernel, [&] {
      if (word->load() == 1) kernel.scheduler().Report("saw it", "");
      EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr));
    });
    EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr));
    word->store(1);
    EXPECT_TRUE(kernel.kill(kernel.getpid(), SIGUSR2));
    other.Join();
    return std::string("lived");
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends,
            (std::set<std::string>{"killed", "lived", "saw it"}));
}

// What another thread does before the end is seen.
TEST(ExhaustiveTest, SignalThatKillsLeavesOthersTimeForAFault) {
  const Program program = [](SimKernel& kernel) {
    const sigset_t deadly = ToSet(SignalBit(SIGUSR2));
    auto word = kernel.word_create(0);
    const pid_t main = kernel.gettid();
    Thread other = Spawn(kernel, [&] {
      EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, deadly, nullptr));
      if (word->load() == 1) kernel.scheduler().Report("fault", "");
      EXPECT_TRUE(kernel.tgkill(kernel.getpid(), main, SIGUSR2));
    });
    word->store(1);
    word->store(2);
    other.Join();
    return std::string("lived");
  };
  ExpectReductionsAgree(program);
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"fault", "killed"}));
}

// Two threads have it open while they ask for a word; a third, which has not, sends it.
TEST(ExhaustiveTest, SignalForTheProcessGoesToTheLeaderFirstUnlessAnyThreadWillDo) {
  static SimKernel* kernel_of_handler;
  static volatile pid_t handled_by;
  const Program program = [](SimKernel& kernel) {
    kernel_of_handler = &kernel;
    handled_by = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { handled_by = kernel_of_handler->gettid(); };
    EXPECT_TRUE(kernel.sigaction(SIGUSR1, action));
    auto word = kernel.word_create(0);
    Thread other = Spawn(kernel, [&] { (void)word->load(); });
    Thread sender = Spawn(kernel, [&] {
      EXPECT_TRUE(kernel.pthread_sigmask(SIG_BLOCK, ToSet(SignalBit(SIGUSR1)), nullptr));
      (void)kernel.kill(kernel.getpid(), SIGUSR1);
    });
    (void)word->load();
    other.Join();
    sender.Join();
    return std::string(handled_by == kernel.getpid() ? "leader" : "another");
  };
  SimOptions options;
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends, (std::set<std::string>{"leader"}));
  options.leader_first = false;
  ExpectReductionsAgree(program, options);
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends,
            (std::set<std::string>{"another", "leader"}));
}

// Poll's lost wake-up against ppoll, which has none.
TEST(ExhaustiveTest, CheckThenPollSleepsThroughASignalAndPpollDoesNot) {
  const auto ends = [](bool atomic, Reduction reduction) {
    return RunAll(reduction, [atomic](SimKernel& kernel) {
      struct sigaction action {};
      action.sa_handler = [](int) {};
      EXPECT_TRUE(kernel.sigaction(SIGUSR1, action));
      const sigset_t kicks = ToSet(SignalBit(SIGUSR1)), open = ToSet(0);
      if (atomic) (void)kernel.pthread_sigmask(SIG_BLOCK, kicks, nullptr);
      auto word = kernel.word_create(0);
      const pid_t main = kernel.gettid();
      Thread other = Spawn(kernel, [&] {
        word->store(1);
        (void)kernel.tgkill(kernel.getpid(), main, SIGUSR1);
      });
      const timespec second{1, 0};
      Result<int> woken = 1;
      if (word->load() == 0) {
        woken = atomic ? kernel.ppoll(nullptr, 0, &second, &open) : kernel.poll(nullptr, 0, 1000);
      }
      other.Join();
      return std::string(!woken ? "kicked" : *woken == 0 ? "slept" : "saw");
    });
  };
  for (const Reduction reduction : {Reduction::kNone, Reduction::kSleepSets, Reduction::kDpor}) {
    EXPECT_EQ(ends(false, reduction).ends, (std::set<std::string>{"kicked", "saw", "slept"}));
    EXPECT_EQ(ends(true, reduction).ends, (std::set<std::string>{"kicked", "saw"}));
  }
}

// The clock moves while others could run; what they saw of it is part of the end.
TEST(ExhaustiveTest, EarlyTimeouts) {
  SimOptions options;
  options.scheduler.early_timeouts = 2;
  const Program program = [](SimKernel& kernel) {
    const TimePoint start = MonotonicNow(kernel);
    Fd ready(kernel, kernel.eventfd(0, 0).value());
    std::string other_saw;
    Thread other = Spawn(kernel, [&] {
      pollfd entry{ready.get(), POLLIN, 0};
      other_saw = std::to_string(kernel.poll(&entry, 1, 50).value());
      other_saw += "@" + std::to_string((MonotonicNow(kernel) - start).count() / 1'000'000);
    });
    EXPECT_EQ(kernel.poll(nullptr, 0, 20).value(), 0);
    const uint64_t one = 1;
    (void)kernel.write(ready.get(), &one, sizeof one);
    const auto now = MonotonicNow(kernel) - start;
    other.Join();
    return other_saw + " " + std::to_string(now.count() / 1'000'000);
  };
  ExpectReductionsAgree(program, options);
  EXPECT_GT(RunAll(Reduction::kDpor, program, options).ends.size(), 2u);
}

// Where it sleeps nothing else can happen any more, so that the time-out is no choice there: it
// would have been one, had the sleep begun before the other thread looked at the clock.
TEST(ExhaustiveTest, EarlyTimeoutComesBeforeALookAtTheClockThatWasTakenFirst) {
  SimOptions options;
  options.scheduler.early_timeouts = 1;
  const Program program = [](SimKernel& kernel) {
    const TimePoint start = MonotonicNow(kernel);
    Thread other = Spawn(kernel, [&] { EXPECT_EQ(kernel.poll(nullptr, 0, 20).value(), 0); });
    const auto seen = MonotonicNow(kernel) - start;
    other.Join();
    return std::to_string(seen.count() / 1'000'000);
  };
  ExpectReductionsAgree(program, options);
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends, (std::set<std::string>{"0", "20"}));
}

TEST(ExhaustiveTest, CompletionsComeInEveryOrderAndEveryFaultIsTried) {
  SimOptions options;
  options.disk.faults = 1;
  const Program program = [](SimKernel& kernel) {
    kernel.AddFile("/f", std::make_shared<std::string>(8192, 'x'));
    Fd file(kernel, kernel.openat(AT_FDCWD, "/f", O_RDONLY | O_DIRECT, 0).value());
    const io_context_t context = kernel.io_setup(4).value();
    alignas(4096) static char buffer[2][4096];
    iocb requests[2];
    for (int i = 0; i < 2; ++i) {
      io_prep_pread(&requests[i], file.get(), buffer[i], 4096, i * 4096);
      iocb* one = &requests[i];
      EXPECT_EQ(kernel.io_submit(context, 1, &one).value(), 1);
    }
    std::string end;
    while (end.size() < 2 * 6) {
      io_event event{};
      EXPECT_EQ(kernel.io_getevents(context, 1, 1, &event, nullptr).value(), 1);
      char text[16];
      std::snprintf(text, sizeof text, "%d:%4ld", event.obj == &requests[0] ? 0 : 1,
                    static_cast<long>(event.res));
      end += text;
    }
    EXPECT_TRUE(kernel.io_destroy(context));
    return end;
  };
  ExpectReductionsAgree(program, options);
  // Two orders; no fault, or one of two faults at either.
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends.size(), 2u * 5u);
}

// The loop of the core itself, where it is small enough for the naive search.
TEST(ExhaustiveTest, LoopStoryComesToTheSameEnds) {
  const auto ends = [](const char* story, const StoryOptions& options, Reduction reduction) {
    ExhaustiveStrategy strategy(reduction);
    Resources resources;
    std::set<std::pair<std::string, uint64_t>> seen;
    while (strategy.Begin()) {
      const Outcome outcome = FindStory(story)->tell(options, strategy, resources, nullptr);
      strategy.End();
      seen.emplace(outcome.violation ? outcome.violation->oracle : "", outcome.state);
    }
    return seen;
  };
  const auto expect_agreement = [&](const char* story, CoordinationKind kind, int faults,
                                    size_t ends_least) {
    SCOPED_TRACE(std::string(story) + ", " + ToString(kind));
    StoryOptions options;
    options.coordination = kind;
    options.faults = faults;
    const auto naive = ends(story, options, Reduction::kNone);
    EXPECT_GE(naive.size(), ends_least);
    EXPECT_EQ(ends(story, options, Reduction::kSleepSets), naive);
    EXPECT_EQ(ends(story, options, Reduction::kDpor), naive);
  };
  expect_agreement("two-chunks", CoordinationKind::kEventfd, 0, 2);
  expect_agreement("one-chunk", CoordinationKind::kEventfd, 1, 2);
  // With a fault they agree too, as do those of `published`; naive, that takes minutes.
  expect_agreement("one-chunk", CoordinationKind::kMasked, 0, 1);
  expect_agreement("stop", CoordinationKind::kMasked, 0, 1);
}

// POSIX lets a wait for a condition variable end for nothing: before, instead of and beside what it
// waits for.
TEST(ExhaustiveTest, SpuriousWakeups) {
  const Program program = [](SimKernel& kernel) {
    auto mutex = kernel.mutex_create();
    auto changed = kernel.condvar_create();
    bool there = false;
    std::string seen;
    Thread other = Spawn(kernel, [&] {
      mutex->lock();
      while (!there) {
        changed->wait(*mutex);
        seen += there ? "woken " : "for nothing ";
      }
      mutex->unlock();
    });
    mutex->lock();
    there = true;
    changed->signal();
    mutex->unlock();
    other.Join();
    return seen;
  };
  EXPECT_EQ(RunAll(Reduction::kDpor, program).ends, (std::set<std::string>{"", "woken "}));
  SimOptions options;
  options.spurious_wakeups = 2;
  ExpectReductionsAgree(program, options);
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends,
            (std::set<std::string>{"", "woken ", "for nothing woken ",
                                   "for nothing for nothing woken "}));
}

// Who is woken before the last step of the others has gone on when that comes: it has nothing to do
// with the condition variable, and yet what is seen depends on the order.
TEST(ExhaustiveTest, SpuriousWakeupsComeBeforeEachStepOfOthers) {
  const Program program = [](SimKernel& kernel) {
    auto mutex = kernel.mutex_create();
    auto changed = kernel.condvar_create();
    auto word = kernel.word_create(0);
    uint64_t seen = 0;
    Thread other = Spawn(kernel, [&] {
      mutex->lock();
      changed->wait(*mutex);
      mutex->unlock();
      seen = word->load();
    });
    word->store(1);
    word->store(2);
    other.Join();
    return std::to_string(seen);
  };
  SimOptions options;
  options.spurious_wakeups = 1;
  ExpectReductionsAgree(program, options);
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends,
            (std::set<std::string>{"0", "1", "2", "deadlock"}));
}

// They end no deadlock and no time-out's sleep: a lost wake-up stays one.
TEST(ExhaustiveTest, SpuriousWakeupsRescueNobody) {
  SimOptions options;
  options.spurious_wakeups = 1;
  const Program program = [](SimKernel& kernel) {
    auto mutex = kernel.mutex_create();
    auto changed = kernel.condvar_create();
    mutex->lock();
    changed->wait(*mutex);
    mutex->unlock();
    return std::string("rescued");
  };
  EXPECT_EQ(RunAll(Reduction::kDpor, program, options).ends, (std::set<std::string>{"deadlock"}));
}

TEST(ExhaustiveTest, EstimateComesToTheNumberOfExecutions) {
  ExhaustiveStrategy strategy(Reduction::kNone);
  Resources resources;
  EXPECT_EQ(strategy.estimate(), 0);
  uint64_t executions = 0;
  std::vector<double> estimates;
  while (strategy.Begin()) {
    SimKernel kernel(strategy, resources, {});
    EXPECT_TRUE(kernel.Run([&] { (void)LostUpdate(kernel); }));
    strategy.End();
    ++executions;
    estimates.push_back(strategy.estimate());
    EXPECT_GT(strategy.depth(), 0u);
  }
  EXPECT_EQ(strategy.estimate(), static_cast<double>(executions));
  EXPECT_EQ(strategy.progress(), 1);
  // Within a factor of two half way: nothing is found to be wanted later in a naive search.
  EXPECT_NEAR(estimates[executions / 2], executions, executions / 2.0);
}

TEST(ExhaustiveTest, BoundOnPreemptionsLeavesOutTheRest) {
  const auto executions = [](int bound) {
    ExhaustiveStrategy strategy(Reduction::kNone, bound);
    Resources resources;
    uint64_t count = 0;
    while (strategy.Begin()) {
      SimKernel kernel(strategy, resources, {});
      EXPECT_TRUE(kernel.Run([&] { (void)LostUpdate(kernel); }));
      strategy.End();
      ++count;
    }
    return count;
  };
  EXPECT_EQ(executions(0), 1u);
  EXPECT_LT(executions(1), executions(2));
  EXPECT_LT(executions(2), RunAll(Reduction::kNone, LostUpdate).executions);
}

}  // namespace
}  // namespace pollux::sim
