// A Kernel that fails on purpose: any call of the seam but close() can return an errno, or do less
// than it was asked for, by rules that count calls. What is not struck goes to the kernel below.
//
// A short count shortens the *length argument*: the kernel below really transfers less, so nothing
// is lost or invented, and the core has to come back for the rest. An errno skips the call, which
// is why close() cannot be struck: skipped, it would leak the descriptor.
//
// Rules, as in $POLLUX_FAULTS of pollux-faulty, separated by ';':
//
//   CALL:ERRNO[:first=N][:last=N][:every=N]      sendfile:EAGAIN:every=3
//   CALL:short=N[:first=N][:last=N][:every=N]    io_submit:short=1:first=2:last=5
//
// CALL is the method's name in kernel.h. The calls numbered first, first+every, ... up to last are
// struck; the default is every call. N of short= is bytes, for io_submit iocbs, for io_getevents
// and io_pgetevents events, for poll and its kin nothing (they take errnos only).
//
// `aio_read` is the one name that is no method: it counts the reads inside io_submit. Its errno is
// what the completion says (the read itself is aimed past the end of its file, so that the buffer
// keeps what it held: whoever sends it sends unread bytes); its short=N makes the read end early (a
// multiple of the file's direct I/O alignment, else the kernel refuses it with EINVAL).
//
// The first rule that matches decides. Threads: as Kernel; the counts are of all threads together.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <unordered_map>
#include <vector>

#include "fakes/forwarding_kernel.h"

namespace pollux {

enum class FaultCall {
  kOpenat,
  kOpenat2,
  kFstat,
  kStatx,
  kRead,
  kPread,
  kPreadv2,
  kWrite,
  kCachestat,
  kPosixFadvise,
  kGetdents64,
  kMemfdCreate,
  kFtruncate,
  kFallocate,
  kMmap,
  kMadvise,
  kSocket,
  kBind,
  kListen,
  kAccept4,
  kGetsockname,
  kSetsockopt,
  kGetsockopt,
  kRecv,
  kSend,
  kWritev,
  kSendfile,
  kShutdown,
  kIoctlOutq,
  kEpollCreate1,
  kEpollCtl,
  kEpollPwait,
  kPoll,
  kPpoll,
  kEventfd,
  kIoSetup,
  kIoSubmit,
  kIoGetevents,
  kIoPgetevents,
  kGetrlimit,
  kSetrlimit,
  kGetpwnam,
  kThreadCreate,
  kAioRead,
};
inline constexpr size_t kFaultCalls = static_cast<size_t>(FaultCall::kAioRead) + 1;
const char* ToString(FaultCall call);

struct FaultRule {
  FaultCall call{};
  int error = 0;          // the errno to return; 0: a short count
  uint64_t short_to = 0;  // at most so many bytes, iocbs or events; at least 1
  uint64_t first = 1;     // calls are numbered from 1
  uint64_t last = std::numeric_limits<uint64_t>::max();
  uint64_t every = 1;
};

// The rules, or one line that says what is wrong with the text. The empty text is no rule at all.
tl::expected<std::vector<FaultRule>, std::string> ParseFaultRules(std::string_view text);

class FaultKernel final : public ForwardingKernel {
 public:
  FaultKernel(Kernel& below, std::vector<FaultRule> rules);
  ~FaultKernel() override;

  uint64_t calls(FaultCall call) const { return calls_[static_cast<size_t>(call)]; }
  uint64_t struck(FaultCall call) const { return struck_[static_cast<size_t>(call)]; }

  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override;
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
  Status madvise(void* addr, size_t length, int advice) override;
  Result<int> socket(int domain, int type, int protocol) override;
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
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override;
  Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                           const timespec* timeout) override;
  Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                            const timespec* timeout, const sigset_t* sigmask) override;
  Status getrlimit(int resource, rlimit* out) override;
  Status setrlimit(int resource, const rlimit& limit) override;
  Result<PasswordEntry> getpwnam(const char* name) override;
  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override;

 private:
  struct Fault {
    int error = 0;
    uint64_t limit = std::numeric_limits<uint64_t>::max();
    bool struck() const { return error != 0 || limit != std::numeric_limits<uint64_t>::max(); }
    size_t Shorten(size_t count) const {
      return count < limit ? count : static_cast<size_t>(limit);
    }
  };
  // A read that goes to the kernel as a changed copy, so that the core's own iocb stays untouched;
  // its completion is given back under the original's address.
  struct StruckRead {
    iocb copy{};
    iocb* original = nullptr;
    int error = 0;
  };

  Fault Next(FaultCall call);
  iocb* StrikeRead(iocb* original, const Fault& fault);
  void GiveBack(io_event* events, int count);

  const std::vector<FaultRule> rules_;
  std::array<std::atomic<uint64_t>, kFaultCalls> calls_{};
  std::array<std::atomic<uint64_t>, kFaultCalls> struck_{};
  std::mutex reads_mutex_;
  std::unordered_map<iocb*, std::unique_ptr<StruckRead>> reads_;  // by the copy's address
};

}  // namespace pollux
