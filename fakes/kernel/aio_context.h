// Linux AIO contexts (io_setup(2)), iocbs under way, and the disk that completes them. Internal to
// fakes/kernel.
//
// Without a shape the disk is an actor for each iocb: it may complete at any step after its
// submission (and after `not_before`), in any order. With one it is a modelled disk (fakes/disk),
// and reads complete when and in the order in which that does them. Bytes are moved when a read
// completes.
#pragma once

#include <libaio.h>

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "fakes/disk/shape.h"
#include "fakes/kernel/descriptors.h"
#include "fakes/kernel/disk_device.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

class AioContext;

// Where a read puts its bytes: the frames that it had pinned when it was submitted.
struct PinnedPages {
  MemoryFile* file = nullptr;  // null: memory of no interest to anybody else
  std::vector<Frame*> frames;
  size_t offset = 0;  // of the first byte in the first frame
};

class Disk;

class ReadUnderWay final : public Actor {
 public:
  ReadUnderWay(Disk& disk, AioContext& context, iocb* request);

  bool Enabled() const override { return true; }
  TimePoint not_before() const override { return due; }
  Footprint footprint() const override;
  const char* label() const override { return "read completes"; }
  Lane lane() const override { return Lane::kDisk; }
  void Happen() override;

  Disk& disk;
  AioContext& context;
  iocb* request;  // the submitter's, handed back in the event
  void* data;
  char* buffer;
  size_t count;
  size_t offset;
  bool no_wait;             // RWF_NOWAIT
  bool buffer_bad = false;  // memory that cannot be stored to
  bool on_device = false;   // the modelled disk completes it: it is no actor itself
  std::shared_ptr<Description> file;
  std::shared_ptr<Description> eventfd;  // IOCB_FLAG_RESFD
  PinnedPages pinned;
  std::shared_ptr<const StackTrace> submitted_by;  // null if not kept
  TimePoint due = TimePoint::min();
};

class AioContext {
 public:
  AioContext(unsigned capacity, ObjectId object) : capacity_(capacity), object_(object) {}

  ObjectId object() const { return object_; }
  bool full() const { return under_way.size() + ring.size() >= capacity_; }

  std::vector<std::unique_ptr<ReadUnderWay>> under_way;
  std::deque<io_event> ring;
  bool dead = false;  // io_destroy(2) has begun: no call knows it any more, but those that sleep

 private:
  const unsigned capacity_;
  const ObjectId object_;
};

struct DiskOptions {
  Nanoseconds read_time{0};          // a read takes at least this long
  int faults = 0;                    // how many reads may fail (EIO) or come back short
                                     // and as many of those with RWF_NOWAIT may be refused
  std::optional<disk::Shape> shape;  // a modelled disk
};

class Disk {
 public:
  Disk(Scheduler& scheduler, Frames& frames, SymbolMemory& symbols, DiskOptions options)
      : scheduler_(scheduler),
        frames_(frames),
        symbols_(symbols),
        options_(options),
        object_(scheduler.NewObject()),
        faults_left_(options.faults),
        refusals_left_(options.faults) {
    if (options_.shape) device_.emplace(scheduler, *options_.shape);
  }

  void Start(std::unique_ptr<ReadUnderWay> read);
  void Complete(ReadUnderWay& read);

  // Whether it is a modelled one: what follows is for those.
  bool modelled() const { return device_.has_value(); }
  // Reads `length` bytes at `place` for the page cache or a direct read that its thread waits for;
  // then `done` hears whether they are good.
  void ReadPages(uint64_t place, uint64_t length, std::function<void(bool good)> done);

  uint64_t completed() const { return completed_; }
  bool idle() const { return under_way_ == 0; }
  int faults() const { return faults_; }      // reads that failed or came back short
  int failures() const { return failures_; }  // those that brought nothing
  // From now on all goes well.
  void EndFaults() { faults_left_ = refusals_left_ = 0; }
  // Of a read that completes: how many more may fail.
  Footprint FaultFootprint() const {
    return options_.faults > 0 ? Footprint().Write(object_) : Footprint();
  }
  // The next reads take this long at least.
  void set_read_time(Nanoseconds time) { options_.read_time = time; }

 private:
  static long Refusal(const ReadUnderWay& read);
  long Transfer(ReadUnderWay& read);
  void Store(ReadUnderWay& read, const char* bytes, size_t count);
  void JudgeStore(const Frame& frame, const ReadUnderWay& read);
  void StoreSymbols(ReadUnderWay& read, size_t count);

  Scheduler& scheduler_;
  Frames& frames_;
  SymbolMemory& symbols_;
  uint64_t generation_ = 0;  // of symbolic pages
  DiskOptions options_;
  const ObjectId object_;
  int faults_left_;
  int refusals_left_;
  int faults_ = 0;
  int failures_ = 0;
  uint64_t completed_ = 0;
  uint64_t under_way_ = 0;
  std::optional<DiskDevice> device_;
};

}  // namespace pollux::sim
