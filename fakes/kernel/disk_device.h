// The modelled disk (fakes/disk) as an actor: each of its events is a read that is done. Internal
// to fakes/kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>

#include "fakes/disk/array.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

class DiskDevice final : public Actor {
 public:
  DiskDevice(Scheduler& scheduler, const disk::Shape& shape)
      : scheduler_(scheduler), array_(shape) {
    scheduler_.AddActor(*this);
  }
  ~DiskDevice() override { scheduler_.RemoveActor(*this); }

  // `done` runs when `length` bytes at `place` have been read.
  void Read(uint64_t place, uint64_t length, std::function<void()> done) {
    under_way_[array_.Submit(place, length, scheduler_.now())] = std::move(done);
  }

  bool Enabled() const override { return !array_.idle(); }
  TimePoint not_before() const override {
    return array_.NextCompletion().value_or(TimePoint::min());
  }
  Footprint footprint() const override { return Footprint::Everything(); }
  const char* label() const override { return "disk completes a read"; }
  Lane lane() const override { return Lane::kDisk; }
  unsigned spindle() const override { return array_.NextSpindle().value_or(0) + 1; }
  void Happen() override {
    const auto done = array_.Take(scheduler_.now());
    under_way_.extract(done->read).mapped()();
  }

 private:
  Scheduler& scheduler_;
  disk::Array array_;
  std::unordered_map<uint64_t, std::function<void()>> under_way_;
};

}  // namespace pollux::sim
