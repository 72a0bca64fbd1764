// The search of every order against a reference of its own, on a machine that is next to nothing:
// words, a lock, and who waits for what. No kernel, so that thousands of programs drawn by seed are
// run in every order within a second.
//
// Each step of a program notes how often what it touches had been changed: two executions are noted
// alike exactly if they differ only in the order of steps that do not depend on each other. So the
// notes say all that the reductions promise: to come to each that there is, and to none twice.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fakes/explore/exhaustive.h"

namespace pollux::sim {
namespace {

constexpr size_t kWords = 3;
constexpr ObjectId kLockObject = kWords;
constexpr size_t kNobody = 99;

struct Op {
  uint64_t reads = 0, writes = 0;  // bit n: word n
  uint64_t awaits = 0;             // these words have to be odd; bits of `reads`
  bool times_out = false;          // or nothing else can happen
  bool locks = false, unlocks = false;
  bool chooses = false;      // one of two values
  bool ends = false;         // the whole program, there and then
  size_t creates = kNobody;  // the thread of this number
};

struct ThreadProgram {
  std::vector<Op> ops;
  bool created = false;   // by an op of another one; the others are there from the start
  bool fleeting = false;  // where it is not possible nobody is told that it waits
};

using Program = std::vector<ThreadProgram>;

Footprint FootprintOf(const Op& op) {
  if (op.ends) return Footprint::Everything();
  Footprint out{op.reads, op.writes, 0, 0};
  if (op.locks) out.Lock(kLockObject);
  if (op.unlocks) out.Unlock(kLockObject);
  return out;
}

class Machine {
 public:
  explicit Machine(const Program& program) : program_(program), threads_(program.size()) {
    for (size_t i = 0; i < program.size(); ++i) threads_[i].there = !program[i].created;
  }

  // All that can happen now, who went last before others.
  void Collect(std::vector<Option>& options, std::vector<Option>& blocked) const {
    options.clear();
    blocked.clear();
    const auto offer = [&](size_t who) {
      const Op* op = NextOf(who);
      if (op == nullptr) return;
      const Option option{static_cast<uint32_t>(who), "", FootprintOf(*op), threads_[who].born};
      if (Enabled(who)) {
        options.push_back(option);
      } else if (!program_[who].fleeting) {
        blocked.push_back(option);
      }
    };
    offer(last_);
    for (size_t who = 0; who < threads_.size(); ++who) {
      if (who != last_) offer(who);
    }
  }

  const Op* NextOf(size_t who) const {
    const State& state = threads_[who];
    const auto& ops = program_[who].ops;
    return ended_ || !state.there || state.next == ops.size() ? nullptr : &ops[state.next];
  }

  void Take(size_t who, size_t value) {
    ++steps_;
    last_ = who;
    State& state = threads_[who];
    const Op& op = *NextOf(who);
    state.notes += ' ';
    for (size_t i = 0; i < kWords; ++i) {
      if (((op.reads | op.writes) >> i & 1) != 0) state.notes += std::to_string(words_[i]);
    }
    if (op.locks) state.notes += std::to_string(lock_taken_++);
    if (op.locks || op.unlocks) locked_ = op.locks;
    if (op.chooses) state.notes += value == 0 ? 'n' : 'y';
    if (state.timed_out) state.notes += 't';
    state.timed_out = false;
    for (size_t i = 0; i < kWords; ++i) words_[i] += op.writes >> i & 1;
    if (op.creates != kNobody) {
      threads_[op.creates].there = true;
      threads_[op.creates].born = steps_;
    }
    ++state.next;
    ended_ = op.ends;
  }

  // Where nothing can happen: the first one that does not wait for ever goes on.
  bool TimeGoesOn() {
    for (size_t who = 0; who < threads_.size(); ++who) {
      const Op* op = NextOf(who);
      if (op == nullptr || !op->times_out || threads_[who].timed_out) continue;
      threads_[who].timed_out = true;
      return true;
    }
    return false;
  }

  // What each step came after: all that there is to know of an execution.
  std::string Notes() const {
    std::string out;
    for (const State& state : threads_) out += state.notes + (state.timed_out ? "!|" : "|");
    return out;
  }

 private:
  struct State {
    bool there = true;
    uint64_t born = 0;
    size_t next = 0;
    bool timed_out = false;
    std::string notes;
  };

  bool Enabled(size_t who) const {
    const Op& op = *NextOf(who);
    if (op.locks) return !locked_;
    if (threads_[who].timed_out) return true;
    for (size_t i = 0; i < kWords; ++i) {
      if ((op.awaits >> i & 1) != 0 && words_[i] % 2 == 0) return false;
    }
    return true;
  }

  const Program& program_;
  std::vector<State> threads_;
  std::array<unsigned, kWords> words_{};
  unsigned lock_taken_ = 0;
  bool locked_ = false, ended_ = false;
  uint64_t steps_ = 0;
  size_t last_ = 0;
};

// Every order, by another way than the explorer's: all that one step can make of what is known.
class Reference {
 public:
  // More than that many states: not known.
  explicit Reference(size_t states_max) : states_max_(states_max) {}

  bool Visit(const Machine& machine) {
    if (!seen_.insert(machine.Notes()).second) return true;
    if (seen_.size() > states_max_) return false;
    std::vector<Option> options, blocked;
    machine.Collect(options, blocked);
    if (options.empty()) {
      Machine later = machine;
      if (later.TimeGoesOn()) return Visit(later);
      ends_.insert(machine.Notes());
      return true;
    }
    for (const Option& option : options) {
      const size_t values = machine.NextOf(option.actor)->chooses ? 2 : 1;
      for (size_t value = 0; value < values; ++value) {
        Machine next = machine;
        next.Take(option.actor, value);
        if (!Visit(next)) return false;
      }
    }
    return true;
  }

  const std::set<std::string>& ends() const { return ends_; }

 private:
  const size_t states_max_;
  std::set<std::string> seen_, ends_;
};

std::string RunOnce(const Program& program, Chooser& chooser) {
  Machine machine(program);
  std::vector<Option> options, blocked;
  for (;;) {
    machine.Collect(options, blocked);
    if (options.empty()) {
      if (!blocked.empty()) chooser.OnStuck(blocked);
      if (machine.TimeGoesOn()) continue;
      return machine.Notes();
    }
    const size_t who = options[chooser.PickStep(options, blocked)].actor;
    machine.Take(who, machine.NextOf(who)->chooses ? chooser.PickValue("", 2) : 0);
  }
}

struct Seen {
  std::set<std::string> ends;
  uint64_t executions = 0;
  uint64_t redundant = 0;
};

Seen RunAll(Reduction reduction, const Program& program, uint64_t executions_max = 100'000) {
  ExhaustiveStrategy strategy(reduction);
  Seen seen;
  while (seen.executions < executions_max && strategy.Begin()) {
    seen.ends.insert(RunOnce(program, strategy));
    strategy.End();
    ++seen.executions;
  }
  EXPECT_TRUE(strategy.exhausted());
  seen.redundant = strategy.redundant();
  return seen;
}

// What a drawn program may do beside reading and writing words.
struct Kinds {
  bool awaits = false, time_outs = false, locks = false, creates = false, fleeting = false,
       ends = false, chooses = false;
};

Program Draw(std::minstd_rand& random, const Kinds& kinds) {
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  Program program(2 + random() % 3);
  for (ThreadProgram& thread : program) {
    const size_t count = 1 + random() % (program.size() == 2 ? 4 : 3);
    for (size_t i = 0; i < count; ++i) {
      Op op;
      (one_in(2) ? op.reads : op.writes) |= uint64_t{1} << random() % kWords;
      if (one_in(4)) (one_in(2) ? op.reads : op.writes) |= uint64_t{1} << random() % kWords;
      if (kinds.awaits && one_in(3)) op.awaits = op.reads;
      op.times_out = op.awaits != 0 && kinds.time_outs && one_in(2);
      op.chooses = kinds.chooses && one_in(8);
      op.ends = kinds.ends && one_in(8);
      thread.ops.push_back(op);
    }
    if (kinds.locks && one_in(2)) {
      Op lock, unlock;
      lock.locks = unlock.unlocks = true;
      const size_t from = random() % thread.ops.size();
      thread.ops.insert(thread.ops.begin() + static_cast<ptrdiff_t>(from), lock);
      const size_t to = from + 1 + random() % (thread.ops.size() - from);
      thread.ops.insert(thread.ops.begin() + static_cast<ptrdiff_t>(to), unlock);
    }
  }
  if (kinds.creates && one_in(2)) {
    program.back().created = true;
    auto& by = program[random() % (program.size() - 1)].ops;
    by[random() % by.size()].creates = program.size() - 1;
  }
  if (kinds.fleeting && one_in(2)) {
    Op op;
    op.reads = op.awaits = uint64_t{1} << random() % kWords;
    program.push_back({{op}, false, true});
  }
  return program;
}

std::string Describe(const Program& program) {
  std::string out;
  for (const ThreadProgram& thread : program) {
    out += thread.fleeting ? "\nfleeting:" : thread.created ? "\ncreated:" : "\nthread:";
    for (const Op& op : thread.ops) {
      out += " [";
      for (size_t i = 0; i < kWords; ++i) {
        if ((op.reads >> i & 1) != 0) out += (op.awaits >> i & 1) != 0 ? 'A' : 'r', out += '0' + i;
        if ((op.writes >> i & 1) != 0) out += 'w', out += '0' + i;
      }
      if (op.locks) out += "lock";
      if (op.unlocks) out += "unlock";
      if (op.times_out) out += " times out";
      if (op.chooses) out += " chooses";
      if (op.ends) out += " ends";
      if (op.creates != kNobody) out += " creates";
      out += "]";
    }
  }
  return out;
}

// `executions_max`: of the whole reduction, which comes to some ends in vain (`redundant`).
// Programs are drawn alike everywhere, so that this is what it takes today: more is a reduction
// lost.
void ExpectEachOnce(const Kinds& kinds, uint64_t executions_max) {
  constexpr unsigned kPrograms = 120;
  constexpr size_t kStatesMax = 1000;
  uint64_t compared = 0, orders = 0, reduced = 0;
  for (unsigned seed = 1; seed <= kPrograms; ++seed) {
    std::minstd_rand random(seed * 7919);
    const Program program = Draw(random, kinds);
    Reference reference(kStatesMax);
    if (!reference.Visit(Machine(program))) continue;
    ++compared;
    for (const Reduction reduction : {Reduction::kSleepSets, Reduction::kDpor}) {
      const Seen seen = RunAll(reduction, program);
      const std::string which = "seed " + std::to_string(seed) + Describe(program);
      ASSERT_EQ(seen.ends, reference.ends()) << which;
      ASSERT_EQ(seen.executions - seen.redundant, seen.ends.size()) << which;
      if (reduction == Reduction::kDpor) reduced += seen.executions;
    }
    orders += reference.ends().size();
  }
  EXPECT_GT(compared, kPrograms / 2);
  EXPECT_LE(reduced, executions_max) << "for " << orders << " orders";
}

TEST(EveryOrderTest, OfReadsAndWrites) { ExpectEachOnce({}, 2123); }
TEST(EveryOrderTest, OfWaits) { ExpectEachOnce({.awaits = true}, 1009); }
TEST(EveryOrderTest, OfTimeOuts) { ExpectEachOnce({.awaits = true, .time_outs = true}, 1289); }
TEST(EveryOrderTest, OfLocks) { ExpectEachOnce({.awaits = true, .locks = true}, 1307); }
TEST(EveryOrderTest, OfWhoIsCreated) { ExpectEachOnce({.awaits = true, .creates = true}, 1114); }
TEST(EveryOrderTest, OfWhatIsPossibleForAWhile) { ExpectEachOnce({.fleeting = true}, 2511); }
TEST(EveryOrderTest, OfAnEndAmidst) { ExpectEachOnce({.ends = true}, 3804); }
TEST(EveryOrderTest, OfAll) {
  ExpectEachOnce({.awaits = true,
                  .time_outs = true,
                  .locks = true,
                  .creates = true,
                  .fleeting = true,
                  .ends = true,
                  .chooses = true},
                 3421);
}

}  // namespace
}  // namespace pollux::sim
