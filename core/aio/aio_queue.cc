#include "core/aio/aio_queue.h"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "core/aio/chunk.h"
#include "core/base/check.h"

namespace pollux {
namespace {

// What travels with an iocb through the kernel and back: io_event::data.
void* Tag(uint32_t generation, uint32_t slot) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a number in a pointer's clothes, never followed
  return reinterpret_cast<void*>(static_cast<uintptr_t>(generation) << 32 | slot);
}

}  // namespace

SubmitResult SubmitAll(Kernel& kernel, io_context_t context, std::span<iocb*> batch) {
  size_t taken = 0;
  while (taken < batch.size()) {
    auto n =
        kernel.io_submit(context, static_cast<long>(batch.size() - taken), batch.data() + taken);
    // A short count says nothing of why; asking again for the rest brings the reason out.
    if (n && *n > 0) {
      taken += static_cast<size_t>(*n);
      continue;
    }
    if (!n && n.error().code == EINTR) continue;  // not documented, and harmless to repeat
    return {taken, n ? Error{EAGAIN, "io_submit"} : n.error()};
  }
  return {taken, {}};
}

class AioQueue::SubmitJob final : public WorkerJob {
 public:
  SubmitJob(AioQueue& queue, std::vector<iocb*> batch) : queue_(queue), batch_(std::move(batch)) {}
  // Completions may be dispatched by the loop before this returns: all that is recorded of them was
  // recorded before the job was given away. io_submit copies each iocb as it takes it.
  void RunOnWorker(Kernel& kernel) override {
    result_ = SubmitAll(kernel, queue_.context_, batch_);
  }
  void Done() override { queue_.Submitted(batch_, result_.taken, result_.error); }

 private:
  AioQueue& queue_;
  std::vector<iocb*> batch_;
  SubmitResult result_;
};

Result<std::unique_ptr<AioQueue>> AioQueue::Create(Kernel& kernel, EventLoop& loop,
                                                   WorkerPool& workers, unsigned depth,
                                                   AioStats& stats) {
  CHECK(depth > 0);
  auto context = kernel.io_setup(depth);
  if (!context) return Err(context.error());
  return std::unique_ptr<AioQueue>(new AioQueue(kernel, loop, workers, *context, depth, stats));
}

AioQueue::AioQueue(Kernel& kernel, EventLoop& loop, WorkerPool& workers, io_context_t context,
                   unsigned depth, AioStats& stats)
    : kernel_(kernel),
      loop_(loop),
      workers_(workers),
      context_(context),
      stats_(stats),
      slots_(depth),
      retry_([this] {
        refused_ = false;
        loop_.Post(*this);
      }) {
  for (uint32_t i = depth; i-- > 0;) free_slots_.push_back(i);
  loop_.SetCompletionHandler(this);
  loop_.coordination().Attach(context_, depth);
}

AioQueue::~AioQueue() {
  loop_.SetCompletionHandler(nullptr);
  // EINVAL would mean that the context is not ours: impossible, and nothing could be done.
  (void)kernel_.io_destroy(context_);
}

void AioQueue::Enqueue(const Read& read) {
  (read.may_block ? blocking_line_ : line_).push_back(read);
  ++stats_.reads_queued;
  loop_.Post(*this);
}

void AioQueue::RunJob() {
  if (refused_) return;
  uint64_t unlimited = ~uint64_t{0};
  if (auto batch = Fill(true, &unlimited); !batch.empty()) Submit(std::move(batch), true);
  uint64_t budget = kSubmitBytesPerTurn;
  if (auto batch = Fill(false, &budget); !batch.empty()) Submit(std::move(batch), false);
  // A batch that failed at once gave its slots back, and no completion will come for it.
  if (!refused_ && !free_slots_.empty() && !(line_.empty() && blocking_line_.empty())) {
    loop_.Post(*this);
  }
}

std::vector<iocb*> AioQueue::Fill(bool may_block, uint64_t* bytes) {
  std::deque<Read>& line = may_block ? blocking_line_ : line_;
  std::vector<iocb*> batch;
  while (!line.empty() && !free_slots_.empty()) {
    // At least one, however large a chunk is.
    if (!batch.empty() && line.front().length > *bytes) break;
    const uint32_t index = free_slots_.back();
    free_slots_.pop_back();
    Slot& slot = slots_[index];
    slot.read = line.front();
    line.pop_front();
    slot.in_flight = true;
    slot.submitted = slot.read.submitted.value_or(loop_.now());
    io_prep_pread(&slot.control, slot.read.fd, slot.read.buffer, slot.read.length,
                  static_cast<long long>(slot.read.offset));
    if (!may_block) slot.control.aio_rw_flags = RWF_NOWAIT;
    slot.control.data = Tag(slot.generation, index);
    *bytes -= std::min<uint64_t>(*bytes, slot.read.length);
    --stats_.reads_queued;
    ++stats_.reads_in_flight;
    batch.push_back(&slot.control);
  }
  return batch;
}

void AioQueue::Submit(std::vector<iocb*> batch, bool on_worker) {
  if (auto ready = loop_.coordination().BeforeSubmit(batch); !ready) {
    // No thread for the helper (EAGAIN): without one nobody would see the completions.
    for (iocb* control : batch) {
      const Read read = Release(SlotOf(control));
      owner_->OnRead(*read.chunk, Err(ready.error()));
    }
    return;
  }
  if (on_worker) {
    workers_.Run(std::make_unique<SubmitJob>(*this, std::move(batch)));
    return;
  }
  const SubmitResult result = SubmitAll(kernel_, context_, batch);
  Submitted(batch, result.taken, result.error);
}

void AioQueue::Submitted(std::span<iocb*> batch, size_t taken, Error error) {
  stats_.reads_submitted += taken;
  if (taken == batch.size()) return;
  std::span<iocb*> rest = batch.subspan(taken);
  loop_.coordination().SubmitFailed(rest.size());
  if (error.code == EAGAIN || error.code == ENOMEM) {
    // The table is full (other contexts share it) or memory is short: both pass.
    ++stats_.submit_again;
    PutBack(rest);
    refused_ = true;
    loop_.timers().Arm(retry_, loop_.now() + kSubmitRetry);
    return;
  }
  // EINVAL, EBADF, EFAULT, EOPNOTSUPP: the first of the rest is at fault, the others go out again.
  PutBack(rest.subspan(1));
  const Read read = Release(SlotOf(rest.front()));
  loop_.Post(*this);
  if (!LeaveToWorker(read, error.code)) owner_->OnRead(*read.chunk, Err(error));
}

// True if the read may only have failed because the loop does not wait: EAGAIN, or EOPNOTSUPP from
// a file system that does not know RWF_NOWAIT. A worker asks again without it, and in the second
// case for every other read of this file that would only be refused in its turn.
bool AioQueue::LeaveToWorker(const Read& read, int error) {
  if (read.may_block || (error != EAGAIN && error != EOPNOTSUPP)) return false;
  MoveToWorker(read, error);
  if (error == EOPNOTSUPP) {
    for (const Read& other : TakeFromLine(read.fd)) MoveToWorker(other, error);
  }
  return true;
}

void AioQueue::MoveToWorker(Read read, int error) {
  if (!owner_->OnWouldBlock(*read.chunk, error)) return;
  ++stats_.reads_left_to_workers;
  read.may_block = true;
  Enqueue(read);
}

std::vector<AioQueue::Read> AioQueue::TakeFromLine(int fd) {
  const auto same = std::stable_partition(line_.begin(), line_.end(),
                                          [fd](const Read& read) { return read.fd != fd; });
  std::vector<Read> taken(same, line_.end());
  line_.erase(same, line_.end());
  stats_.reads_queued -= taken.size();
  return taken;
}

void AioQueue::PutBack(std::span<iocb*> batch) {
  for (size_t i = batch.size(); i-- > 0;) {
    const Read read = Release(SlotOf(batch[i]));
    (read.may_block ? blocking_line_ : line_).push_front(read);
    ++stats_.reads_queued;
  }
}

AioQueue::Read AioQueue::Release(Slot& slot) {
  CHECK(slot.in_flight);
  slot.in_flight = false;
  ++slot.generation;
  --stats_.reads_in_flight;
  free_slots_.push_back(static_cast<uint32_t>(&slot - slots_.data()));
  return slot.read;
}

AioQueue::Slot& AioQueue::SlotOf(const iocb* control) {
  const auto tag = reinterpret_cast<uintptr_t>(control->data);
  return slots_[static_cast<uint32_t>(tag)];
}

void AioQueue::OnCompletion(const Completion& completion) {
  const auto tag = reinterpret_cast<uintptr_t>(completion.event.data);
  const auto index = static_cast<uint32_t>(tag);
  const auto generation = static_cast<uint32_t>(tag >> 32);
  CHECK(index < slots_.size());
  Slot& slot = slots_[index];
  if (!slot.in_flight || slot.generation != generation) {
    ++stats_.stale_completions;
    return;
  }
  Read read = Release(slot);
  read.submitted = slot.submitted;
  refused_ = false;  // a completion made room
  if (!line_.empty() || !blocking_line_.empty()) loop_.Post(*this);

  // io_event::res is an unsigned long that holds a count or -errno.
  const auto res = static_cast<long>(completion.event.res);
  if (res < 0 && LeaveToWorker(read, static_cast<int>(-res))) return;
  stats_.read_latency.Record(loop_.now() - *read.submitted);
  ++stats_.reads_completed;
  if (res < 0) {
    owner_->OnRead(*read.chunk, Err(static_cast<int>(-res), "io_getevents"));
  } else {
    stats_.bytes_read += static_cast<uint64_t>(res);
    owner_->OnRead(*read.chunk, static_cast<size_t>(res));
  }
}

}  // namespace pollux
