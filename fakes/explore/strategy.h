// How the choices of one execution after the other are made.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "fakes/kernel/choices.h"

namespace pollux::sim {

// Answers to the choices with more than one possibility, in order. What is missing at the end is 0.
using Choices = std::vector<uint32_t>;

class Strategy : public Chooser {
 public:
  // Before each execution. False: nothing is left to explore.
  virtual bool Begin() = 0;
  // After it.
  virtual void End() = 0;

  // Those of the present or the last execution.
  const Choices& choices() const { return choices_; }

 protected:
  size_t Record(size_t answer) {
    choices_.push_back(static_cast<uint32_t>(answer));
    return answer;
  }
  Choices choices_;
};

// Every execution another random walk, decided by the seed. How readily it switches is drawn for
// each: some defects need many switches, others few at the right places.
class RandomStrategy final : public Strategy {
 public:
  explicit RandomStrategy(uint64_t seed) : next_seed_(seed) {}
  bool Begin() override;
  void End() override {}
  size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) override;
  size_t PickValue(const char* label, size_t count) override;
  // Of the last execution: a strategy made with it makes the same execution first.
  uint64_t seed() const { return next_seed_ - 1; }

 private:
  uint64_t next_seed_;
  std::mt19937_64 random_;
  uint32_t go_on_ = 0;  // of 256: how often the running thread is left to run
};

// Probabilistic concurrency testing (Burckhardt et al., ASPLOS 2010): random priorities, always the
// highest runs, and at `depth` - 1 random steps it falls to the lowest. Finds a defect of that
// depth with a probability of at least 1 / (actors * steps^(depth - 1)) in each execution whose
// length was guessed; one of 10 guesses is right, from 32 steps to 16,384.
class PctStrategy final : public Strategy {
 public:
  PctStrategy(uint64_t seed, int depth) : next_seed_(seed), depth_(depth) {}
  bool Begin() override;
  void End() override {}
  size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) override;
  size_t PickValue(const char* label, size_t count) override;
  uint64_t seed() const { return next_seed_ - 1; }

 private:
  static constexpr uint64_t kStepsLeast = 32;
  static constexpr uint64_t kLengths = 10;

  uint64_t PriorityOf(uint32_t actor);

  uint64_t next_seed_;
  const int depth_;
  std::mt19937_64 random_;
  std::unordered_map<uint32_t, uint64_t> priorities_;
  std::vector<uint64_t> changes_;  // steps, ascending
  size_t next_change_ = 0;
  uint64_t step_ = 0;
};

// The given answers, and 0 from there on. Each execution is the same.
class ReplayStrategy final : public Strategy {
 public:
  explicit ReplayStrategy(Choices answers) : answers_(std::move(answers)) {}
  bool Begin() override;
  void End() override {}
  size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) override;
  size_t PickValue(const char* label, size_t count) override;
  // Answers that were no possibility where they came: they belong to another program.
  size_t misfits() const { return misfits_; }

 private:
  size_t Next(size_t count);

  const Choices answers_;
  size_t at_ = 0;
  size_t misfits_ = 0;
};

}  // namespace pollux::sim
