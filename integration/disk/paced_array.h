// The disk model of the simulated kernel (fakes/disk) in real time: a read is answered when the
// model says that it is done, many of them at once.
//
// A block device splits what a file system asks for: a loop device at 128 segments (512 KiB of 4
// KiB pages) and at 1280 KiB, FUSE at 1 MiB. The pieces come one right after the other, and the
// model, which looks where a read begins and where the heads are, would hand them to different
// spindles. So a read is held for as long as the model's command takes, in which no head moves yet,
// and what begins where it ends becomes part of it, as in a block layer's plug. What is read and
// when it is done are as if it had been submitted at once.
//
// Threads: any; answers come from a thread of its own.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/base/units.h"
#include "fakes/disk/array.h"

namespace pollux::disk {

class PacedArray {
 public:
  using Answer = std::function<void()>;
  static constexpr uint64_t kMergedBytesMax = 1280_KiB;

  // Since the model was set.
  struct Counts {
    uint64_t pieces = 0;  // as they came
    uint64_t reads = 0;   // as the model saw them
    uint64_t bytes = 0;
  };

  PacedArray();
  ~PacedArray();  // answers what is left
  PacedArray(const PacedArray&) = delete;
  PacedArray& operator=(const PacedArray&) = delete;

  // Reads that are under way are answered at once. Nothing: no disk, reads take no time.
  void SetShape(std::optional<Shape> shape);
  // As SetShape, of a disk that answers nothing until there is another one.
  void Hold();
  void Read(uint64_t offset, uint64_t length, Answer answer);
  Counts counts() const;

 private:
  // Contiguous pieces on their way to the model.
  struct Held {
    uint64_t offset = 0;
    uint64_t length = 0;
    TimePoint arrival;
    std::vector<Answer> answers;
  };

  static TimePoint Now();
  void Replace(std::optional<Shape> shape, bool holding);
  bool Join(uint64_t offset, uint64_t length, Answer& answer);
  void SubmitFirst();
  std::optional<TimePoint> NextDue() const;
  void Advance(TimePoint now, std::vector<Answer>* due);
  void TakeAll(std::vector<Answer>* out);
  void Run();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Array> array_;                                   // nothing: no disk
  bool holding_ = false;                                         // if so, there is no array
  std::deque<Held> held_;                                        // in order of arrival
  std::unordered_map<uint64_t, std::vector<Answer>> under_way_;  // by the array's number
  Counts counts_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace pollux::disk
