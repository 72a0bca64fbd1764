#include "fakes/sleep_watch_kernel.h"

#include <sys/resource.h>

#include <algorithm>

namespace pollux {
namespace {

long VoluntarySwitches() {
  rusage usage;
  return ::getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

}  // namespace

SleepWatchKernel::SleepWatchKernel(Kernel& below)
    : ForwardingKernel(below), loop_thread_(below.gettid()) {}

template <typename Call>
auto SleepWatchKernel::Watched(const char* name, Call call) {
  if (gettid() != loop_thread_) return call();
  const auto now = [this] {
    const timespec t = clock_gettime(CLOCK_MONOTONIC);
    return std::chrono::seconds(t.tv_sec) + Nanoseconds(t.tv_nsec);
  };
  const long before = VoluntarySwitches();
  const Nanoseconds start = now();
  auto result = call();
  const Nanoseconds took = now() - start;
  Record& record = records_[name];
  ++record.calls;
  if (VoluntarySwitches() != before) {
    ++record.slept;
    record.longest = std::max(record.longest, took);
  }
  return result;
}

Result<int> SleepWatchKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  return Watched("openat", [&] { return ForwardingKernel::openat(dirfd, path, flags, mode); });
}
Result<int> SleepWatchKernel::openat2(int dirfd, const char* path, const open_how& how) {
  return Watched("openat2", [&] { return ForwardingKernel::openat2(dirfd, path, how); });
}
Status SleepWatchKernel::close(int fd) {
  return Watched("close", [&] { return ForwardingKernel::close(fd); });
}
Status SleepWatchKernel::fstat(int fd, struct stat* out) {
  return Watched("fstat", [&] { return ForwardingKernel::fstat(fd, out); });
}
Status SleepWatchKernel::statx(int dirfd, const char* path, int flags, unsigned mask,
                               struct statx* out) {
  return Watched("statx", [&] { return ForwardingKernel::statx(dirfd, path, flags, mask, out); });
}
Result<size_t> SleepWatchKernel::read(int fd, void* buf, size_t count) {
  return Watched("read", [&] { return ForwardingKernel::read(fd, buf, count); });
}
Result<size_t> SleepWatchKernel::pread(int fd, void* buf, size_t count, off_t offset) {
  return Watched("pread", [&] { return ForwardingKernel::pread(fd, buf, count, offset); });
}
Result<size_t> SleepWatchKernel::preadv2(int fd, const iovec* iov, int iovcnt, off_t offset,
                                         int flags) {
  return Watched("preadv2",
                 [&] { return ForwardingKernel::preadv2(fd, iov, iovcnt, offset, flags); });
}
Status SleepWatchKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  return Watched("cachestat", [&] { return ForwardingKernel::cachestat(fd, range, out); });
}
Status SleepWatchKernel::posix_fadvise(int fd, off_t offset, off_t len, int advice) {
  return Watched("posix_fadvise",
                 [&] { return ForwardingKernel::posix_fadvise(fd, offset, len, advice); });
}
Result<size_t> SleepWatchKernel::getdents64(int fd, void* buf, size_t count) {
  return Watched("getdents64", [&] { return ForwardingKernel::getdents64(fd, buf, count); });
}
Status SleepWatchKernel::ftruncate(int fd, off_t length) {
  return Watched("ftruncate", [&] { return ForwardingKernel::ftruncate(fd, length); });
}
Status SleepWatchKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  return Watched("fallocate", [&] { return ForwardingKernel::fallocate(fd, mode, offset, len); });
}
Status SleepWatchKernel::munmap(void* addr, size_t length) {
  return Watched("munmap", [&] { return ForwardingKernel::munmap(addr, length); });
}
Result<int> SleepWatchKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  return Watched("accept4", [&] { return ForwardingKernel::accept4(fd, addr, len, flags); });
}
Result<size_t> SleepWatchKernel::recv(int fd, void* buf, size_t len, int flags) {
  return Watched("recv", [&] { return ForwardingKernel::recv(fd, buf, len, flags); });
}
Result<size_t> SleepWatchKernel::send(int fd, const void* buf, size_t len, int flags) {
  return Watched("send", [&] { return ForwardingKernel::send(fd, buf, len, flags); });
}
Result<size_t> SleepWatchKernel::writev(int fd, const iovec* iov, int iovcnt) {
  return Watched("writev", [&] { return ForwardingKernel::writev(fd, iov, iovcnt); });
}
Result<size_t> SleepWatchKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  return Watched("sendfile",
                 [&] { return ForwardingKernel::sendfile(out_fd, in_fd, offset, count); });
}
Result<int> SleepWatchKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  return Watched("io_submit", [&] { return ForwardingKernel::io_submit(ctx, nr, iocbs); });
}
Status SleepWatchKernel::io_cancel(io_context_t ctx, iocb* request, io_event* event) {
  return Watched("io_cancel", [&] { return ForwardingKernel::io_cancel(ctx, request, event); });
}

}  // namespace pollux
