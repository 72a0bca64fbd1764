// Linux as Pollux uses it, in one OS thread and on virtual time: a Kernel on which the unmodified
// core runs while a Chooser decides all that Linux leaves open (scheduler.h, choices.h).
//
// What is modelled, and how far:
//   threads      fibers; mutexes, condition variables and words are scheduling points
//   signals      process_signals.h
//   descriptors  lowest free number, RLIMIT_NOFILE
//   files        given contents, read-only; names, and what a folder holds: no links
//   page cache   all of a file or nothing; on a modelled disk, pages and read-ahead (page_cache.h)
//   memory       memfd and O_TMPFILE with page frames (memory.h); a mapping is real memory
//   sockets      TCP to peers outside of the process (connection.h); never blocking
//   AIO          reads, IOCB_FLAG_RESFD
//   disk         completes in any order and at once, or as a modelled one (aio_context.h)
//   waiting      poll, ppoll, epoll (level-triggered), eventfd
// Anything else ends the program with the call's name. It is held to what Linux does by the
// contract suite (tests/sys/contract_*_test.cc), which runs on both.
//
// Every call is a step, but for those that depend on nothing (getpid, and the clock while no
// time-out can end early).
//
// Threads: one OS thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/sys/kernel.h"
#include "fakes/kernel/aio_context.h"
#include "fakes/kernel/connection.h"
#include "fakes/kernel/descriptors.h"
#include "fakes/kernel/memory.h"
#include "fakes/kernel/process_signals.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

// What executions can hand on to each other, to be fast.
struct Resources {
  FiberPool fibers;
  MemoryPool memory;
};

struct SimOptions {
  SchedulerOptions scheduler;
  DiskOptions disk;
  bool leader_first = true;         // who gets a signal for the process, see process_signals.h
  size_t send_buffer = 128 * 1024;  // bytes
  size_t peer_buffer = 128 * 1024;  // bytes, the peer's receive buffer
  bool names_cached = true;         // RESOLVE_CACHED finds what there is
  int submit_refusals = 0;          // how many iocbs io_submit may refuse with EAGAIN
  int spurious_wakeups = 0;         // how many waits for a condition variable may end for nothing
  bool symbolic = false;            // contents of files are symbols, see symbols.h
};

class SimKernel final : public Kernel {
 public:
  SimKernel(Chooser& chooser, Resources& resources, SimOptions options);
  ~SimKernel() override;

  // --- The world around the process.

  // False if the execution did not come to its end: see Scheduler::Run.
  bool Run(const std::function<void()>& body) { return scheduler_.Run(body); }
  Scheduler& scheduler() { return scheduler_; }
  ProcessSignals& signals() { return signals_; }
  Disk& disk() { return disk_; }
  const Disk& disk() const { return disk_; }

  // A file on the disk at an absolute path; its directories come with it.
  void AddFile(const std::string& path, std::shared_ptr<const std::string> content);
  // One whose bytes are symbols, with options.symbolic: its number, which they bear.
  uint64_t AddSymbolicFile(const std::string& path, uint64_t bytes);
  // Cuts it off, under those who have it open.
  void Truncate(const std::string& path, size_t bytes);
  // Null: nobody listens there, or its backlog is full.
  std::shared_ptr<Connection> ConnectTo(const sockaddr_storage& address);
  // The same for the one listener that there is.
  std::shared_ptr<Connection> ConnectToListener();
  bool listening() const;
  // How often sendfile() took bytes of a file on the disk, through the page cache.
  uint64_t files_sent() const { return files_sent_; }
  int submit_refusals_left() const { return submit_refusals_left_; }
  // What went to standard output and standard error.
  const std::string& console() const { return console_; }
  // What the process has not given back: for the end of an execution. Empty if nothing.
  std::string Leaks() const;

  // --- Kernel
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

  pid_t getpid() override;
  pid_t gettid() override;
  uid_t geteuid() override;
  Status getrlimit(int resource, rlimit* out) override;
  Status setrlimit(int resource, const rlimit& limit) override;
  Result<pid_t> fork() override;
  Result<pid_t> waitpid(pid_t pid, int* status, int options) override;
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

 private:
  friend class SimMutex;
  friend class SimCondVar;
  friend class SimWord;
  class Call;
  class WaitMask;
  using DescriptionPtr = std::shared_ptr<Description>;
  struct Region {
    char* address = nullptr;
    size_t length = 0;
    std::shared_ptr<Inode> inode;  // null: anonymous
    size_t offset = 0;             // in the inode
    bool writable = false;
  };

  [[noreturn]] static void NotModelled(const char* what);

  // Descriptors.
  Description* At(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < table_.size() ? table_[fd].get() : nullptr;
  }
  // The same within a step, held to what that declared.
  Description* Find(int fd) const;
  void Writes(const Description& description) const {
    scheduler_.access().Write(description.object_touched(), "what a descriptor refers to");
  }
  Result<int> Install(DescriptionPtr description, const char* operation);
  DescriptionPtr NewDescription(Description::Kind kind, int flags);
  Footprint Using(int fd, bool writes) const;
  Footprint Reading(int fd, bool moves, const void* buffer) const;
  Footprint Sending(int fd) const;
  static Footprint Opening() { return Footprint().Write(kDescriptorTable); }

  // Files.
  Result<int> OpenPath(std::string path, int flags, const char* operation);
  Result<std::string> Resolve(int dirfd, const char* path, bool beneath, const char* operation);
  bool UsesFileAsFolder(const std::string& path, bool slash) const;
  Result<size_t> ReadContent(Description& file, char* to, size_t count, size_t offset,
                             const char* operation);
  std::shared_ptr<Inode> NewMemoryInode();
  static size_t CachedBytes(const Inode& file, size_t offset, size_t count);
  Inode& NewRegularInode(const std::string& path);
  void PlaceOnDisk(Inode& file);
  // Where and when the modelled disk is asked decides over all that it does later.
  Footprint UsesDisk() const { return disk_.modelled() ? Footprint::Everything() : Footprint(); }
  static void Advise(Description& file, off_t offset, off_t length, int advice);
  // For files on the modelled disk: returns when the page cache holds those bytes. EIO.
  Status FaultIn(Description& file, size_t offset, size_t count, const char* operation);
  DescriptionPtr Hold(int fd) const { return Find(fd) != nullptr ? table_[fd] : nullptr; }
  const Region* RegionOf(const void* address) const;
  Footprint Buffer(const void* address, bool writes) const;

  // Sockets.
  Result<size_t> Sent(long result, int flags, const char* operation);
  Result<size_t> SendfileTo(Connection& out, Description& in, size_t offset, size_t count);
  long SendSymbols(Connection& out, const char* from, size_t length) const;
  Result<size_t> SendfileFromDisk(Connection& out, Description& in, size_t offset, size_t count);

  // Waits.
  Result<int> Poll(const char* name, pollfd* fds, nfds_t nfds, std::optional<Nanoseconds> timeout,
                   const sigset_t* sigmask);
  int Scan(pollfd* fds, nfds_t nfds) const;
  int Scan(Description& epoll, epoll_event* events, int maxevents) const;
  bool AnyReady(const Description& epoll) const;
  Footprint Watching(const Description& epoll) const;
  Footprint LooksAtTheClock() const;

  // AIO.
  std::shared_ptr<AioContext> Find(io_context_t ctx) const;
  int SubmitOne(AioContext& context, iocb* request);
  int Reap(AioContext& context, long nr, io_event* events);
  Result<int> GetEvents(const char* name, io_context_t ctx, long min_nr, long nr, io_event* events,
                        const timespec* timeout, const sigset_t* sigmask);

  SimThread* FindThread(pid_t tid) const;

  const SimOptions options_;
  Resources& resources_;
  Scheduler scheduler_;
  ProcessSignals signals_;
  Frames frames_;
  Disk disk_;
  std::vector<DescriptionPtr> table_;
  size_t descriptors_max_ = 1024;
  std::map<std::string, std::shared_ptr<Inode>> paths_;
  ino_t next_inode_ = 2;
  uint64_t next_place_ = 0;  // on the modelled disk
  SymbolMemory symbols_;
  std::vector<Region> regions_;
  std::vector<std::shared_ptr<AioContext>> contexts_;  // by io_context_t - 1; null: destroyed
  std::vector<Description*> listeners_;                // open
  uint16_t next_port_ = 40000;
  int submit_refusals_left_;
  int spurious_wakeups_left_;
  uint64_t files_sent_ = 0;
  std::string console_;
};

}  // namespace pollux::sim
