#include "fakes/kernel/aio_context.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/base/check.h"

namespace pollux::sim {
namespace {

// What the modelled file system wants direct reads aligned to.
constexpr size_t kBlockBytes = 512;

}  // namespace

ReadUnderWay::ReadUnderWay(Disk& to_disk, AioContext& of_context, iocb* from)
    : disk(to_disk),
      context(of_context),
      request(from),
      data(from->data),
      buffer(static_cast<char*>(from->u.c.buf)),
      count(from->u.c.nbytes),
      offset(static_cast<size_t>(from->u.c.offset)),
      no_wait((from->aio_rw_flags & RWF_NOWAIT) != 0) {}

Footprint ReadUnderWay::footprint() const {
  Footprint touched = disk.FaultFootprint();
  touched.Write(context.object());
  if (due != TimePoint::min()) touched.Read(kClock);
  if (eventfd != nullptr) touched.Write(eventfd->object);
  if (pinned.file != nullptr) touched.Write(kSharedMemory);
  if (file->inode != nullptr) touched.Read(file->inode->object);
  return touched;
}

void ReadUnderWay::Happen() { disk.Complete(*this); }

void Disk::Start(std::unique_ptr<ReadUnderWay> read) {
  if (options_.read_time > Nanoseconds::zero()) read->due = scheduler_.now() + options_.read_time;
  scheduler_.access().Write(read->context.object(), "an AIO context");
  for (Frame* frame : read->pinned.frames) ++frame->reads;
  read->submitted_by = scheduler_.StackHere();
  ++under_way_;
  read->on_device = modelled() && Refusal(*read) == 0;
  if (read->on_device) {
    const uint64_t place = read->file->inode->pages->place() + read->offset;
    const uint64_t length = std::min(read->count, read->file->inode->size() - read->offset);
    device_->Read(place, length, [this, &done = *read] { Complete(done); });
  } else {
    scheduler_.AddActor(*read);
  }
  read->context.under_way.push_back(std::move(read));
}

void Disk::Complete(ReadUnderWay& read) {
  io_event event{};
  event.data = read.data;
  event.obj = read.request;
  event.res = static_cast<unsigned long>(Transfer(read));
  AioContext& context = read.context;
  scheduler_.access().Write(context.object(), "an AIO context");
  context.ring.push_back(event);
  // The event is in the ring before the eventfd is signalled (fs/aio.c, aio_complete).
  if (read.eventfd != nullptr) {
    scheduler_.access().Write(read.eventfd->object, "an eventfd");
    ++read.eventfd->counter;
  }
  ++completed_;
  --under_way_;
  for (Frame* frame : read.pinned.frames) {
    --frame->reads;
    frames_.Drop(frame);
  }
  if (!read.on_device) scheduler_.RemoveActor(read);
  std::erase_if(context.under_way, [&](const auto& entry) { return entry.get() == &read; });
}

void Disk::ReadPages(uint64_t place, uint64_t length, std::function<void(bool good)> done) {
  ++under_way_;
  device_->Read(place, length, [this, done = std::move(done)] {
    --under_way_;
    const bool bad = faults_left_ > 0 && scheduler_.PickValue("pages: read, EIO", 2) == 1;
    if (bad) {
      --faults_left_;
      ++faults_;
      ++failures_;
    }
    done(!bad);
  });
}

// Why a read does not come to the disk: a negative errno, or 1 if there is nothing to read. 0: it
// does.
long Disk::Refusal(const ReadUnderWay& read) {
  const bool direct = (read.file->flags & O_DIRECT) != 0;
  const auto address = reinterpret_cast<uintptr_t>(read.buffer);
  if (direct && (read.offset | read.count | address) % kBlockBytes != 0) return -EINVAL;
  if (read.count == 0 || read.offset >= read.file->inode->size()) return 1;
  return read.buffer_bad ? -EFAULT : 0;
}

// Bytes, or a negative errno.
long Disk::Transfer(ReadUnderWay& read) {
  scheduler_.access().Read(read.file->inode->object, "a file");
  if (const long refusal = Refusal(read); refusal != 0) return std::min(refusal, 0L);
  size_t there = std::min(read.file->inode->size() - read.offset, read.count);
  // What would have to wait for somebody else (preadv2(2)): an answer, and no fault of the disk.
  if (options_.faults > 0) scheduler_.access().Write(object_, "the disk's faults");
  if (read.no_wait && refusals_left_ > 0 &&
      scheduler_.PickValue("RWF_NOWAIT: taken, refused with EAGAIN", 2) == 1) {
    --refusals_left_;
    return -EAGAIN;
  }
  if (faults_left_ > 0) {
    const size_t fault = scheduler_.PickValue("read: whole, EIO, short", 3);
    if (fault != 0) {
      --faults_left_;
      ++faults_;
    }
    if (fault == 1) {
      ++failures_;
      return -EIO;
    }
    if (fault == 2) there = there / 2 / kBlockBytes * kBlockBytes;
    if (there == 0) ++failures_;  // as if the file ended here: nothing is left to go on with
  }
  if (read.file->inode->content == nullptr) {
    StoreSymbols(read, there);
  } else {
    Store(read, read.file->inode->content->data() + read.offset, there);
  }
  return static_cast<long>(there);
}

void Disk::JudgeStore(const Frame& frame, const ReadUnderWay& read) {
  if (frame.sockets == 0) return;
  scheduler_.Report("page references",
                    "a read was stored into a page that a socket's queue still refers to" +
                        StackTrace::Tell("the page was sent by", frame.sent_by.get()) +
                        StackTrace::Tell("the read was submitted by", read.submitted_by.get()));
}

void Disk::StoreSymbols(ReadUnderWay& read, size_t count) {
  const uint64_t file = read.file->inode->number;
  if (read.pinned.file == nullptr) {
    symbols_.Store(read.buffer, {file, read.offset, count});
    return;
  }
  // A page holds one symbol, that of its start.
  CHECK(read.pinned.offset == 0);
  for (size_t at = 0; at < count; at += kPageBytes) {
    Frame& frame = *read.pinned.frames[at / kPageBytes];
    JudgeStore(frame, read);
    frame.symbolic_data() = {file, read.offset + at, ++generation_};
  }
}

void Disk::Store(ReadUnderWay& read, const char* bytes, size_t count) {
  if (read.pinned.file == nullptr) {
    std::copy_n(bytes, count, read.buffer);
    return;
  }
  // Into the frames that were pinned, whatever page they belong to by now: a hole that was punched
  // meanwhile has another frame, and keeps its zeroes.
  frames_.Writes();
  size_t at = read.pinned.offset;
  for (Frame* frame : read.pinned.frames) {
    const size_t part = std::min(count, kPageBytes - at);
    if (part > 0) JudgeStore(*frame, read);
    std::copy_n(bytes, part, frame->data() + at);
    bytes += part;
    count -= part;
    at = 0;
  }
}

}  // namespace pollux::sim
