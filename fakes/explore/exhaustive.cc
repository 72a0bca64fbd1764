#include "fakes/explore/exhaustive.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/base/check.h"

namespace pollux::sim {
namespace {

uint64_t Bit(size_t n) { return uint64_t{1} << n; }
uint64_t AllOf(size_t count) { return count == 64 ? ~uint64_t{0} : Bit(count) - 1; }

}  // namespace

ExhaustiveStrategy::ExhaustiveStrategy(Reduction reduction, std::optional<int> preemptions_max)
    : reduction_(reduction), preemptions_max_(preemptions_max) {
  CHECK(!preemptions_max || reduction == Reduction::kNone);
}

// Back to the last choice with a possibility left; everything behind it is forgotten.
bool ExhaustiveStrategy::Begin() {
  choices_.clear();
  at_ = 0;
  step_ = 0;
  free_run_ = false;
  actors_.clear();
  clocks_ = {};
  if (!std::exchange(begun_, true)) return true;
  while (used_ > 0) {
    Node& last = nodes_[used_ - 1];
    const uint64_t left = last.wanted & ~last.explored & ~last.asleep;
    if (left != 0) {
      last.chosen = static_cast<uint32_t>(std::countr_zero(left));
      last.explored |= Bit(last.chosen);
      return true;
    }
    --used_;
  }
  exhausted_ = true;
  return false;
}

// What was possible at the last step is compared with that step: no node comes after it.
void ExhaustiveStrategy::End() {
  ++executions_;
  if (reduction_ != Reduction::kDpor || free_run_ || at_ < used_) return;
  if (Node* const last = StepBefore(used_)) WantWhatEnded(*last, {});
}

// A possibility that is gone after another one was taken: nothing later will be compared with it.
void ExhaustiveStrategy::WantWhatEnded(Node& node, std::span<const Option> now) {
  for (size_t i = 0; i < node.count; ++i) {
    const bool goes_on = std::any_of(now.begin(), now.end(), [&](const Option& option) {
      return option.actor == node.options[i].actor;
    });
    const Option& taken = node.options[node.chosen];
    if (!goes_on && node.options[i].footprint.DependsOn(taken.footprint)) node.wanted |= Bit(i);
  }
}

ExhaustiveStrategy::Node& ExhaustiveStrategy::Push() {
  if (used_ == nodes_.size()) nodes_.emplace_back();
  Node& node = nodes_[used_++];
  node.explored = node.wanted = node.asleep = 0;
  node.preemptions = 0;
  return node;
}

size_t ExhaustiveStrategy::PickValue(const char*, size_t count) {
  CHECK(count <= 64);
  if (free_run_) return Record(0);
  if (at_ == used_) {
    Node& node = Push();
    node.is_step = false;
    node.number = step_;
    node.count = static_cast<uint32_t>(count);
    node.chosen = 0;
    node.explored = Bit(0);
    node.wanted = AllOf(count);
  }
  return Record(nodes_[at_++].chosen);
}

size_t ExhaustiveStrategy::PickStep(std::span<const Option> options,
                                    std::span<const Option> blocked) {
  CHECK(options.size() <= 64);
  ++step_;
  const auto answer = [&](size_t chosen) { return options.size() == 1 ? 0 : Record(chosen); };
  if (free_run_) return answer(0);
  const size_t at = at_++;
  if (at < used_) {  // known: only the clocks are made again
    CHECK(nodes_[at].is_step && nodes_[at].count == options.size());
    if (reduction_ == Reduction::kDpor) Advance(at);
    return answer(nodes_[at].chosen);
  }
  Node& node = Push();
  Node* const before = StepBefore(at);
  node.is_step = true;
  node.number = step_;
  node.count = static_cast<uint32_t>(options.size());
  node.options.assign(options.begin(), options.end());
  node.options.insert(node.options.end(), blocked.begin(), blocked.end());
  Inherit(node, before);
  if (reduction_ == Reduction::kDpor) {
    // What is blocked as well: it may be so because of the order of things. And before giving up on
    // a state in which all sleep: what is known from elsewhere is what comes after it.
    for (const Option& option : options) FindRaces(at, option);
    for (const Option& option : blocked) FindRaces(at, option);
    if (before != nullptr) WantWhatEnded(*before, node.options);
  }
  const uint64_t awake = AllOf(options.size()) & ~node.asleep;
  if (awake == 0) {
    // Whatever comes now was seen from another state.
    ++redundant_;
    --used_;
    free_run_ = true;
    return answer(0);
  }
  node.chosen = static_cast<uint32_t>(std::countr_zero(awake));
  node.explored = Bit(node.chosen);
  node.wanted = reduction_ == Reduction::kDpor ? node.explored : AllOf(options.size());
  if (preemptions_max_ && node.preemptions >= *preemptions_max_) node.wanted = node.explored;
  if (reduction_ == Reduction::kDpor) Advance(at);
  return answer(nodes_[at].chosen);
}

void ExhaustiveStrategy::OnStuck(std::span<const Option> blocked) {
  if (reduction_ != Reduction::kDpor || free_run_ || at_ < used_) return;
  for (const Option& option : blocked) FindRaces(at_, option);
}

ExhaustiveStrategy::Node* ExhaustiveStrategy::StepBefore(size_t at) {
  while (at-- > 0) {
    if (nodes_[at].is_step) return &nodes_[at];
  }
  return nullptr;
}

// What slept before, or was explored before from there, goes on sleeping if the step that was taken
// does not depend on it.
void ExhaustiveStrategy::Inherit(Node& node, const Node* before) {
  if (before == nullptr) return;
  const Option& taken = before->options[before->chosen];
  // A preemption: the one that took the last step could go on, and another one is taken.
  node.preemptions = before->preemptions + (before->chosen != 0 ? 1 : 0);
  if (reduction_ == Reduction::kNone) return;
  const uint64_t candidates = (before->asleep | before->explored) & ~Bit(before->chosen);
  for (size_t i = 0; i < before->count; ++i) {
    const Option& other = before->options[i];
    if ((candidates & Bit(i)) == 0 || other.footprint.DependsOn(taken.footprint)) continue;
    for (size_t k = 0; k < node.count; ++k) {
      if (node.options[k].actor == other.actor) node.asleep |= Bit(k);
    }
  }
}

uint8_t ExhaustiveStrategy::ActorIndex(uint32_t actor) {
  const auto found = std::find(actors_.begin(), actors_.end(), actor);
  if (found != actors_.end()) return static_cast<uint8_t>(found - actors_.begin());
  CHECK(actors_.size() < kActorsMax);  // a scenario for random search, not for this one
  actors_.push_back(actor);
  return static_cast<uint8_t>(actors_.size() - 1);
}

void ExhaustiveStrategy::Join(Clock& clock, const Clock& other) {
  for (size_t i = 0; i < kActorsMax; ++i) clock[i] = std::max(clock[i], other[i]);
}

// What `option` comes after whatever it depends on: the last step of its actor, and the one that
// made that.
ExhaustiveStrategy::Clock ExhaustiveStrategy::Before(const Option& option, uint8_t actor) const {
  Clock clock = clocks_[actor];
  const auto end = nodes_.begin() + static_cast<ptrdiff_t>(used_);
  const auto made =
      std::lower_bound(nodes_.begin(), end, option.born,
                       [](const Node& node, uint64_t number) { return node.number < number; });
  if (option.born > 0 && made != end) Join(clock, made->clock);
  return clock;
}

// The steps on the path that `option`, if it were next, would depend on without being ordered after
// them already: from where they were taken, it has to be tried as well.
void ExhaustiveStrategy::FindRaces(size_t at, const Option& option) {
  const uint8_t actor = ActorIndex(option.actor);
  Clock clock = Before(option, actor);
  for (size_t j = at; j-- > 0;) {
    const Node& earlier = nodes_[j];
    if (!earlier.is_step) continue;
    const Option& taken = earlier.options[earlier.chosen];
    // Its own actor's steps are in `clock`.
    if (clock[earlier.actor] < earlier.clock[earlier.actor] &&
        taken.footprint.CouldChangePlacesWith(option.footprint) &&
        !OnlyWaitsFor(j, at, option, actor)) {
      AddRace(j, at, option, actor);
      Join(clock, earlier.clock);
    }
  }
}

// Whether `option` was blocked already where step `at` was taken, and nothing since then that does
// not itself come after that step could have made it possible: then it cannot come before it.
bool ExhaustiveStrategy::OnlyWaitsFor(size_t at, size_t end, const Option& option,
                                      uint8_t actor) const {
  const Node& node = nodes_[at];
  const auto blocked = node.options.begin() + static_cast<ptrdiff_t>(node.count);
  if (std::none_of(blocked, node.options.end(),
                   [&](const Option& other) { return other.actor == option.actor; })) {
    return false;
  }
  for (size_t k = at + 1; k < end; ++k) {
    const Node& later = nodes_[k];
    if (!later.is_step) continue;
    if (later.actor == actor) return false;  // what was blocked there was another step
    const bool after = later.clock[node.actor] >= node.clock[node.actor];
    if (!after && option.footprint.DependsOn(later.options[later.chosen].footprint)) return false;
  }
  return true;
}

// Of what could come in place of step `at` if `option` came before it: who of the actors that move
// first then could have moved right there. Bit n is possibility n.
uint64_t ExhaustiveStrategy::Initials(size_t at, size_t end, const Option& option,
                                      uint8_t actor) const {
  const Node& node = nodes_[at];
  Clock first;  // of those actors: the step
  first.fill(std::numeric_limits<uint16_t>::max());
  const auto comes_after_any = [&](const Clock& clock) {
    for (size_t i = 0; i < actors_.size(); ++i) {
      if (clock[i] >= first[i]) return true;
    }
    return false;
  };
  uint64_t initials = 0;
  const auto add = [&](uint32_t id) {
    for (size_t i = 0; i < node.count; ++i) {
      if (node.options[i].actor == id) initials |= Bit(i);
    }
  };
  bool depends = false;  // `option`, on one of them
  for (size_t k = at + 1; k < end; ++k) {
    const Node& step = nodes_[k];
    if (!step.is_step || step.clock[node.actor] >= node.clock[node.actor]) continue;
    const Option& taken = step.options[step.chosen];
    depends |= option.footprint.DependsOn(taken.footprint);
    if (comes_after_any(step.clock)) continue;
    add(taken.actor);
    first[step.actor] = step.clock[step.actor];
  }
  if (!depends && !comes_after_any(Before(option, actor))) add(option.actor);
  return initials;
}

// The step at `at` and `option` race: the other order has to be explored. It is if one of those who
// could begin it is explored there (source sets: Abdulla et al., POPL 2014). Where nobody could,
// there is no other order.
void ExhaustiveStrategy::AddRace(size_t at, size_t end, const Option& option, uint8_t actor) {
  Node& node = nodes_[at];
  const uint64_t initials = Initials(at, end, option, actor);
  if ((initials & node.wanted) != 0) return;
  for (size_t i = 0; i < node.count; ++i) {
    if (node.options[i].actor != option.actor || (initials & Bit(i)) == 0) continue;
    node.wanted |= Bit(i);
    return;
  }
  node.wanted |= initials & (~initials + 1);  // whoever it is that leads to it
}

// Gives the step at `at` its place in the order of dependence.
void ExhaustiveStrategy::Advance(size_t at) {
  Node& node = nodes_[at];
  const Option& taken = node.options[node.chosen];
  node.actor = ActorIndex(taken.actor);
  Clock clock = Before(taken, node.actor);
  for (size_t j = at; j-- > 0;) {
    const Node& earlier = nodes_[j];
    if (!earlier.is_step || clock[earlier.actor] >= earlier.clock[earlier.actor]) continue;
    if (!taken.footprint.DependsOn(earlier.options[earlier.chosen].footprint)) continue;
    Join(clock, earlier.clock);
  }
  ++clock[node.actor];
  node.clock = clock;
  clocks_[node.actor] = clock;
}

double ExhaustiveStrategy::progress() const {
  double done = 0, weight = 1;
  for (size_t i = 0; i < used_; ++i) {
    const Node& node = nodes_[i];
    const int of = std::popcount((node.wanted & ~node.asleep) | Bit(node.chosen));
    const int before = std::popcount(node.explored) - 1;
    done += weight * before / of;
    weight /= of;
  }
  return exhausted_ ? 1 : done;
}

double ExhaustiveStrategy::estimate() const {
  const double done = progress();
  return done > 0 ? static_cast<double>(executions_) / done : 0;
}

}  // namespace pollux::sim
