// Reads on their way through a disk array: which spindle takes each, in which order, and when it is
// done.
//
//   balance   as md's of RAID1 (drivers/md/raid1.c, read_balance): a read that begins where a
//             spindle's last completed read ended goes there; else to the shorter queue; of equal
//             ones to the head that is nearer. (md prefers an idle spindle to the nearer head as
//             well, but of two busy ones takes the nearer, however long its queue is.)
//   elevator  as mq-deadline's for reads: ascending places; the oldest one if nothing is ahead, or
//   if
//             it has waited for 500 ms when 16 were read in a row.
//
// Time is whatever the caller says: a simulation's, or the real one. It never goes back.
//
// Threads: one at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/units.h"
#include "fakes/disk/shape.h"

namespace pollux::disk {

class Array {
 public:
  static constexpr unsigned kBatchReads = 16;
  static constexpr Nanoseconds kReadExpires = std::chrono::milliseconds(500);

  explicit Array(const Shape& shape);

  // A read of `length` bytes at `offset` arrives: a number that stands for it from here on. If its
  // spindle is idle, it begins at once.
  uint64_t Submit(uint64_t offset, uint64_t length, TimePoint arrival);

  // When the next read is done, as far as is known now: reads that arrive later can come before
  // those that still wait. Nothing if there is none.
  std::optional<TimePoint> NextCompletion() const;
  // Whose that is; nothing if there is none.
  std::optional<unsigned> NextSpindle() const;

  struct Done {
    uint64_t read = 0;
    TimePoint at;
    unsigned spindle = 0;
  };
  // The next read that is done by `now`, in order of completion. Nothing: none is, yet.
  std::optional<Done> Take(TimePoint now);

  bool idle() const { return !NextCompletion(); }
  const Shape& shape() const { return shape_; }

 private:
  struct Read {
    uint64_t number = 0;
    uint64_t offset = 0;
    uint64_t length = 0;
    TimePoint arrival;
  };
  struct Spindle {
    std::vector<Read> queue;  // in order of arrival
    std::optional<Read> current;
    TimePoint done_at;
    uint64_t head = 0;      // behind the last completed read
    unsigned in_batch = 0;  // reads since the last one out of turn

    size_t load() const { return queue.size() + (current ? 1 : 0); }
  };

  Spindle& Choose(uint64_t offset);
  void StartNext(Spindle& spindle, TimePoint now);
  static size_t NextInOrder(Spindle& spindle, TimePoint now);
  const Spindle* FirstDone() const;

  const Shape shape_;
  std::vector<Spindle> spindles_;
  uint64_t next_number_ = 1;
};

}  // namespace pollux::disk
