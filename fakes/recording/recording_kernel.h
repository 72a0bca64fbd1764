// Writes down what passes through the seam, in the order of its beginnings and ends.
//
// Recorded are the calls below, with the bytes that they moved; all others are passed on unseen:
// mutexes, condition variables and words, clocks, getpid and the like. Which events a wait reports
// is compared without their order.
//
// Threads: any.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "fakes/forwarding_kernel.h"
#include "fakes/recording/recording.h"

namespace pollux {

class RecordingKernel final : public ForwardingKernel {
 public:
  // The calling thread is the first.
  explicit RecordingKernel(Kernel& to);

  // When every other thread was joined. What was there besides (Recording::files) is not known to
  // it.
  Recording Take();

  // What a peer does from outside of the process, on the calling thread, over the socket it has
  // connected to the process's listener. A peer that blocks holds up the recorded thread, too.
  Status PeerConnects(const std::function<Status()>& connect);
  Result<size_t> PeerSends(const std::string& bytes,
                           const std::function<Result<size_t>(const std::string&)>& send);
  // `take` fills as much of its argument as it says.
  Result<size_t> PeerTakes(size_t count, const std::function<Result<size_t>(std::string&)>& take);

  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Status close(int fd) override;
  Result<size_t> read(int fd, void* buf, size_t count) override;
  Result<size_t> write(int fd, const void* buf, size_t count) override;
  Result<int> memfd_create(const char* name, unsigned flags) override;
  Status ftruncate(int fd, off_t length) override;
  Status fallocate(int fd, int mode, off_t offset, off_t len) override;
  Result<void*> mmap(void* addr, size_t length, int prot, int flags, int fd, off_t offset) override;
  Status munmap(void* addr, size_t length) override;
  Result<int> socket(int domain, int type, int protocol) override;
  Status listen(int fd, int backlog) override;
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override;
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override;
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override;
  Result<size_t> sendfile(int out_fd, int in_fd, off_t* offset, size_t count) override;
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
  Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                           const timespec* timeout) override;
  Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                            const timespec* timeout, const sigset_t* sigmask) override;
  Status sigaction(int signum, const struct sigaction& act) override;
  Status pthread_sigmask(int how, const sigset_t& set, sigset_t* old) override;
  Status kill(pid_t pid, int signum) override;
  Status tgkill(pid_t tgid, pid_t tid, int signum) override;
  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override;
  void thread_join(ThreadId thread) override;

 private:
  // A call on its way: begins where it is made.
  class Entry {
   public:
    Entry(RecordingKernel& kernel, const char* name);
    void End(std::string result, nlohmann::json arguments, bool timed_out = false);

   private:
    RecordingKernel& kernel_;
    RecordedCall call_;
  };

  uint64_t Stamp();
  void Add(RecordedCall call);
  int NewThread();
  int NumberOf(ThreadId thread);
  int NumberOfTid(pid_t tid);

  static thread_local int thread_;  // which one of the run the calling thread is

  std::mutex mutex_;  // guards what follows
  Recording recording_;
  uint64_t stamp_ = 0;
  // Numbers of threads.
  std::map<uint64_t, int> by_id_;
  std::map<pid_t, int> by_tid_;
};

}  // namespace pollux
