// Linux AIO through libaio (fs/aio.c): contexts, submission, reaping.
#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"
#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

class RingHolds final : public Condition {
 public:
  RingHolds(const AioContext& context, size_t count) : context_(context), count_(count) {}
  bool Holds() const override { return context_.ring.size() >= count_; }

 private:
  const AioContext& context_;
  const size_t count_;
};

class NothingUnderWay final : public Condition {
 public:
  explicit NothingUnderWay(const AioContext& context) : context_(context) {}
  bool Holds() const override { return context_.under_way.empty(); }

 private:
  const AioContext& context_;
};

// The event set of one: io_setup(2) promises at least what was asked for, and Linux rounds up.
constexpr unsigned kEventsMin = 16;

}  // namespace

AioContext* SimKernel::Find(io_context_t ctx) const {
  const auto number = reinterpret_cast<uintptr_t>(ctx);
  return number >= 1 && number <= contexts_.size() ? contexts_[number - 1].get() : nullptr;
}

Result<io_context_t> SimKernel::io_setup(unsigned nr_events) {
  Call call(*this, "io_setup", Opening());
  if (nr_events == 0) return Err(EINVAL, "io_setup");
  contexts_.push_back(
      std::make_unique<AioContext>(std::max(nr_events, kEventsMin), scheduler_.NewObject()));
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a handle, never followed
  return reinterpret_cast<io_context_t>(static_cast<uintptr_t>(contexts_.size()));
}

Status SimKernel::io_destroy(io_context_t ctx) {
  Footprint footprint = Opening();
  AioContext* context = Find(ctx);
  if (context != nullptr) footprint.Write(context->object());
  Call call(*this, "io_destroy", footprint);
  if (context == nullptr) return Err(EINVAL, "io_destroy");
  const NothingUnderWay done(*context);
  while (!done.Holds()) scheduler_.Sleep("io_destroy", footprint, &done, kNever);
  contexts_[reinterpret_cast<uintptr_t>(ctx) - 1] = nullptr;
  return {};
}

// 0, or a negative errno.
int SimKernel::SubmitOne(AioContext& context, iocb* request) {
  if (request->aio_lio_opcode != IO_CMD_PREAD) NotModelled("io_submit of anything but a read");
  if (Find(request->aio_fildes) == nullptr) return -EBADF;
  if ((request->aio_rw_flags & ~RWF_NOWAIT) != 0) NotModelled("io_submit with this aio_rw_flags");
  auto read = std::make_unique<ReadUnderWay>(disk_, context, request);
  read->file = table_[request->aio_fildes];
  if (read->file->inode == nullptr || read->file->inode->kind != Inode::Kind::kRegular) {
    NotModelled("io_submit of a read from anything but a file on the disk");
  }
  constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD
  if ((request->u.c.flags & kResfd) != 0) {
    const Description* counter = Find(static_cast<int>(request->u.c.resfd));
    if (counter == nullptr) return -EBADF;
    if (counter->kind != Description::Kind::kEventfd) return -EINVAL;
    read->eventfd = table_[request->u.c.resfd];
  }
  if (context.full()) return -EAGAIN;
  // The kernel's own events are shared with other contexts, and it gives none away while memory is
  // short (fs/aio.c, get_reqs_available).
  if (submit_refusals_left_ > 0 &&
      scheduler_.PickValue("io_submit: taken, refused with EAGAIN", 2) == 1) {
    --submit_refusals_left_;
    return -EAGAIN;
  }
  const Region* region = RegionOf(read->buffer);
  if (region != nullptr) read->buffer_bad = !region->writable;
  if (region != nullptr && region->inode != nullptr && read->count > 0) {
    MemoryFile& memory = *region->inode->memory;
    const size_t start = region->offset + static_cast<size_t>(read->buffer - region->address);
    read->pinned.file = &memory;
    read->pinned.offset = start % kPageBytes;
    const size_t last = (start + read->count - 1) / kPageBytes;
    for (size_t page = start / kPageBytes; page <= last; ++page) {
      read->pinned.frames.push_back(memory.FrameOf(page));
    }
  }
  disk_.Start(std::move(read));
  return 0;
}

Result<int> SimKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  Footprint footprint;
  footprint.Read(kDescriptorTable).Write(kSharedMemory).Add(LooksAtTheClock());
  AioContext* context = Find(ctx);
  if (context != nullptr) footprint.Write(context->object());
  Call call(*this, "io_submit", footprint);
  if (context == nullptr || nr < 0) return Err(EINVAL, "io_submit");
  for (int i = 0; i < nr; ++i) {
    const int code = SubmitOne(*context, iocbs[i]);
    if (code == 0) continue;
    if (i == 0) return Err(-code, "io_submit");
    return i;
  }
  return static_cast<int>(nr);
}

// Reads cannot be cancelled, as on every file system of Linux: EINVAL.
Status SimKernel::io_cancel(io_context_t ctx, iocb*, io_event*) {
  AioContext* context = Find(ctx);
  Footprint footprint;
  if (context != nullptr) footprint.Read(context->object());
  Call call(*this, "io_cancel", footprint);
  return Err(EINVAL, "io_cancel");
}

Result<int> SimKernel::GetEvents(const char* name, io_context_t ctx, long min_nr, long nr,
                                 io_event* events, const timespec* timeout,
                                 const sigset_t* sigmask) {
  SimThread& self = scheduler_.current();
  AioContext* context = Find(ctx);
  Footprint footprint;
  if (context != nullptr) footprint.Write(context->object());
  // libaio compares the ring's head and tail itself: with nothing there and no time to wait it does
  // not enter the kernel, opens no mask and takes no signal.
  const bool no_wait = timeout != nullptr && timeout->tv_sec == 0 && timeout->tv_nsec == 0;
  const bool looks_only = no_wait && context != nullptr && context->ring.empty();
  if (sigmask != nullptr && !looks_only) footprint.Add(signals_.DeliveryFootprint(self));
  if (timeout != nullptr && !no_wait) footprint.Add(LooksAtTheClock());
  Call call(*this, name, footprint);
  if (context == nullptr || min_nr < 0 || min_nr > nr) return Err(EINVAL, name);
  if (no_wait && context->ring.empty()) return 0;
  WaitMask mask(self, sigmask);
  const RingHolds enough(*context, static_cast<size_t>(min_nr));
  if (!enough.Holds() && !no_wait && !signals_.Deliverable(self)) {
    TimePoint deadline = kNever;
    if (timeout != nullptr) {
      deadline = scheduler_.now() + std::chrono::seconds(timeout->tv_sec) +
                 std::chrono::nanoseconds(timeout->tv_nsec);
    }
    scheduler_.Sleep(name, footprint, &enough, deadline);
  }
  int count = 0;
  for (; count < nr && !context->ring.empty(); ++count) {
    events[count] = context->ring.front();
    context->ring.pop_front();
  }
  // Events and handlers both: only a return without events is EINTR.
  const bool interrupted = (sigmask != nullptr || count == 0) && mask.Deliver(signals_);
  if (interrupted && count == 0) return Err(EINTR, name);
  return count;
}

Result<int> SimKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                    const timespec* timeout) {
  return GetEvents("io_getevents", ctx, min_nr, nr, events, timeout, nullptr);
}

Result<int> SimKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                     const timespec* timeout, const sigset_t* sigmask) {
  return GetEvents("io_pgetevents", ctx, min_nr, nr, events, timeout, sigmask);
}

}  // namespace pollux::sim
