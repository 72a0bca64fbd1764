// The seam on the running kernel. Stateless; one instance, made by main().
#pragma once

#include "core/sys/kernel.h"

namespace pollux {

class LinuxKernel final : public Kernel {
 public:
  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override;
  Status close(int fd) override;
  Status fstat(int fd, struct stat* out) override;
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override;
  Result<size_t> read(int fd, void* buf, size_t count) override;
  Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) override;
  Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) override;
  Result<size_t> write(int fd, const void* buf, size_t count) override;
  Status cachestat(int fd, const CachestatRange& range, Cachestat* out) override;
  Status posix_fadvise(int fd, off_t offset, off_t len, int advice) override;
  Result<size_t> getdents64(int fd, void* buf, size_t count) override;

  Result<int> memfd_create(const char* name, unsigned flags) override;
  Status ftruncate(int fd, off_t length) override;
  Status fallocate(int fd, int mode, off_t offset, off_t len) override;
  Result<void*> mmap(void* addr, size_t length, int prot, int flags, int fd, off_t offset) override;
  Status munmap(void* addr, size_t length) override;
  Status madvise(void* addr, size_t length, int advice) override;

  Result<int> socket(int domain, int type, int protocol) override;
  Status socketpair(int domain, int type, int protocol, int* sv) override;
  Status bind(int fd, const sockaddr* addr, socklen_t len) override;
  Status listen(int fd, int backlog) override;
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override;
  Status getsockname(int fd, sockaddr* addr, socklen_t* len) override;
  Status setsockopt(int fd, int level, int name, const void* value, socklen_t len) override;
  Status getsockopt(int fd, int level, int name, void* value, socklen_t* len) override;
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override;
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override;
  Result<size_t> writev(int fd, const iovec* iov, int iovcnt) override;
  Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) override;
  Status shutdown(int fd, int how) override;
  Result<int> ioctl_outq(int fd) override;

  Result<int> epoll_create1(int flags) override;
  Status epoll_ctl(int epfd, int op, int fd, epoll_event* event) override;
  Result<int> epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                          const sigset_t* sigmask) override;
  Result<int> poll(pollfd* fds, nfds_t nfds, int timeout_ms) override;
  Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                    const sigset_t* sigmask) override;
  Result<int> eventfd(unsigned initval, int flags) override;

  Result<io_context_t> io_setup(unsigned nr_events) override;
  Status io_destroy(io_context_t ctx) override;
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override;
  Status io_cancel(io_context_t ctx, iocb* request, io_event* event) override;
  Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                           const timespec* timeout) override;
  Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                            const timespec* timeout, const sigset_t* sigmask) override;

  Status sigaction(int signum, const struct sigaction& act) override;
  Status pthread_sigmask(int how, const sigset_t& set, sigset_t* old) override;
  Status sigpending(sigset_t* out) override;
  Status kill(pid_t pid, int signum) override;
  Status tgkill(pid_t tgid, pid_t tid, int signum) override;

  Result<pid_t> fork() override;
  Result<pid_t> waitpid(pid_t pid, int* status, int options) override;
  pid_t getpid() override;
  pid_t gettid() override;
  uid_t geteuid() override;
  Status getrlimit(int resource, rlimit* out) override;
  Status setrlimit(int resource, const rlimit& limit) override;
  Status setgroups(std::span<const gid_t> groups) override;
  Status setgid(gid_t gid) override;
  Status setuid(uid_t uid) override;
  Result<PasswordEntry> getpwnam(const char* name) override;

  timespec clock_gettime(clockid_t clock) override;

  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override;
  void thread_join(ThreadId thread) override;
  std::unique_ptr<Mutex> mutex_create() override;
  std::unique_ptr<CondVar> condvar_create() override;
  std::unique_ptr<SharedWord> word_create(uint64_t initial) override;
};

}  // namespace pollux
