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
  RingHolds(const AccessCheck& access, const AioContext& context, size_t count)
      : access_(access), context_(context), count_(count) {}
  bool Holds() const override {
    access_.Read(context_.object(), "an AIO context");
    return context_.ring.size() >= count_ || context_.dead;
  }

 private:
  const AccessCheck& access_;
  const AioContext& context_;
  const size_t count_;
};

class NothingUnderWay final : public Condition {
 public:
  NothingUnderWay(const AccessCheck& access, const AioContext& context)
      : access_(access), context_(context) {}
  bool Holds() const override {
    access_.Read(context_.object(), "an AIO context");
    return context_.under_way.empty();
  }

 private:
  const AccessCheck& access_;
  const AioContext& context_;
};

// The event set of one: io_setup(2) promises at least what was asked for, and Linux rounds up.
constexpr unsigned kEventsMin = 16;

}  // namespace

// Null: there is none, or none any more.
std::shared_ptr<AioContext> SimKernel::Find(io_context_t ctx) const {
  const auto number = reinterpret_cast<uintptr_t>(ctx);
  if (number < 1 || number > contexts_.size()) return nullptr;
  const std::shared_ptr<AioContext>& context = contexts_[number - 1];
  return context != nullptr && !context->dead ? context : nullptr;
}

Result<io_context_t> SimKernel::io_setup(unsigned nr_events) {
  Call call(*this, "io_setup", Opening());
  scheduler_.access().Write(kDescriptorTable, "the AIO contexts");
  if (nr_events == 0) return Err(EINVAL, "io_setup");
  contexts_.push_back(
      std::make_shared<AioContext>(std::max(nr_events, kEventsMin), scheduler_.NewObject()));
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a handle, never followed
  return reinterpret_cast<io_context_t>(static_cast<uintptr_t>(contexts_.size()));
}

Status SimKernel::io_destroy(io_context_t ctx) {
  Footprint footprint = Opening().Add(signals_.ReceiptFootprint(scheduler_.current()));
  if (Find(ctx) != nullptr) footprint.Write(Find(ctx)->object());
  Call call(*this, "io_destroy", footprint);
  const std::shared_ptr<AioContext> context = Find(ctx);
  if (context == nullptr) return Err(EINVAL, "io_destroy");
  // Whoever waits for its events is woken at once (fs/aio.c, kill_ioctx).
  scheduler_.access().Write(context->object(), "an AIO context");
  context->dead = true;
  const NothingUnderWay done(scheduler_.access(), *context);
  scheduler_.WaitFor("io_destroy", footprint, done);
  contexts_[reinterpret_cast<uintptr_t>(ctx) - 1] = nullptr;
  return {};
}

// 0, or a negative errno.
int SimKernel::SubmitOne(AioContext& context, iocb* request) {
  if (request->aio_lio_opcode != IO_CMD_PREAD) NotModelled("io_submit of anything but a read");
  // What kind of thing a descriptor refers to does not change: At, not Find.
  scheduler_.access().Read(kDescriptorTable, "the descriptor table");
  if (At(static_cast<int>(request->aio_fildes)) == nullptr) return -EBADF;
  if ((request->aio_rw_flags & ~RWF_NOWAIT) != 0) NotModelled("io_submit with this aio_rw_flags");
  auto read = std::make_unique<ReadUnderWay>(disk_, context, request);
  read->file = table_[request->aio_fildes];
  if (read->file->inode == nullptr || read->file->inode->kind != Inode::Kind::kRegular) {
    NotModelled("io_submit of a read from anything but a file on the disk");
  }
  constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD
  if ((request->u.c.flags & kResfd) != 0) {
    const Description* counter = At(static_cast<int>(request->u.c.resfd));
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
  footprint.Read(kDescriptorTable).Write(kSharedMemory).Add(LooksAtTheClock()).Add(UsesDisk());
  if (Find(ctx) != nullptr) footprint.Write(Find(ctx)->object());
  Call call(*this, "io_submit", footprint);
  const std::shared_ptr<AioContext> context = Find(ctx);
  if (context == nullptr || nr < 0) return Err(EINVAL, "io_submit");
  tsan::Release(context.get());
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
  const std::shared_ptr<AioContext> context = Find(ctx);
  Footprint footprint;
  if (context != nullptr) footprint.Read(context->object());
  Call call(*this, "io_cancel", footprint);
  return Err(EINVAL, "io_cancel");
}

Result<int> SimKernel::GetEvents(const char* name, io_context_t ctx, long min_nr, long nr,
                                 io_event* events, const timespec* timeout,
                                 const sigset_t* sigmask) {
  const std::shared_ptr<AioContext> known = Find(ctx);  // kept by the call, whoever destroys it
  Footprint footprint;
  if (known != nullptr) footprint.Write(known->object());
  if (known == nullptr || min_nr < 0 || min_nr > nr) {
    Call call(*this, name, footprint);
    return Err(EINVAL, name);
  }
  if (sigmask != nullptr) footprint.Add(signals_.WaitFootprint(scheduler_.current(), *sigmask));
  std::optional<Nanoseconds> at_most;
  if (timeout != nullptr) {
    at_most = std::chrono::seconds(timeout->tv_sec) + std::chrono::nanoseconds(timeout->tv_nsec);
  }
  // libaio compares the ring's head and tail itself: with nothing there and no time to wait it does
  // not enter the kernel, opens no mask and takes no signal.
  if (at_most == Nanoseconds::zero()) {
    Call call(*this, name, footprint);
    const int count = Reap(*known, nr, events);
    if (count == 0 || sigmask == nullptr) return count;
    WaitMask mask(call.self());
    mask.Open(sigmask);
    (void)mask.Deliver(signals_);
    return count;
  }
  if (timeout != nullptr) footprint.Add(LooksAtTheClock());
  const RingHolds enough(scheduler_.access(), *known, static_cast<size_t>(min_nr));
  Call call(*this, name, footprint, sigmask, enough, at_most.value_or(kForEver));
  const int count = Reap(*known, nr, events);
  if (count == 0 && known->dead) return Err(EINVAL, name);
  // Events and handlers both: only a return without events is EINTR.
  const bool interrupted = (sigmask != nullptr || count == 0) && call.Interrupted();
  if (interrupted && count == 0) return Err(EINTR, name);
  return count;
}

int SimKernel::Reap(AioContext& context, long nr, io_event* events) {
  scheduler_.access().Write(context.object(), "an AIO context");
  if (!context.ring.empty()) tsan::Acquire(&context);
  int count = 0;
  for (; count < nr && !context.ring.empty(); ++count) {
    events[count] = context.ring.front();
    context.ring.pop_front();
  }
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
