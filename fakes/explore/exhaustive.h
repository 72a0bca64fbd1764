// Every execution, depth-first: after each, the last choice that has another possibility takes it.
//
// Two reductions leave out executions that differ from explored ones only in the order of steps
// that do not depend on each other (Footprint):
//   sleep sets (Godefroid 1996): a step that was explored from a state need not be taken first
//     again after steps that are independent of it;
//   dynamic partial-order reduction (Flanagan and Godefroid, POPL 2005): another possibility of a
//     choice is explored only if a later step was found to depend on the one that was taken.
// Choices of values (faults) are never reduced.
//
// A bound on preemptions (switches away from a thread that could go on) is another mode: it leaves
// out executions for good, so that "exhausted" means "up to that bound". It is not combined with
// the reductions, which would no longer be sound.
#pragma once

#include <array>
#include <limits>
#include <optional>
#include <vector>

#include "fakes/explore/strategy.h"

namespace pollux::sim {

enum class Reduction {
  kNone,  // naive
  kSleepSets,
  kDpor,  // and sleep sets
};

class ExhaustiveStrategy final : public Strategy {
 public:
  explicit ExhaustiveStrategy(Reduction reduction, std::optional<int> preemptions_max = {});

  bool Begin() override;
  void End() override;
  size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) override;
  size_t PickValue(const char* label, size_t count) override;
  void OnStuck(std::span<const Option> blocked) override;

  bool exhausted() const { return exhausted_; }
  // Executions that turned out to be the same as others (they were run all the same).
  uint64_t redundant() const { return redundant_; }
  // How much of the tree was seen, between 0 and 1: what the choices on the present path leave,
  // if every branch were like the ones seen so far.
  double progress() const;
  // How many executions there are to come to, from the ones so far: their number over progress()
  // (weighted backtracking, Kilby et al., AAAI 2006). What is found to be wanted later is not in
  // it, so that it grows at first. 0: nothing to go by yet.
  double estimate() const;
  // Of the present or last execution: how many choices it has that are recorded.
  size_t depth() const { return used_; }

 private:
  static constexpr size_t kActorsMax = 32;
  using Clock = std::array<uint16_t, kActorsMax>;

  struct Node {
    bool is_step = true;
    uint64_t number = 0;  // of the step, from 1; of a value, the step that it is for
    uint32_t count = 0;   // possibilities
    uint32_t chosen = 0;
    uint64_t explored = 0;        // bit n: possibility n was or is being explored
    uint64_t wanted = 0;          // bit n: it has to be
    uint64_t asleep = 0;          // bit n: it need not be
    int preemptions = 0;          // up to here
    std::vector<Option> options;  // `count` of them, and those that were blocked
    uint8_t actor = 0;            // of the chosen one, as an index of clocks
    Clock clock{};
  };

  Node& Push();
  static void Join(Clock& clock, const Clock& other);
  Clock Before(const Option& option, uint8_t actor) const;
  void Inherit(Node& node, const Node* before);
  void FindRaces(size_t at, const Option& option);
  static void WantWhatEnded(Node& node, std::span<const Option> now);
  bool OnlyWaitsFor(size_t at, size_t end, const Option& option, uint8_t actor) const;
  uint64_t Initials(size_t at, size_t end, const Option& option, uint8_t actor) const;
  void AddRace(size_t at, size_t end, const Option& option, uint8_t actor);
  void Advance(size_t at);
  uint8_t ActorIndex(uint32_t actor);
  Node* StepBefore(size_t at);

  const Reduction reduction_;
  const std::optional<int> preemptions_max_;
  std::vector<Node> nodes_;
  size_t used_ = 0;        // of nodes_: the path
  size_t at_ = 0;          // the next choice on it
  uint64_t step_ = 0;      // the present or last one's number
  bool free_run_ = false;  // the rest of this execution is known: not recorded
  bool exhausted_ = false;
  bool begun_ = false;
  uint64_t redundant_ = 0;
  uint64_t executions_ = 0;
  std::vector<uint32_t> actors_;            // by index
  std::array<Clock, kActorsMax> clocks_{};  // of each actor's last step on the path
};

}  // namespace pollux::sim
