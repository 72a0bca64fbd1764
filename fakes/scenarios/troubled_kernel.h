// A kernel on which calls fail or do less than they were asked for, if the choices say so: which of
// them, and how, is part of the execution and is replayed and shrunk with it.
//
// What fails is not made: an errno comes back in the place of the call. Errnos are those that the
// call's man page lists for shortages, broken disks and broken connections, and never those that
// would be a lie (EAGAIN of a socket that is ready) or that a signal has to come for (EINTR).
// close() does not fail: it would leak what it did not close.
#pragma once

#include <initializer_list>
#include <optional>
#include <set>

#include "fakes/forwarding_kernel.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

class TroubledKernel final : public ForwardingKernel {
 public:
  // `calls_max` calls may fail. With 0 no choice is asked for.
  TroubledKernel(Kernel& to, Scheduler& scheduler, int calls_max)
      : ForwardingKernel(to), scheduler_(scheduler), left_(calls_max) {}

  // Calls that failed.
  int failed() const { return failed_; }

  Status close(int fd) override;
  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override;
  Status fstat(int fd, struct stat* out) override;
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override;
  Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) override;
  Result<size_t> write(int fd, const void* buf, size_t count) override;
  Status cachestat(int fd, const CachestatRange& range, Cachestat* out) override;
  Result<size_t> getdents64(int fd, void* buf, size_t count) override;
  Result<int> memfd_create(const char* name, unsigned flags) override;
  Status fallocate(int fd, int mode, off_t offset, off_t len) override;
  Result<void*> mmap(void* addr, size_t length, int prot, int flags, int fd, off_t offset) override;
  Result<int> socket(int domain, int type, int protocol) override;
  Status bind(int fd, const sockaddr* addr, socklen_t len) override;
  Status listen(int fd, int backlog) override;
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override;
  Status setsockopt(int fd, int level, int name, const void* value, socklen_t len) override;
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override;
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override;
  Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) override;
  Result<int> epoll_create1(int flags) override;
  Status epoll_ctl(int epfd, int op, int fd, epoll_event* event) override;
  Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                    const sigset_t* sigmask) override;
  Result<int> eventfd(unsigned initval, int flags) override;
  Result<io_context_t> io_setup(unsigned nr_events) override;
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override;
  Status setrlimit(int resource, const rlimit& limit) override;
  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override;

 private:
  // The error in the place of the call, if it fails. `operation` has static storage duration.
  std::optional<Error> Fails(const char* operation, std::initializer_list<int> errnos);
  // How much of `count` is asked for.
  size_t Shortened(const char* operation, size_t count);

  Scheduler& scheduler_;
  std::set<int> eventfds_;  // whose counts are never refused
  int left_;
  int failed_ = 0;
};

}  // namespace pollux::sim
