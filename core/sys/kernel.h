// The seam: everything that Pollux asks of Linux, in one header.
//
// One method per system call, spelled as in its man page. A method makes the call once and returns
// its value or its errno: no retry on EINTR, no loop over short counts, no default. Policy lives
// above, where the simulated kernel can reach it. All that a schedule can depend on goes through
// here too: clocks, threads, mutexes, condition variables and atomics shared between threads.
//
// What is evened out: system calls that return -1 with errno and libaio's -errno both become
// Result<>; sizes are size_t; a null sigmask means "leave the mask alone".
//
// Threads: every method may be called from any thread.
//
// Rejected: a struct of function pointers (no place for state), templates over the kernel (the
// core would have to live in headers; a virtual call costs about 1 ns beside a system call's 100+).
#pragma once

#include <libaio.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/result.h"

struct open_how;  // <linux/openat2.h>

namespace pollux {

// cachestat(2), Linux 6.5: not in bookworm's headers.
struct CachestatRange {
  uint64_t off = 0;
  uint64_t len = 0;  // 0: to the end of the file
};
struct Cachestat {
  uint64_t nr_cache = 0;  // pages resident
  uint64_t nr_dirty = 0;
  uint64_t nr_writeback = 0;
  uint64_t nr_evicted = 0;
  uint64_t nr_recently_evicted = 0;
};

// A mutex of the seam (pthread_mutex_lock(3p)). Has the shape std::lock_guard wants.
class Mutex {
 public:
  virtual ~Mutex() = default;
  virtual void lock() = 0;
  virtual void unlock() = 0;
};

// A condition variable of the seam (pthread_cond_wait(3p)). Wake-ups may be spurious.
class CondVar {
 public:
  virtual ~CondVar() = default;
  virtual void wait(Mutex& held) = 0;
  virtual void signal() = 0;
  virtual void broadcast() = 0;
};

// A 64-bit word shared between threads; every operation is sequentially consistent.
class SharedWord {
 public:
  virtual ~SharedWord() = default;
  virtual uint64_t load() = 0;
  virtual void store(uint64_t value) = 0;
  virtual uint64_t exchange(uint64_t value) = 0;
  virtual uint64_t fetch_add(uint64_t value) = 0;
};

// Names a thread made by thread_create until it is joined. Zero is no thread.
enum class ThreadId : uint64_t {};

// getpwnam(3), as far as dropping privileges needs it.
struct PasswordEntry {
  uid_t uid = 0;
  gid_t gid = 0;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  // --- Files: open(2) openat2(2) close(2) fstat(2) statx(2) read(2) pread(2) preadv2(2) write(2)
  virtual Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) = 0;
  virtual Result<int> openat2(int dirfd, const char* path, const open_how& how) = 0;
  // Never retried: on Linux the descriptor is gone whatever close() returns.
  virtual Status close(int fd) = 0;
  virtual Status fstat(int fd, struct stat* out) = 0;
  virtual Status statx(int dirfd, const char* path, int flags, unsigned mask,
                       struct statx* out) = 0;
  virtual Result<size_t> read(int fd, void* buf, size_t count) = 0;
  virtual Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) = 0;
  virtual Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) = 0;
  virtual Result<size_t> write(int fd, const void* buf, size_t count) = 0;
  virtual Status cachestat(int fd, const CachestatRange& range, Cachestat* out) = 0;
  virtual Status posix_fadvise(int fd, off_t offset, off_t len, int advice) = 0;
  // getdents64(2): fills buf with struct linux_dirent64 records; 0 at the end of the directory.
  virtual Result<size_t> getdents64(int fd, void* buf, size_t count) = 0;

  // --- Memory: memfd_create(2) ftruncate(2) fallocate(2) mmap(2) madvise(2)
  virtual Result<int> memfd_create(const char* name, unsigned flags) = 0;
  virtual Status ftruncate(int fd, off_t length) = 0;
  virtual Status fallocate(int fd, int mode, off_t offset, off_t len) = 0;
  virtual Result<void*> mmap(void* addr, size_t length, int prot, int flags, int fd,
                             off_t offset) = 0;
  virtual Status munmap(void* addr, size_t length) = 0;
  virtual Status madvise(void* addr, size_t length, int advice) = 0;

  // --- Sockets: socket(2) socketpair(2) bind(2) listen(2) accept4(2) getsockname(2) setsockopt(2)
  // getsockopt(2)
  //     recv(2) send(2) writev(2) sendfile(2) shutdown(2) ioctl(2) (SIOCOUTQ, tcp(7))
  virtual Result<int> socket(int domain, int type, int protocol) = 0;
  virtual Status socketpair(int domain, int type, int protocol, int* sv) = 0;  // two of them
  virtual Status bind(int fd, const sockaddr* addr, socklen_t len) = 0;
  virtual Status listen(int fd, int backlog) = 0;
  virtual Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) = 0;
  virtual Status getsockname(int fd, sockaddr* addr, socklen_t* len) = 0;
  virtual Status setsockopt(int fd, int level, int name, const void* value, socklen_t len) = 0;
  virtual Status getsockopt(int fd, int level, int name, void* value, socklen_t* len) = 0;
  virtual Result<size_t> recv(int fd, void* buf, size_t len, int flags) = 0;
  virtual Result<size_t> send(int fd, const void* buf, size_t len, int flags) = 0;
  virtual Result<size_t> writev(int fd, const iovec* iov, int iovcnt) = 0;
  virtual Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) = 0;
  virtual Status shutdown(int fd, int how) = 0;
  virtual Result<int> ioctl_outq(int fd) = 0;  // ioctl(fd, SIOCOUTQ)

  // --- Waiting: epoll_create1(2) epoll_ctl(2) epoll_pwait(2) poll(2) ppoll(2) eventfd(2)
  virtual Result<int> epoll_create1(int flags) = 0;
  virtual Status epoll_ctl(int epfd, int op, int fd, epoll_event* event) = 0;
  virtual Result<int> epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                                  const sigset_t* sigmask) = 0;
  virtual Result<int> poll(pollfd* fds, nfds_t nfds, int timeout_ms) = 0;
  virtual Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                            const sigset_t* sigmask) = 0;
  virtual Result<int> eventfd(unsigned initval, int flags) = 0;

  // --- Linux AIO, through libaio: io_setup(2) io_destroy(2) io_submit(2) io_cancel(2)
  //     io_getevents(2); io_pgetevents is its sibling of Linux 4.18 with ppoll's sigmask
  virtual Result<io_context_t> io_setup(unsigned nr_events) = 0;
  virtual Status io_destroy(io_context_t ctx) = 0;  // blocks until every iocb has completed
  virtual Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) = 0;
  virtual Status io_cancel(io_context_t ctx, iocb* request, io_event* event) = 0;
  virtual Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                   const timespec* timeout) = 0;
  virtual Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                    const timespec* timeout, const sigset_t* sigmask) = 0;

  // --- Signals: sigaction(2) pthread_sigmask(3) sigpending(2) kill(2) tgkill(2)
  virtual Status sigaction(int signum, const struct sigaction& act) = 0;
  virtual Status pthread_sigmask(int how, const sigset_t& set, sigset_t* old) = 0;
  // What is blocked and pending for the calling thread or for the process.
  virtual Status sigpending(sigset_t* out) = 0;
  virtual Status kill(pid_t pid, int signum) = 0;
  virtual Status tgkill(pid_t tgid, pid_t tid, int signum) = 0;

  // --- Process: fork(2) waitpid(2) getpid(2) gettid(2) geteuid(2) getrlimit(2) setrlimit(2)
  //     setgroups(2) setgid(2) setuid(2) getpwnam_r(3)
  // 0 in the new process. Only a process with one thread may call it: the new one has only the
  // caller's, and whatever others held stays locked in it.
  virtual Result<pid_t> fork() = 0;
  virtual Result<pid_t> waitpid(pid_t pid, int* status, int options) = 0;
  virtual pid_t getpid() = 0;
  virtual pid_t gettid() = 0;
  virtual uid_t geteuid() = 0;
  virtual Status getrlimit(int resource, rlimit* out) = 0;
  virtual Status setrlimit(int resource, const rlimit& limit) = 0;
  virtual Status setgroups(std::span<const gid_t> groups) = 0;
  virtual Status setgid(gid_t gid) = 0;
  virtual Status setuid(uid_t uid) = 0;
  // ENOENT if there is no such user.
  virtual Result<PasswordEntry> getpwnam(const char* name) = 0;

  // --- Time: clock_gettime(2)
  virtual timespec clock_gettime(clockid_t clock) = 0;

  // --- Threads: pthread_create(3) pthread_join(3). The new thread inherits the creator's signal
  //     mask. `name` (at most 15 bytes) is what top(1) shows. EAGAIN when there can be no more.
  virtual Result<ThreadId> thread_create(const char* name, std::function<void()> body) = 0;
  virtual void thread_join(ThreadId thread) = 0;
  virtual std::unique_ptr<Mutex> mutex_create() = 0;
  virtual std::unique_ptr<CondVar> condvar_create() = 0;
  virtual std::unique_ptr<SharedWord> word_create(uint64_t initial) = 0;
};

}  // namespace pollux
