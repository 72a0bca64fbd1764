// The reductions against the naive search on programs that nobody thought of: a few threads that do
// a few things drawn by seed. Each must come to the same ends.
//
// What a program does covers what steps can depend on: words, a mutex, an eventfd and who waits for
// it, signals for a thread and for the process, one that kills, masks, waits with a mask of their
// own, reads that the disk completes, and the clock while time-outs may come early.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <libaio.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "core/sys/raii.h"
#include "fakes/explore/exhaustive.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

constexpr int kPrograms = 500;
// Executions; programs with more are passed over. The first is the cheaper way to know it.
constexpr uint64_t kSleepSetsMax = 40, kNaiveMax = 1500;
constexpr const char* kPath = "/file";
constexpr int kRequestsMax = 8;

enum class Action {
  kAdd,
  kLoad,
  kLockedStore,
  kKickMain,
  kSignalProcess,
  kOpenMask,
  kCloseMask,
  kSleep,
  kSleepOpen,
  kWriteEventfd,
  kReadEventfd,
  kAwaitEventfd,
  kAwaitEventfdOpen,
  kLookAtClock,
  kSubmitRead,
  kReap,
};
constexpr int kActions = 16;

using Script = std::vector<std::vector<Action>>;  // by thread; the first is the leader

// `deadly`: a signal is sent and opened in it.
Script Draw(std::minstd_rand& random, bool deadly) {
  const size_t threads = 2 + random() % 2;
  // Of a few kinds, so that they often have to do with each other.
  std::vector<Action> kinds(2 + random() % 4);
  for (Action& kind : kinds) kind = static_cast<Action>(random() % kActions);
  if (deadly) {
    kinds[0] = Action::kSignalProcess;
    kinds[1] = Action::kOpenMask;
  }
  Script script(threads);
  for (auto& actions : script) {
    const size_t count = 1 + random() % (threads == 2 ? 4 : 2);
    for (size_t i = 0; i < count; ++i) actions.push_back(kinds[random() % kinds.size()]);
  }
  return script;
}

class Play {
 public:
  // `deadly`: the signal for the process has no handler.
  Play(SimKernel& kernel, const Script& script, bool deadly)
      : kernel_(kernel),
        script_(script),
        deadly_(deadly),
        start_(MonotonicNow(kernel)),
        main_(kernel.gettid()),
        logs_(script.size()),
        word_(kernel.word_create(0)),
        mutex_(kernel.mutex_create()) {}

  // What each thread saw, and what is left.
  std::string Run() {
    static volatile uint64_t handled;  // in which order
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int signum) { handled = handled * 3 + (signum == SIGUSR1 ? 1 : 2); };
    EXPECT_TRUE(kernel_.sigaction(SIGUSR1, action));
    if (!deadly_) {
      EXPECT_TRUE(kernel_.sigaction(SIGUSR2, action));
    }
    EXPECT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, kBoth, nullptr));
    eventfd_ = Fd(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    file_ = Fd(kernel_, kernel_.openat(AT_FDCWD, kPath, O_RDONLY, 0).value());
    context_ = kernel_.io_setup(kRequestsMax).value();
    {
      std::vector<Thread> threads;
      for (size_t i = 1; i < script_.size(); ++i) {
        threads.emplace_back(kernel_, kernel_.thread_create("t", [this, i] { Act(i); }).value());
      }
      Act(0);
    }
    std::string end;
    for (const std::string& log : logs_) end += log + "|";
    sigset_t pending{};
    EXPECT_TRUE(kernel_.sigpending(&pending));
    end += std::to_string(word_->load()) + " " + std::to_string(handled) + " " +
           std::to_string(ToBits(pending));
    EXPECT_TRUE(kernel_.io_destroy(context_));
    file_.Reset();
    eventfd_.Reset();
    return end;
  }

 private:
  void Act(size_t who) {
    for (const Action action : script_[who]) logs_[who] += Do(action) + " ";
  }

  std::string Await(bool open, int ms) {
    pollfd entry{eventfd_.get(), POLLIN, 0};
    const timespec timeout{0, ms * 1'000'000};
    const sigset_t none = ToSet(0);
    const Result<int> got = kernel_.ppoll(&entry, 1, &timeout, open ? &none : nullptr);
    return got ? std::to_string(*got) : "EINTR";
  }

  std::string Sleep(bool open, int ms) {
    const timespec timeout{0, ms * 1'000'000};
    const sigset_t none = ToSet(0);
    const Result<int> got = kernel_.ppoll(nullptr, 0, &timeout, open ? &none : nullptr);
    return got ? std::to_string(*got) : "EINTR";
  }

  std::string Do(Action action) {
    switch (action) {
      case Action::kAdd:
        return std::to_string(word_->fetch_add(1));
      case Action::kLoad:
        return std::to_string(word_->load());
      case Action::kLockedStore: {
        mutex_->lock();
        const uint64_t seen = word_->load();
        word_->store(seen + 10);
        mutex_->unlock();
        return std::to_string(seen);
      }
      case Action::kKickMain:
        EXPECT_TRUE(kernel_.tgkill(kernel_.getpid(), main_, SIGUSR1));
        return "k";
      case Action::kSignalProcess:
        EXPECT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR2));
        return "s";
      case Action::kOpenMask:
      case Action::kCloseMask: {
        const int how = action == Action::kOpenMask ? SIG_UNBLOCK : SIG_BLOCK;
        EXPECT_TRUE(kernel_.pthread_sigmask(how, kBoth, nullptr));
        return "m";
      }
      case Action::kSleep:
        return Sleep(false, 20);
      case Action::kSleepOpen:
        return Sleep(true, 30);
      case Action::kWriteEventfd: {
        const uint64_t one = 1;
        EXPECT_TRUE(kernel_.write(eventfd_.get(), &one, sizeof one));
        return "w";
      }
      case Action::kReadEventfd: {
        uint64_t value = 0;
        (void)kernel_.read(eventfd_.get(), &value, sizeof value);  // EAGAIN: 0
        return std::to_string(value);
      }
      case Action::kAwaitEventfd:
        return Await(false, 40);
      case Action::kAwaitEventfdOpen:
        return Await(true, 50);
      case Action::kLookAtClock:
        return std::to_string((MonotonicNow(kernel_) - start_).count() / 1'000'000) + "ms";
      case Action::kSubmitRead: {
        iocb* request = &requests_.at(submitted_++);
        io_prep_pread(request, file_.get(), buffer_.data(), buffer_.size(), 0);
        EXPECT_EQ(kernel_.io_submit(context_, 1, &request).value(), 1);
        return "r";
      }
      case Action::kReap: {
        std::array<io_event, kRequestsMax> events{};
        const timespec no_wait{};
        return std::to_string(
            kernel_.io_getevents(context_, 0, kRequestsMax, events.data(), &no_wait).value());
      }
    }
    return "";
  }

  const sigset_t kBoth = ToSet(SignalBit(SIGUSR1) | SignalBit(SIGUSR2));
  SimKernel& kernel_;
  const Script& script_;
  const bool deadly_;
  const TimePoint start_;
  const pid_t main_;
  std::vector<std::string> logs_;
  std::unique_ptr<SharedWord> word_;
  std::unique_ptr<Mutex> mutex_;
  Fd eventfd_;
  Fd file_;
  io_context_t context_ = nullptr;
  std::array<iocb, kRequestsMax> requests_{};
  size_t submitted_ = 0;
  std::array<char, 512> buffer_{};
};

struct Seen {
  std::set<std::string> ends;
  uint64_t executions = 0;
  bool exhausted = false;
};

Seen RunAll(Reduction reduction, uint64_t executions_max, const Script& script, bool deadly,
            SimOptions options, Resources& resources) {
  static const auto content = std::make_shared<const std::string>(512, 'x');
  ExhaustiveStrategy strategy(reduction);
  Seen seen;
  while (seen.executions < executions_max && strategy.Begin()) {
    SimKernel kernel(strategy, resources, options);
    kernel.AddFile(kPath, content);
    std::string end;
    if (!kernel.Run([&] { end = Play(kernel, script, deadly).Run(); })) {
      end = kernel.scheduler().violation()->oracle;
    }
    strategy.End();
    seen.ends.insert(end);
    ++seen.executions;
  }
  seen.exhausted = strategy.exhausted();
  return seen;
}

TEST(RandomProgramsTest, ReductionsComeToTheEndsOfTheNaiveSearch) {
  Resources resources;
  int compared = 0, with_several_ends = 0, with_deaths = 0;
  uint64_t naive_executions = 0, reduced_executions = 0;
  for (unsigned seed = 1; seed <= kPrograms; ++seed) {
    std::minstd_rand random(seed * 7919);
    const bool deadly = seed % 5 == 0;
    const Script script = Draw(random, deadly);
    SimOptions options;
    options.scheduler.early_timeouts = static_cast<int>(random() % 3);
    options.leader_first = random() % 4 != 0;
    const auto run = [&](Reduction reduction, uint64_t executions_max) {
      return RunAll(reduction, executions_max, script, deadly, options, resources);
    };
    const Seen asleep = run(Reduction::kSleepSets, kSleepSetsMax);
    if (!asleep.exhausted) continue;
    const Seen naive = run(Reduction::kNone, kNaiveMax);
    if (!naive.exhausted) continue;
    const Seen dpor = run(Reduction::kDpor, kNaiveMax);
    ++compared;
    with_deaths += naive.ends.contains("killed") && naive.ends.size() > 1 ? 1 : 0;
    with_several_ends += naive.ends.size() > 1 ? 1 : 0;
    EXPECT_EQ(asleep.ends, naive.ends) << "seed " << seed << ", sleep sets";
    EXPECT_EQ(dpor.ends, naive.ends) << "seed " << seed << ", dpor";
    reduced_executions += dpor.executions;
    naive_executions += naive.executions;
    if (HasFailure()) return;
  }
  EXPECT_GT(compared, kPrograms / 2);
  EXPECT_GT(with_several_ends, 50);
  EXPECT_GT(with_deaths, 5);
  EXPECT_LT(reduced_executions * 3, naive_executions);
  RecordProperty("compared", compared);
  RecordProperty("naive_executions", static_cast<int>(naive_executions));
  RecordProperty("reduced_executions", static_cast<int>(reduced_executions));
}

// More threads that do more, which is where the order of several races matters, and too much for
// the naive search: sleep sets alone leave no state out, and are what the whole reduction is held
// to.
TEST(RandomProgramsTest, LargerOnesComeToTheEndsOfSleepSetsAlone) {
  constexpr unsigned kLargerPrograms = 400;
  constexpr uint64_t kExecutionsMax = 1500;
  constexpr Action kKinds[] = {Action::kAdd,          Action::kLoad,        Action::kLockedStore,
                               Action::kWriteEventfd, Action::kReadEventfd, Action::kAwaitEventfd,
                               Action::kKickMain};
  Resources resources;
  int compared = 0;
  uint64_t asleep_executions = 0, reduced_executions = 0;
  for (unsigned seed = 1; seed <= kLargerPrograms; ++seed) {
    std::minstd_rand random(seed * 7919);
    std::array<Action, 3> kinds{};
    for (Action& kind : kinds) kind = kKinds[random() % std::size(kKinds)];
    Script script(3 + random() % 2);
    for (auto& actions : script) {
      const size_t count = 1 + random() % 3;
      for (size_t i = 0; i < count; ++i) actions.push_back(kinds[random() % kinds.size()]);
    }
    const auto run = [&](Reduction reduction) {
      return RunAll(reduction, kExecutionsMax, script, false, SimOptions(), resources);
    };
    const Seen asleep = run(Reduction::kSleepSets);
    if (!asleep.exhausted) continue;
    const Seen dpor = run(Reduction::kDpor);
    ++compared;
    EXPECT_EQ(dpor.ends, asleep.ends) << "seed " << seed;
    asleep_executions += asleep.executions;
    reduced_executions += dpor.executions;
    if (HasFailure()) return;
  }
  EXPECT_GT(compared, 50);
  EXPECT_LE(reduced_executions, asleep_executions);
  RecordProperty("compared", compared);
  RecordProperty("asleep_executions", static_cast<int>(asleep_executions));
}

}  // namespace
}  // namespace pollux::sim
