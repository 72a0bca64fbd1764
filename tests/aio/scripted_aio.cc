#include "tests/aio/scripted_aio.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "core/base/check.h"

namespace pollux {
namespace {

const auto kContext = reinterpret_cast<io_context_t>(uintptr_t{0x1000});  // never dereferenced

}  // namespace

Result<io_context_t> ScriptedKernel::io_setup(unsigned nr_events) {
  if (setup_error != 0) return Err(setup_error, "io_setup");
  depth = nr_events;
  ++contexts;
  return kContext;
}

Status ScriptedKernel::io_destroy(io_context_t ctx) {
  CHECK(ctx == kContext && contexts > 0);
  --contexts;
  // It waits for what is in flight; until then the device stores into the buffers.
  for (const InFlight& read : in_flight) *static_cast<volatile char*>(read.request.u.c.buf) = 1;
  in_flight.clear();
  return {};
}

Result<int> ScriptedKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  CHECK(ctx == kContext && contexts > 0 && nr > 0);
  batches.push_back(static_cast<size_t>(nr));
  Result<int> answer = static_cast<int>(nr);
  if (!submit_answers.empty()) {
    answer = submit_answers.front();
    submit_answers.pop_front();
  }
  for (int i = 0; answer && i < *answer; ++i) in_flight.push_back({iocbs[i], *iocbs[i]});
  if (inside_submit) inside_submit();
  return answer;
}

Result<int> ScriptedKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  if (std::string_view(path).starts_with("/sys/")) return OpenReadAhead();
  if ((flags & O_DIRECT) == 0) return ForwardingKernel::openat(dirfd, path, flags, mode);
  ++direct_opens;
  if (direct_open_eintrs > 0) {
    --direct_open_eintrs;
    return Err(EINTR, "openat");
  }
  if (direct_open_error != 0) return Err(direct_open_error, "openat");
  return ForwardingKernel::openat(dirfd, path, flags, mode);
}

Result<int> ScriptedKernel::OpenReadAhead() {
  if (!read_ahead_kib) return Err(ENOENT, "openat");
  auto fd = ForwardingKernel::memfd_create("read_ahead_kb", MFD_CLOEXEC);
  const std::string text = std::to_string(*read_ahead_kib) + "\n";
  if (fd) CHECK(::pwrite(*fd, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size()));
  return fd;
}

Status ScriptedKernel::statx(int dirfd, const char* path, int flags, unsigned mask,
                             struct statx* out) {
  Status status = ForwardingKernel::statx(dirfd, path, flags, mask, out);
  if (status && dioalign) {
    out->stx_mask |= STATX_DIOALIGN;
    out->stx_dio_offset_align = *dioalign;
    out->stx_dio_mem_align = *dioalign;
  }
  return status;
}

Status ScriptedKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  if (fallocate_error != 0) return Err(fallocate_error, "fallocate");
  return ForwardingKernel::fallocate(fd, mode, offset, len);
}

Status ScriptedKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  if (!cached) return ForwardingKernel::cachestat(fd, range, out);
  *out = {};
  for (uint64_t at = AlignDown(range.off, 4096); at < range.off + range.len; at += 4096) {
    if (cached(at)) ++out->nr_cache;
  }
  return {};
}

Result<size_t> ScriptedKernel::preadv2(int fd, const iovec* iov, int iovcnt, off_t offset,
                                       int flags) {
  if (cached && (flags & RWF_NOWAIT) != 0 &&
      !cached(AlignDown(static_cast<uint64_t>(offset), 4096))) {
    return Err(EAGAIN, "preadv2");
  }
  return ForwardingKernel::preadv2(fd, iov, iovcnt, offset, cached ? 0 : flags);
}

timespec ScriptedKernel::clock_gettime(clockid_t clock) {
  if (clock != CLOCK_MONOTONIC) return ForwardingKernel::clock_gettime(clock);
  const auto ns = now.time_since_epoch().count();
  return {ns / 1'000'000'000, ns % 1'000'000'000};
}

Result<ThreadId> ScriptedKernel::thread_create(const char*, std::function<void()>) {
  return Err(EAGAIN, "pthread_create");
}

Status ScriptedCoordination::BeforeSubmit(std::span<iocb*> iocbs) {
  if (refuse_submit != 0) return Err(refuse_submit, "pthread_create");
  pending += iocbs.size();
  return {};
}

void ScriptedCoordination::SubmitFailed(size_t count) {
  CHECK(pending >= count);
  pending -= count;
  withdrawn += count;
}

Result<size_t> ScriptedCoordination::Wait(std::span<FdReady>, std::optional<Nanoseconds> timeout) {
  if (!completions_.empty()) return size_t{0};
  TimePoint wake = kernel_.now;
  if (timeout) wake += *timeout;
  if (sleep_until && (!timeout || wake > *sleep_until)) wake = *sleep_until;
  kernel_.now = std::max(kernel_.now, wake);
  return size_t{0};
}

size_t ScriptedCoordination::Collect(std::span<Completion> out) {
  const size_t count = std::min(out.size(), completions_.size());
  for (size_t i = 0; i < count; ++i) {
    out[i] = completions_.front();
    completions_.pop_front();
  }
  CHECK(pending >= count);
  pending -= count;
  return count;
}

// The scripted Wait looks at no descriptor.
class ScriptedAio::NoDescriptors final : public FdeventHandler {
 public:
  const char* name() const override { return "none"; }
  Status Add(int, uint32_t, uint64_t) override { return Err(ENOSYS, "scripted"); }
  Status Modify(int, uint32_t, uint64_t) override { return Err(ENOSYS, "scripted"); }
  void Remove(int) override {}
  Result<size_t> Wait(std::span<FdReady>, std::optional<Nanoseconds>, const sigset_t*) override {
    return size_t{0};
  }
};

ScriptedAio::ScriptedAio()
    : handler_(std::make_unique<NoDescriptors>()),
      loop_(std::make_unique<EventLoop>(kernel_, *handler_, coordination_)),
      workers_(std::make_unique<WorkerPool>(kernel_, *loop_, 4)) {}

ScriptedAio::~ScriptedAio() = default;

void ScriptedAio::Turn(int turns) {
  for (int i = 0; i < turns; ++i) ASSERT_TRUE(loop_->RunOnce());
}

void ScriptedAio::Pass(Nanoseconds time) {
  const TimePoint until = kernel_.now + time;
  coordination_.sleep_until = until;
  while (kernel_.now < until) Turn();
  Turn(4);  // what follows from it
  coordination_.sleep_until.reset();
}

void ScriptedAio::Complete(size_t i, long res) {
  ASSERT_LT(i, kernel_.in_flight.size());
  const ScriptedKernel::InFlight read = kernel_.in_flight[i];
  kernel_.in_flight.erase(kernel_.in_flight.begin() + static_cast<ptrdiff_t>(i));
  io_event event{};
  event.data = read.request.data;
  event.obj = read.address;
  event.res = static_cast<unsigned long>(res);
  coordination_.Complete(event);
}

void ScriptedAio::CompleteFromFile(size_t i, uint64_t max) {
  ASSERT_LT(i, kernel_.in_flight.size());
  const iocb& request = kernel_.in_flight[i].request;
  ASSERT_EQ(request.aio_lio_opcode, IO_CMD_PREAD);
  // By way of another buffer: what a short read does not report it does not store either.
  const std::unique_ptr<char, decltype(&std::free)> bytes(
      static_cast<char*>(std::aligned_alloc(4096, AlignUp(request.u.c.nbytes, 4096))), &std::free);
  const ssize_t got =
      ::pread(request.aio_fildes, bytes.get(), request.u.c.nbytes, request.u.c.offset);
  if (got < 0) return Complete(i, -errno);
  const size_t kept = std::min<uint64_t>(static_cast<size_t>(got), max);
  std::memcpy(request.u.c.buf, bytes.get(), kept);
  Complete(i, static_cast<long>(kept));
}

void ScriptedAio::CompleteAll() {
  do {
    while (!kernel_.in_flight.empty()) CompleteFromFile(0);
    Turn(3);
  } while (!kernel_.in_flight.empty());
}

}  // namespace pollux
