// Reads on their way to an io_context and back (io_submit(2), io_getevents(2)).
//
// A read waits in line until an iocb slot is free; what is in line at the end of a turn goes out in
// one io_submit. Slots carry generations: a completion is matched by slot *and* generation, so that
// one that comes late can never be taken for another read's.
//
// io_submit blocks: on ext4 0.7 to 1.4 ms for the extents of a cold file, and 0.85 ms per MiB of
// pages that do not exist yet (measured). Reads that may block are therefore submitted by a worker,
// the others by the loop, at most kSubmitBytesPerTurn a turn, and with RWF_NOWAIT (preadv2(2)):
// what would block after all, on dirty pages that a direct read has to write back first, on a
// writer that holds the inode, comes back with EAGAIN and goes to a worker. A file whose file
// system does not know the flag (overlayfs, tmpfs) is refused with EOPNOTSUPP, as a rule by
// io_submit itself, which takes nothing behind it: one such answer is enough, and every read of
// that descriptor that is in line goes to a worker with it.
//
// Threads: loop thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/aio/aio_stats.h"
#include "core/base/units.h"
#include "core/event/event_loop.h"
#include "core/event/worker_pool.h"
#include "core/sys/kernel.h"

namespace pollux {

struct Chunk;

class ReadOwner {
 public:
  virtual ~ReadOwner() = default;
  // The read for `chunk` has ended: bytes delivered (short counts included) or its errno.
  virtual void OnRead(Chunk& chunk, Result<size_t> result) = 0;
  // The loop cannot submit the read for `chunk` without waiting: EAGAIN this time, EOPNOTSUPP
  // whatever is read of this file, whose next reads are therefore best enqueued with may_block.
  // True: a worker shall submit it. False: it ends here, and OnRead is not called.
  virtual bool OnWouldBlock(Chunk& chunk, int error) = 0;
};

class AioQueue final : public CompletionHandler, private Job {
 public:
  static constexpr uint64_t kSubmitBytesPerTurn = 8_MiB;
  // When io_submit says EAGAIN and no completion is due that could make room.
  static constexpr Nanoseconds kSubmitRetry = std::chrono::milliseconds(5);

  struct Read {
    Chunk* chunk = nullptr;
    int fd = -1;
    char* buffer = nullptr;
    size_t length = 0;    // bytes; with buffer and offset aligned as the file asks
    uint64_t offset = 0;  // bytes
    bool may_block = false;
    std::optional<TimePoint> submitted{};  // the queue's: since when, if a completion refused it
  };

  // EAGAIN: fs.aio-max-nr is used up. ENOSYS: no AIO in this kernel.
  static Result<std::unique_ptr<AioQueue>> Create(Kernel& kernel, EventLoop& loop,
                                                  WorkerPool& workers, unsigned depth,
                                                  AioStats& stats);
  // Waits, in io_destroy, for what is in flight: the buffers must still be there.
  ~AioQueue() override;
  AioQueue(const AioQueue&) = delete;
  AioQueue& operator=(const AioQueue&) = delete;

  void set_owner(ReadOwner* owner) { owner_ = owner; }

  // Never answers from inside the call.
  void Enqueue(const Read& read);

  void OnCompletion(const Completion& completion) override;

 private:
  class SubmitJob;
  struct Slot {
    iocb control{};
    uint32_t generation = 0;
    bool in_flight = false;
    Read read;
    TimePoint submitted{};
  };

  AioQueue(Kernel& kernel, EventLoop& loop, WorkerPool& workers, io_context_t context,
           unsigned depth, AioStats& stats);
  void RunJob() override;
  std::vector<iocb*> Fill(bool may_block, uint64_t* bytes);
  void Submit(std::vector<iocb*> batch, bool on_worker);
  void Submitted(std::span<iocb*> batch, size_t taken, Error error);
  void PutBack(std::span<iocb*> batch);
  bool LeaveToWorker(const Read& read, int error);
  void MoveToWorker(Read read, int error);
  std::vector<Read> TakeFromLine(int fd);
  Read Release(Slot& slot);
  Slot& SlotOf(const iocb* control);

  Kernel& kernel_;
  EventLoop& loop_;
  WorkerPool& workers_;
  io_context_t context_;
  AioStats& stats_;
  ReadOwner* owner_ = nullptr;
  std::vector<Slot> slots_;  // never grows: iocbs are known by address
  std::vector<uint32_t> free_slots_;
  std::deque<Read> line_;           // submitted by the loop
  std::deque<Read> blocking_line_;  // submitted by a worker
  bool refused_ = false;            // io_submit said EAGAIN: wait for a completion or the timer
  Timer retry_;
};

// io_submit until all are taken or one is refused: how many were taken, and the errno of the first
// that was not (0 if all were). Any thread.
struct SubmitResult {
  size_t taken = 0;
  Error error{};
};
SubmitResult SubmitAll(Kernel& kernel, io_context_t context, std::span<iocb*> batch);

}  // namespace pollux
