// A Kernel that notices when the loop's thread goes to sleep inside a call that is not its wait: a
// cold open, a read from disk, a submission that has to fetch the file's extents. Whether a call
// slept is told by the kernel (getrusage(2), voluntary context switches of the thread) and not by
// how long it took, so that a busy machine does not look like a blocked loop.
//
// Watched are the calls on files, buffers and sockets, and io_submit; not the three waits, whose
// sleep is the loop's own. Sleeps on a contended lock of the seam are not seen.
//
// The thread that makes the SleepWatchKernel is the loop's. Calls of other threads pass by.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "core/base/units.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {

class SleepWatchKernel final : public ForwardingKernel {
 public:
  struct Record {
    uint64_t calls = 0;
    uint64_t slept = 0;     // of these, gave up the processor at least once
    Nanoseconds longest{};  // of those that slept
  };

  explicit SleepWatchKernel(Kernel& below);

  // By the call's name. Loop thread.
  const std::map<std::string_view, Record>& records() const { return records_; }

  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override;
  Status close(int fd) override;
  Status fstat(int fd, struct stat* out) override;
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override;
  Result<size_t> read(int fd, void* buf, size_t count) override;
  Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) override;
  Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) override;
  Status cachestat(int fd, const CachestatRange& range, Cachestat* out) override;
  Status posix_fadvise(int fd, off_t offset, off_t len, int advice) override;
  Result<size_t> getdents64(int fd, void* buf, size_t count) override;
  Status ftruncate(int fd, off_t length) override;
  Status fallocate(int fd, int mode, off_t offset, off_t len) override;
  Status munmap(void* addr, size_t length) override;
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override;
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override;
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override;
  Result<size_t> writev(int fd, const iovec* iov, int iovcnt) override;
  Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) override;
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override;
  Status io_cancel(io_context_t ctx, iocb* request, io_event* event) override;

 private:
  template <typename Call>
  auto Watched(const char* name, Call call);

  const pid_t loop_thread_;
  std::map<std::string_view, Record> records_;
};

}  // namespace pollux
