// A Kernel that passes every call on to another one. Base of the decorators (faults, recording):
// they override what they change and inherit the rest. Calls of the mutexes, condition variables
// and words that it hands out are not intercepted.
#pragma once

#include <utility>

#include "core/sys/kernel.h"

namespace pollux {

class ForwardingKernel : public Kernel {
 public:
  // `to` outlives the decorator.
  explicit ForwardingKernel(Kernel& to) : to_(to) {}

  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override {
    return to_.openat(dirfd, path, flags, mode);
  }
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override {
    return to_.openat2(dirfd, path, how);
  }
  Status close(int fd) override { return to_.close(fd); }
  Status fstat(int fd, struct stat* out) override { return to_.fstat(fd, out); }
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override {
    return to_.statx(dirfd, path, flags, mask, out);
  }
  Result<size_t> read(int fd, void* buf, size_t count) override { return to_.read(fd, buf, count); }
  Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) override {
    return to_.pread(fd, buf, count, offset);
  }
  Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) override {
    return to_.preadv2(fd, iov, iovcnt, offset, flags);
  }
  Result<size_t> write(int fd, const void* buf, size_t count) override {
    return to_.write(fd, buf, count);
  }
  Status cachestat(int fd, const CachestatRange& range, Cachestat* out) override {
    return to_.cachestat(fd, range, out);
  }
  Status posix_fadvise(int fd, off_t offset, off_t len, int advice) override {
    return to_.posix_fadvise(fd, offset, len, advice);
  }
  Result<size_t> getdents64(int fd, void* buf, size_t count) override {
    return to_.getdents64(fd, buf, count);
  }
  Result<int> memfd_create(const char* name, unsigned flags) override {
    return to_.memfd_create(name, flags);
  }
  Status ftruncate(int fd, off_t length) override { return to_.ftruncate(fd, length); }
  Status fallocate(int fd, int mode, off_t offset, off_t len) override {
    return to_.fallocate(fd, mode, offset, len);
  }
  Result<void*> mmap(void* addr, size_t length, int prot, int flags, int fd,
                     off_t offset) override {
    return to_.mmap(addr, length, prot, flags, fd, offset);
  }
  Status munmap(void* addr, size_t length) override { return to_.munmap(addr, length); }
  Status madvise(void* addr, size_t length, int advice) override {
    return to_.madvise(addr, length, advice);
  }
  Result<int> socket(int domain, int type, int protocol) override {
    return to_.socket(domain, type, protocol);
  }
  Status socketpair(int domain, int type, int protocol, int* sv) override {
    return to_.socketpair(domain, type, protocol, sv);
  }
  Status bind(int fd, const sockaddr* addr, socklen_t len) override {
    return to_.bind(fd, addr, len);
  }
  Status listen(int fd, int backlog) override { return to_.listen(fd, backlog); }
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override {
    return to_.accept4(fd, addr, len, flags);
  }
  Status getsockname(int fd, sockaddr* addr, socklen_t* len) override {
    return to_.getsockname(fd, addr, len);
  }
  Status setsockopt(int fd, int level, int name, const void* value, socklen_t len) override {
    return to_.setsockopt(fd, level, name, value, len);
  }
  Status getsockopt(int fd, int level, int name, void* value, socklen_t* len) override {
    return to_.getsockopt(fd, level, name, value, len);
  }
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override {
    return to_.recv(fd, buf, len, flags);
  }
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override {
    return to_.send(fd, buf, len, flags);
  }
  Result<size_t> writev(int fd, const iovec* iov, int iovcnt) override {
    return to_.writev(fd, iov, iovcnt);
  }
  Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) override {
    return to_.sendfile(out_fd, in_fd, offset, count);
  }
  Status shutdown(int fd, int how) override { return to_.shutdown(fd, how); }
  Result<int> ioctl_outq(int fd) override { return to_.ioctl_outq(fd); }
  Result<int> epoll_create1(int flags) override { return to_.epoll_create1(flags); }
  Status epoll_ctl(int epfd, int op, int fd, epoll_event* event) override {
    return to_.epoll_ctl(epfd, op, fd, event);
  }
  Result<int> epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                          const sigset_t* sigmask) override {
    return to_.epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
  }
  Result<int> poll(pollfd* fds, nfds_t nfds, int timeout_ms) override {
    return to_.poll(fds, nfds, timeout_ms);
  }
  Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                    const sigset_t* sigmask) override {
    return to_.ppoll(fds, nfds, timeout, sigmask);
  }
  Result<int> eventfd(unsigned initval, int flags) override { return to_.eventfd(initval, flags); }
  Result<io_context_t> io_setup(unsigned nr_events) override { return to_.io_setup(nr_events); }
  Status io_destroy(io_context_t ctx) override { return to_.io_destroy(ctx); }
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override {
    return to_.io_submit(ctx, nr, iocbs);
  }
  Status io_cancel(io_context_t ctx, iocb* request, io_event* event) override {
    return to_.io_cancel(ctx, request, event);
  }
  Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                           const timespec* timeout) override {
    return to_.io_getevents(ctx, min_nr, nr, events, timeout);
  }
  Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                            const timespec* timeout, const sigset_t* sigmask) override {
    return to_.io_pgetevents(ctx, min_nr, nr, events, timeout, sigmask);
  }
  Status sigaction(int signum, const struct sigaction& act) override {
    return to_.sigaction(signum, act);
  }
  Status pthread_sigmask(int how, const sigset_t& set, sigset_t* old) override {
    return to_.pthread_sigmask(how, set, old);
  }
  Status sigpending(sigset_t* out) override { return to_.sigpending(out); }
  Status kill(pid_t pid, int signum) override { return to_.kill(pid, signum); }
  Status tgkill(pid_t tgid, pid_t tid, int signum) override {
    return to_.tgkill(tgid, tid, signum);
  }
  Result<pid_t> fork() override { return to_.fork(); }
  Result<pid_t> waitpid(pid_t pid, int* status, int options) override {
    return to_.waitpid(pid, status, options);
  }
  pid_t getpid() override { return to_.getpid(); }
  pid_t gettid() override { return to_.gettid(); }
  uid_t geteuid() override { return to_.geteuid(); }
  Status getrlimit(int resource, rlimit* out) override { return to_.getrlimit(resource, out); }
  Status setrlimit(int resource, const rlimit& limit) override {
    return to_.setrlimit(resource, limit);
  }
  Status setgroups(std::span<const gid_t> groups) override { return to_.setgroups(groups); }
  Status setgid(gid_t gid) override { return to_.setgid(gid); }
  Status setuid(uid_t uid) override { return to_.setuid(uid); }
  Result<PasswordEntry> getpwnam(const char* name) override { return to_.getpwnam(name); }
  timespec clock_gettime(clockid_t clock) override { return to_.clock_gettime(clock); }
  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override {
    return to_.thread_create(name, std::move(body));
  }
  void thread_join(ThreadId thread) override { return to_.thread_join(thread); }
  std::unique_ptr<Mutex> mutex_create() override { return to_.mutex_create(); }
  std::unique_ptr<CondVar> condvar_create() override { return to_.condvar_create(); }
  std::unique_ptr<SharedWord> word_create(uint64_t initial) override {
    return to_.word_create(initial);
  }

 protected:
  Kernel& to() { return to_; }

 private:
  Kernel& to_;
};

}  // namespace pollux
