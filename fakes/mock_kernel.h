// GoogleMock of the seam: for tests that say which calls must happen, and what each errno leads to.
//
//   StrictMock<MockKernel> kernel;                 // exactly these calls
//   EXPECT_CALL(kernel, accept4).WillOnce(Return(Err(EMFILE, "accept4")));
//
//   LinuxKernel linux;
//   NiceMock<MockKernel> kernel;
//   kernel.DelegateTo(linux);                      // the real thing ...
//   ON_CALL(kernel, io_setup).WillByDefault(Return(Err(EAGAIN, "io_setup")));  // ... but for this
//
// Without DelegateTo an unexpected call returns a value-initialised result, as GoogleMock does.
// Call it before any ON_CALL of your own: of several, the latest wins.
#pragma once

#include <gmock/gmock.h>

#include "core/sys/kernel.h"

namespace pollux {

class MockKernel : public Kernel {
 public:
  // Out of line, or every test would compile some sixty mockers.
  MockKernel();
  ~MockKernel() override;

  // Every call goes to `kernel` unless expected or set otherwise. `kernel` outlives the mock.
  void DelegateTo(Kernel& kernel);

  MOCK_METHOD(Result<int>, openat, (int dirfd, const char* path, int flags, mode_t mode),
              (override));
  MOCK_METHOD(Result<int>, openat2, (int dirfd, const char* path, const open_how& how), (override));
  MOCK_METHOD(Status, close, (int fd), (override));
  MOCK_METHOD(Status, fstat, (int fd, struct stat* out), (override));
  MOCK_METHOD(Status, statx,
              (int dirfd, const char* path, int flags, unsigned mask, struct statx* out),
              (override));
  MOCK_METHOD(Result<size_t>, read, (int fd, void* buf, size_t count), (override));
  MOCK_METHOD(Result<size_t>, pread, (int fd, void* buf, size_t count, off_t offset), (override));
  MOCK_METHOD(Result<size_t>, preadv2,
              (int fd, const iovec* iov, int iovcnt, off_t offset, int flags), (override));
  MOCK_METHOD(Result<size_t>, write, (int fd, const void* buf, size_t count), (override));
  MOCK_METHOD(Status, cachestat, (int fd, const CachestatRange& range, Cachestat* out), (override));
  MOCK_METHOD(Status, posix_fadvise, (int fd, off_t offset, off_t len, int advice), (override));
  MOCK_METHOD(Result<size_t>, getdents64, (int fd, void* buf, size_t count), (override));
  MOCK_METHOD(Result<int>, memfd_create, (const char* name, unsigned flags), (override));
  MOCK_METHOD(Status, ftruncate, (int fd, off_t length), (override));
  MOCK_METHOD(Status, fallocate, (int fd, int mode, off_t offset, off_t len), (override));
  MOCK_METHOD(Result<void*>, mmap,
              (void* addr, size_t length, int prot, int flags, int fd, off_t offset), (override));
  MOCK_METHOD(Status, munmap, (void* addr, size_t length), (override));
  MOCK_METHOD(Status, madvise, (void* addr, size_t length, int advice), (override));
  MOCK_METHOD(Result<int>, socket, (int domain, int type, int protocol), (override));
  MOCK_METHOD(Status, socketpair, (int domain, int type, int protocol, int* sv), (override));
  MOCK_METHOD(Status, bind, (int fd, const sockaddr* addr, socklen_t len), (override));
  MOCK_METHOD(Status, listen, (int fd, int backlog), (override));
  MOCK_METHOD(Result<int>, accept4, (int fd, sockaddr* addr, socklen_t* len, int flags),
              (override));
  MOCK_METHOD(Status, getsockname, (int fd, sockaddr* addr, socklen_t* len), (override));
  MOCK_METHOD(Status, setsockopt, (int fd, int level, int name, const void* value, socklen_t len),
              (override));
  MOCK_METHOD(Status, getsockopt, (int fd, int level, int name, void* value, socklen_t* len),
              (override));
  MOCK_METHOD(Result<size_t>, recv, (int fd, void* buf, size_t len, int flags), (override));
  MOCK_METHOD(Result<size_t>, send, (int fd, const void* buf, size_t len, int flags), (override));
  MOCK_METHOD(Result<size_t>, writev, (int fd, const iovec* iov, int iovcnt), (override));
  MOCK_METHOD(Result<size_t>, sendfile, (int out_fd, int in_fd, off_t* offset, size_t count),
              (override));
  MOCK_METHOD(Status, shutdown, (int fd, int how), (override));
  MOCK_METHOD(Result<int>, ioctl_outq, (int fd), (override));
  MOCK_METHOD(Result<int>, epoll_create1, (int flags), (override));
  MOCK_METHOD(Status, epoll_ctl, (int epfd, int op, int fd, epoll_event* event), (override));
  MOCK_METHOD(Result<int>, epoll_pwait,
              (int epfd, epoll_event* events, int maxevents, int timeout_ms,
               const sigset_t* sigmask),
              (override));
  MOCK_METHOD(Result<int>, poll, (pollfd * fds, nfds_t nfds, int timeout_ms), (override));
  MOCK_METHOD(Result<int>, ppoll,
              (pollfd * fds, nfds_t nfds, const timespec* timeout, const sigset_t* sigmask),
              (override));
  MOCK_METHOD(Result<int>, eventfd, (unsigned initval, int flags), (override));
  MOCK_METHOD(Result<io_context_t>, io_setup, (unsigned nr_events), (override));
  MOCK_METHOD(Status, io_destroy, (io_context_t ctx), (override));
  MOCK_METHOD(Result<int>, io_submit, (io_context_t ctx, long nr, iocb** iocbs), (override));
  MOCK_METHOD(Status, io_cancel, (io_context_t ctx, iocb* request, io_event* event), (override));
  MOCK_METHOD(Result<int>, io_getevents,
              (io_context_t ctx, long min_nr, long nr, io_event* events, const timespec* timeout),
              (override));
  MOCK_METHOD(Result<int>, io_pgetevents,
              (io_context_t ctx, long min_nr, long nr, io_event* events, const timespec* timeout,
               const sigset_t* sigmask),
              (override));
  MOCK_METHOD(Status, sigaction, (int signum, const struct sigaction& act), (override));
  MOCK_METHOD(Status, pthread_sigmask, (int how, const sigset_t& set, sigset_t* old), (override));
  MOCK_METHOD(Status, sigpending, (sigset_t * out), (override));
  MOCK_METHOD(Status, kill, (pid_t pid, int signum), (override));
  MOCK_METHOD(Status, tgkill, (pid_t tgid, pid_t tid, int signum), (override));
  MOCK_METHOD(Result<pid_t>, fork, (), (override));
  MOCK_METHOD(Result<pid_t>, waitpid, (pid_t pid, int* status, int options), (override));
  MOCK_METHOD(pid_t, getpid, (), (override));
  MOCK_METHOD(pid_t, gettid, (), (override));
  MOCK_METHOD(uid_t, geteuid, (), (override));
  MOCK_METHOD(Status, getrlimit, (int resource, rlimit* out), (override));
  MOCK_METHOD(Status, setrlimit, (int resource, const rlimit& limit), (override));
  MOCK_METHOD(Status, setgroups, (std::span<const gid_t> groups), (override));
  MOCK_METHOD(Status, setgid, (gid_t gid), (override));
  MOCK_METHOD(Status, setuid, (uid_t uid), (override));
  MOCK_METHOD(Result<PasswordEntry>, getpwnam, (const char* name), (override));
  MOCK_METHOD(timespec, clock_gettime, (clockid_t clock), (override));
  MOCK_METHOD(Result<ThreadId>, thread_create, (const char* name, std::function<void()> body),
              (override));
  MOCK_METHOD(void, thread_join, (ThreadId thread), (override));
  MOCK_METHOD(std::unique_ptr<Mutex>, mutex_create, (), (override));
  MOCK_METHOD(std::unique_ptr<CondVar>, condvar_create, (), (override));
  MOCK_METHOD(std::unique_ptr<SharedWord>, word_create, (uint64_t initial), (override));
};

}  // namespace pollux

// Their tables of virtual functions would drag all the mockers into every test again: instantiated
// once, in mock_kernel.cc.
extern template class testing::NiceMock<pollux::MockKernel>;
extern template class testing::StrictMock<pollux::MockKernel>;
