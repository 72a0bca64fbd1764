#include "fakes/explore/strategy.h"

#include <algorithm>

namespace pollux::sim {

bool RandomStrategy::Begin() {
  choices_.clear();
  random_.seed(next_seed_++);
  go_on_ = static_cast<uint32_t>(random_() % 4) * 64;  // never, one in four, two, three
  return true;
}

size_t RandomStrategy::PickStep(std::span<const Option> options,
                                std::span<const Option> /*blocked*/) {
  if (options.size() == 1) return 0;
  const uint64_t drawn = random_();
  if ((drawn & 255) < go_on_) return Record(0);
  return Record((drawn >> 8) % options.size());
}

size_t RandomStrategy::PickValue(const char*, size_t count) {
  // Faults are rare, or nothing else would be seen.
  const uint64_t drawn = random_();
  return Record((drawn & 3) != 0 ? 0 : (drawn >> 8) % count);
}

bool PctStrategy::Begin() {
  choices_.clear();
  random_.seed(next_seed_++);
  priorities_.clear();
  changes_.clear();
  // How long it will be is not known, and must not be learnt from others: the same seed is the same
  // execution wherever it stands. So each length is as likely as twice that length.
  const uint64_t steps_expected = kStepsLeast << random_() % kLengths;
  for (int i = 1; i < depth_; ++i) changes_.push_back(random_() % steps_expected);
  std::sort(changes_.begin(), changes_.end());
  next_change_ = 0;
  step_ = 0;
  return true;
}

uint64_t PctStrategy::PriorityOf(uint32_t actor) {
  const auto [it, made] = priorities_.try_emplace(actor);
  // Above all that a change can lower one to.
  if (made) it->second = (random_() >> 1) + static_cast<uint64_t>(depth_);
  return it->second;
}

size_t PctStrategy::PickStep(std::span<const Option> options, std::span<const Option> /*blocked*/) {
  const auto highest = [&] {
    size_t best = 0;
    for (size_t i = 0; i < options.size(); ++i) {
      if (PriorityOf(options[i].actor) > PriorityOf(options[best].actor)) best = i;
    }
    return best;
  };
  size_t best = highest();
  for (; next_change_ < changes_.size() && changes_[next_change_] <= step_; ++next_change_) {
    priorities_[options[best].actor] = static_cast<uint64_t>(depth_) - 1 - next_change_;
    best = highest();
  }
  ++step_;
  return options.size() == 1 ? 0 : Record(best);
}

size_t PctStrategy::PickValue(const char*, size_t count) {
  const uint64_t drawn = random_();
  return Record((drawn & 3) != 0 ? 0 : (drawn >> 8) % count);
}

bool ReplayStrategy::Begin() {
  choices_.clear();
  at_ = 0;
  misfits_ = 0;
  return true;
}

size_t ReplayStrategy::PickStep(std::span<const Option> options,
                                std::span<const Option> /*blocked*/) {
  return Next(options.size());
}
size_t ReplayStrategy::PickValue(const char*, size_t count) { return Next(count); }

size_t ReplayStrategy::Next(size_t count) {
  if (count == 1) return 0;
  uint32_t answer = at_ < answers_.size() ? answers_[at_++] : 0;
  if (answer >= count) {
    ++misfits_;
    answer = 0;
  }
  return Record(answer);
}

}  // namespace pollux::sim
