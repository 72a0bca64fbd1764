// The one stream of choices of a simulated execution. Whoever answers it decides everything that
// Linux leaves open: which thread, disk, peer or signal is next, and which fault strikes. The same
// answers give the same execution. 0 always means "go on, no fault".
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace pollux::sim {

// A piece of simulated state, as far as independence of steps goes. 64 of them are told apart;
// what shares a number is taken for the same, which only ever makes steps look dependent.
using ObjectId = uint8_t;

// What a step reads and writes. Two steps that are not dependent can change places unnoticed.
struct Footprint {
  uint64_t reads = 0;
  uint64_t writes = 0;
  // Of what is written: a lock that must be free for the step to be possible, and one that is held
  // until then. Who unlocks and who locks depend on each other, but are never possible both: there
  // is no other order of the two to be tried.
  uint64_t locks = 0;
  uint64_t unlocks = 0;

  Footprint& Read(ObjectId object) {
    reads |= uint64_t{1} << (object & 63);
    return *this;
  }
  Footprint& Write(ObjectId object) {
    writes |= uint64_t{1} << (object & 63);
    return *this;
  }
  // After whatever else is written: an object that shares its number with the lock is more than it.
  Footprint& Lock(ObjectId object) { return Hold(object, &locks); }
  Footprint& Unlock(ObjectId object) { return Hold(object, &unlocks); }
  Footprint& Add(const Footprint& other) {
    reads |= other.reads;
    writes |= other.writes;
    locks |= other.locks;
    unlocks |= other.unlocks;
    return *this;
  }
  static Footprint Everything() { return {~uint64_t{0}, ~uint64_t{0}, 0, 0}; }

  bool empty() const { return (reads | writes) == 0; }
  bool DependsOn(const Footprint& other) const { return Conflicts(other) != 0; }
  // Whether `later`, which depends on it, could have been possible in its place.
  bool CouldChangePlacesWith(const Footprint& later) const {
    return (Conflicts(later) & ~(unlocks & later.locks)) != 0;
  }
  bool operator==(const Footprint&) const = default;

 private:
  uint64_t Conflicts(const Footprint& other) const {
    return (writes & (other.reads | other.writes)) | (reads & other.writes);
  }
  Footprint& Hold(ObjectId object, uint64_t* held) {
    const uint64_t bit = uint64_t{1} << (object & 63);
    if (((reads | writes) & bit) == 0) *held |= bit;
    writes |= bit;
    return *this;
  }
};

// One of the things that can happen next.
struct Option {
  // Who: a thread, an iocb under way, a peer, a signal, a time-out. The same along one execution,
  // and in every execution that made the same choices so far.
  uint32_t actor = 0;
  const char* label = "";  // what: "ppoll", "read completes"
  Footprint footprint;
  // The step that made the actor, by number from 1: it cannot come before that. 0: it was there.
  uint64_t born = 0;
};

class Chooser {
 public:
  virtual ~Chooser() = default;
  // Which of `options` (at least one) is next: its index. The first is "go on": the running thread,
  // if it can. `blocked`: what threads would do that cannot, for now.
  virtual size_t PickStep(std::span<const Option> options, std::span<const Option> blocked) = 0;
  // Nothing can happen: time goes on, or this is a deadlock.
  virtual void OnStuck(std::span<const Option> /*blocked*/) {}
  // One of `count` (at least two) ways that a step can go; 0 is the usual one. `label` says what is
  // chosen and has static storage duration.
  virtual size_t PickValue(const char* label, size_t count) = 0;
};

// Always 0: no fault, and nobody is interrupted before it has to wait.
class FirstChooser final : public Chooser {
 public:
  size_t PickStep(std::span<const Option>, std::span<const Option>) override { return 0; }
  size_t PickValue(const char*, size_t) override { return 0; }
};

}  // namespace pollux::sim
