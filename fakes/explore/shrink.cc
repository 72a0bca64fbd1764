#include "fakes/explore/shrink.h"

#include <algorithm>
#include <utility>

namespace pollux::sim {
namespace {

class Shrinker {
 public:
  Shrinker(const std::string& oracle, const Execution& execute, uint64_t executions_max)
      : oracle_(oracle), execute_(execute), left_(executions_max) {}

  // Whether `candidate` still fails; if so it is the best so far.
  bool Try(const Choices& candidate) {
    if (left_ == 0) return false;
    --left_;
    ++result_.executions;
    ReplayStrategy replay(candidate);
    (void)replay.Begin();
    Outcome outcome = execute_(replay);
    if (!outcome.violation || outcome.violation->oracle != oracle_) return false;
    result_.choices = replay.choices();  // as they were understood
    Trim();
    result_.outcome = std::move(outcome);
    return true;
  }

  void Run() {
    bool better = true;
    while (better && left_ > 0) {
      better = false;
      for (size_t block = std::max<size_t>(result_.choices.size() / 2, 1);; block /= 2) {
        better |= Sweep(block, /*take_out=*/false);
        better |= Sweep(block, /*take_out=*/true);
        if (block == 1) break;
      }
    }
  }

  Shrunk&& result() { return std::move(result_); }

 private:
  // Tries to do without each block of choices. A candidate that still fails is smaller, in choices
  // that are not 0 or else in length: as it was understood, nothing but zeroes came to it.
  bool Sweep(size_t block, bool take_out) {
    bool better = false;
    for (size_t at = 0; at < result_.choices.size();) {
      const Choices& best = result_.choices;
      const size_t end = std::min(at + block, best.size());
      Choices candidate = best;
      const auto from = candidate.begin() + static_cast<ptrdiff_t>(at);
      const auto to = candidate.begin() + static_cast<ptrdiff_t>(end);
      const bool all_zero = std::all_of(from, to, [](uint32_t choice) { return choice == 0; });
      if (take_out) {
        candidate.erase(from, to);
      } else if (all_zero) {
        at = end;
        continue;
      } else {
        std::fill(from, to, 0);
      }
      const bool still_fails = Try(candidate);
      better |= still_fails;
      // After taking out, what followed the block is in its place.
      if (!still_fails || !take_out) at = end;
    }
    return better;
  }

  void Trim() {
    while (!result_.choices.empty() && result_.choices.back() == 0) result_.choices.pop_back();
  }

  const std::string& oracle_;
  const Execution& execute_;
  uint64_t left_;
  Shrunk result_;
};

}  // namespace

Shrunk Shrink(const Choices& choices, const std::string& oracle, const Execution& execute,
              uint64_t executions_max) {
  Shrinker shrinker(oracle, execute, executions_max);
  if (shrinker.Try(choices)) shrinker.Run();
  return shrinker.result();
}

}  // namespace pollux::sim
