#include "core/sys/linux_kernel.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <pwd.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include <atomic>
#include <cerrno>

#include "core/base/check.h"

namespace pollux {
namespace {

constexpr long kSysCachestat = 451;  // every architecture; bookworm's headers are older

template <typename T, typename V>
Result<T> Value(V rc, const char* operation) {
  if (rc < 0) return Err(errno, operation);
  return static_cast<T>(rc);
}

Status Done(long rc, const char* operation) {
  if (rc < 0) return Err(errno, operation);
  return {};
}

// libaio returns -errno and leaves errno alone.
Result<int> AioValue(int rc, const char* operation) {
  if (rc < 0) return Err(-rc, operation);
  return rc;
}

Status AioDone(int rc, const char* operation) {
  if (rc < 0) return Err(-rc, operation);
  return {};
}

// libaio's io_pgetevents writes through its timeout pointer's type but never through it.
timespec* Unconst(const timespec* t) { return const_cast<timespec*>(t); }
sigset_t* Unconst(const sigset_t* s) { return const_cast<sigset_t*>(s); }

class PthreadMutex final : public Mutex {
 public:
  PthreadMutex() { CHECK(::pthread_mutex_init(&mutex_, nullptr) == 0); }
  ~PthreadMutex() override { ::pthread_mutex_destroy(&mutex_); }
  void lock() override { CHECK(::pthread_mutex_lock(&mutex_) == 0); }
  void unlock() override { CHECK(::pthread_mutex_unlock(&mutex_) == 0); }
  pthread_mutex_t* native() { return &mutex_; }

 private:
  pthread_mutex_t mutex_;
};

class PthreadCondVar final : public CondVar {
 public:
  PthreadCondVar() { CHECK(::pthread_cond_init(&cond_, nullptr) == 0); }
  ~PthreadCondVar() override { ::pthread_cond_destroy(&cond_); }
  void wait(Mutex& held) override {
    CHECK(::pthread_cond_wait(&cond_, static_cast<PthreadMutex&>(held).native()) == 0);
  }
  void signal() override { CHECK(::pthread_cond_signal(&cond_) == 0); }
  void broadcast() override { CHECK(::pthread_cond_broadcast(&cond_) == 0); }

 private:
  pthread_cond_t cond_;
};

class AtomicWord final : public SharedWord {
 public:
  explicit AtomicWord(uint64_t initial) : word_(initial) {}
  uint64_t load() override { return word_.load(); }
  void store(uint64_t value) override { word_.store(value); }
  uint64_t exchange(uint64_t value) override { return word_.exchange(value); }
  uint64_t fetch_add(uint64_t value) override { return word_.fetch_add(value); }

 private:
  std::atomic<uint64_t> word_;
};

void* ThreadMain(void* arg) {
  std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(arg));
  (*body)();
  return nullptr;
}

}  // namespace

Result<int> LinuxKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  return Value<int>(::openat(dirfd, path, flags, mode), "openat");
}
Result<int> LinuxKernel::openat2(int dirfd, const char* path, const open_how& how) {
  return Value<int>(::syscall(SYS_openat2, dirfd, path, &how, sizeof how), "openat2");
}
Status LinuxKernel::close(int fd) { return Done(::close(fd), "close"); }
Status LinuxKernel::fstat(int fd, struct stat* out) { return Done(::fstat(fd, out), "fstat"); }
Status LinuxKernel::statx(int dirfd, const char* path, int flags, unsigned mask,
                          struct statx* out) {
  return Done(::statx(dirfd, path, flags, mask, out), "statx");
}
Result<size_t> LinuxKernel::read(int fd, void* buf, size_t count) {
  return Value<size_t>(::read(fd, buf, count), "read");
}
Result<size_t> LinuxKernel::pread(int fd, void* buf, size_t count, off_t offset) {
  return Value<size_t>(::pread(fd, buf, count, offset), "pread");
}
Result<size_t> LinuxKernel::preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) {
  return Value<size_t>(::preadv2(fd, iov, iovcnt, offset, flags), "preadv2");
}
Result<size_t> LinuxKernel::write(int fd, const void* buf, size_t count) {
  return Value<size_t>(::write(fd, buf, count), "write");
}
Status LinuxKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  return Done(::syscall(kSysCachestat, fd, &range, out, 0u), "cachestat");
}
Status LinuxKernel::posix_fadvise(int fd, off_t offset, off_t len, int advice) {
  const int code = ::posix_fadvise(fd, offset, len, advice);
  if (code != 0) return Err(code, "posix_fadvise");
  return {};
}
Result<size_t> LinuxKernel::getdents64(int fd, void* buf, size_t count) {
  return Value<size_t>(::getdents64(fd, buf, count), "getdents64");
}

Result<int> LinuxKernel::memfd_create(const char* name, unsigned flags) {
  return Value<int>(::memfd_create(name, flags), "memfd_create");
}
Status LinuxKernel::ftruncate(int fd, off_t length) {
  return Done(::ftruncate(fd, length), "ftruncate");
}
Status LinuxKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  return Done(::fallocate(fd, mode, offset, len), "fallocate");
}
Result<void*> LinuxKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                off_t offset) {
  void* p = ::mmap(addr, length, prot, flags, fd, offset);
  if (p == MAP_FAILED) return Err(errno, "mmap");
  return p;
}
Status LinuxKernel::munmap(void* addr, size_t length) {
  return Done(::munmap(addr, length), "munmap");
}
Status LinuxKernel::madvise(void* addr, size_t length, int advice) {
  return Done(::madvise(addr, length, advice), "madvise");
}

Result<int> LinuxKernel::socket(int domain, int type, int protocol) {
  return Value<int>(::socket(domain, type, protocol), "socket");
}
Status LinuxKernel::socketpair(int domain, int type, int protocol, int* sv) {
  return Done(::socketpair(domain, type, protocol, sv), "socketpair");
}
Status LinuxKernel::bind(int fd, const sockaddr* addr, socklen_t len) {
  return Done(::bind(fd, addr, len), "bind");
}
Status LinuxKernel::listen(int fd, int backlog) { return Done(::listen(fd, backlog), "listen"); }
Result<int> LinuxKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  return Value<int>(::accept4(fd, addr, len, flags), "accept4");
}
Status LinuxKernel::getsockname(int fd, sockaddr* addr, socklen_t* len) {
  return Done(::getsockname(fd, addr, len), "getsockname");
}
Status LinuxKernel::setsockopt(int fd, int level, int name, const void* value, socklen_t len) {
  return Done(::setsockopt(fd, level, name, value, len), "setsockopt");
}
Status LinuxKernel::getsockopt(int fd, int level, int name, void* value, socklen_t* len) {
  return Done(::getsockopt(fd, level, name, value, len), "getsockopt");
}
Result<size_t> LinuxKernel::recv(int fd, void* buf, size_t len, int flags) {
  return Value<size_t>(::recv(fd, buf, len, flags), "recv");
}
Result<size_t> LinuxKernel::send(int fd, const void* buf, size_t len, int flags) {
  return Value<size_t>(::send(fd, buf, len, flags), "send");
}
Result<size_t> LinuxKernel::writev(int fd, const iovec* iov, int iovcnt) {
  return Value<size_t>(::writev(fd, iov, iovcnt), "writev");
}
Result<size_t> LinuxKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  return Value<size_t>(::sendfile(out_fd, in_fd, offset, count), "sendfile");
}
Status LinuxKernel::shutdown(int fd, int how) { return Done(::shutdown(fd, how), "shutdown"); }
Result<int> LinuxKernel::ioctl_outq(int fd) {
  int bytes = 0;
  if (::ioctl(fd, SIOCOUTQ, &bytes) < 0) return Err(errno, "ioctl");
  return bytes;
}

Result<int> LinuxKernel::epoll_create1(int flags) {
  return Value<int>(::epoll_create1(flags), "epoll_create1");
}
Status LinuxKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  return Done(::epoll_ctl(epfd, op, fd, event), "epoll_ctl");
}
Result<int> LinuxKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                                     const sigset_t* sigmask) {
  return Value<int>(::epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask), "epoll_pwait");
}
Result<int> LinuxKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  return Value<int>(::poll(fds, nfds, timeout_ms), "poll");
}
Result<int> LinuxKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                               const sigset_t* sigmask) {
  return Value<int>(::ppoll(fds, nfds, timeout, sigmask), "ppoll");
}
Result<int> LinuxKernel::eventfd(unsigned initval, int flags) {
  return Value<int>(::eventfd(initval, flags), "eventfd");
}

Result<io_context_t> LinuxKernel::io_setup(unsigned nr_events) {
  io_context_t ctx = nullptr;
  const int rc = ::io_setup(static_cast<int>(nr_events), &ctx);
  if (rc < 0) return Err(-rc, "io_setup");
  return ctx;
}
Status LinuxKernel::io_destroy(io_context_t ctx) {
  return AioDone(::io_destroy(ctx), "io_destroy");
}
Result<int> LinuxKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  return AioValue(::io_submit(ctx, nr, iocbs), "io_submit");
}
Status LinuxKernel::io_cancel(io_context_t ctx, iocb* request, io_event* event) {
  return AioDone(::io_cancel(ctx, request, event), "io_cancel");
}
Result<int> LinuxKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                      const timespec* timeout) {
  return AioValue(::io_getevents(ctx, min_nr, nr, events, Unconst(timeout)), "io_getevents");
}
Result<int> LinuxKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                       const timespec* timeout, const sigset_t* sigmask) {
  return AioValue(::io_pgetevents(ctx, min_nr, nr, events, Unconst(timeout), Unconst(sigmask)),
                  "io_pgetevents");
}

Status LinuxKernel::sigaction(int signum, const struct sigaction& act) {
  return Done(::sigaction(signum, &act, nullptr), "sigaction");
}
Status LinuxKernel::pthread_sigmask(int how, const sigset_t& set, sigset_t* old) {
  const int code = ::pthread_sigmask(how, &set, old);
  if (code != 0) return Err(code, "pthread_sigmask");
  return {};
}
Status LinuxKernel::sigpending(sigset_t* out) { return Done(::sigpending(out), "sigpending"); }
Status LinuxKernel::kill(pid_t pid, int signum) { return Done(::kill(pid, signum), "kill"); }
Status LinuxKernel::tgkill(pid_t tgid, pid_t tid, int signum) {
  return Done(::tgkill(tgid, tid, signum), "tgkill");
}

Result<pid_t> LinuxKernel::fork() { return Value<pid_t>(::fork(), "fork"); }
Result<pid_t> LinuxKernel::waitpid(pid_t pid, int* status, int options) {
  return Value<pid_t>(::waitpid(pid, status, options), "waitpid");
}
pid_t LinuxKernel::getpid() { return ::getpid(); }
pid_t LinuxKernel::gettid() { return ::gettid(); }
uid_t LinuxKernel::geteuid() { return ::geteuid(); }
Status LinuxKernel::getrlimit(int resource, rlimit* out) {
  return Done(::getrlimit(static_cast<__rlimit_resource>(resource), out), "getrlimit");
}
Status LinuxKernel::setrlimit(int resource, const rlimit& limit) {
  return Done(::setrlimit(static_cast<__rlimit_resource>(resource), &limit), "setrlimit");
}
Status LinuxKernel::setgroups(std::span<const gid_t> groups) {
  return Done(::setgroups(groups.size(), groups.data()), "setgroups");
}
Status LinuxKernel::setgid(gid_t gid) { return Done(::setgid(gid), "setgid"); }
Status LinuxKernel::setuid(uid_t uid) { return Done(::setuid(uid), "setuid"); }
Result<PasswordEntry> LinuxKernel::getpwnam(const char* name) {
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  const int code = ::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found);
  if (code != 0) return Err(code, "getpwnam");
  if (found == nullptr) return Err(ENOENT, "getpwnam");
  return PasswordEntry{entry.pw_uid, entry.pw_gid};
}

timespec LinuxKernel::clock_gettime(clockid_t clock) {
  timespec now{};
  CHECK(::clock_gettime(clock, &now) == 0);
  return now;
}

Result<ThreadId> LinuxKernel::thread_create(const char* name, std::function<void()> body) {
  auto boxed = std::make_unique<std::function<void()>>(std::move(body));
  pthread_t thread{};
  const int code = ::pthread_create(&thread, nullptr, ThreadMain, boxed.get());
  if (code != 0) return Err(code, "pthread_create");
  (void)boxed.release();  // ThreadMain owns it now
  ::pthread_setname_np(thread, name);
  return static_cast<ThreadId>(thread);
}
void LinuxKernel::thread_join(ThreadId thread) {
  CHECK(::pthread_join(static_cast<pthread_t>(thread), nullptr) == 0);
}
std::unique_ptr<Mutex> LinuxKernel::mutex_create() { return std::make_unique<PthreadMutex>(); }
std::unique_ptr<CondVar> LinuxKernel::condvar_create() {
  return std::make_unique<PthreadCondVar>();
}
std::unique_ptr<SharedWord> LinuxKernel::word_create(uint64_t initial) {
  return std::make_unique<AtomicWord>(initial);
}

}  // namespace pollux
