#include "fakes/fault_kernel.h"

#include <linux/openat2.h>

#include <utility>

namespace pollux {
namespace {

constexpr long long kPastAnyEnd = 1LL << 42;  // bytes; aligned for every device

// The first `bytes` of a vector.
std::vector<iovec> ShortenVector(const iovec* iov, int iovcnt, uint64_t bytes) {
  std::vector<iovec> out;
  for (int i = 0; i < iovcnt && bytes > 0; ++i) {
    iovec part = iov[i];
    if (part.iov_len > bytes) part.iov_len = static_cast<size_t>(bytes);
    bytes -= part.iov_len;
    out.push_back(part);
  }
  return out;
}

}  // namespace

FaultKernel::FaultKernel(Kernel& below, std::vector<FaultRule> rules)
    : ForwardingKernel(below), rules_(std::move(rules)) {}

FaultKernel::~FaultKernel() = default;

FaultKernel::Fault FaultKernel::Next(FaultCall call) {
  const size_t index = static_cast<size_t>(call);
  const uint64_t n = ++calls_[index];
  for (const FaultRule& rule : rules_) {
    if (rule.call != call || n < rule.first || n > rule.last) continue;
    if ((n - rule.first) % rule.every != 0) continue;
    ++struck_[index];
    if (rule.error != 0) return {.error = rule.error};
    return {.limit = rule.short_to};
  }
  return {};
}

// --- Calls that fail or do not.

Result<int> FaultKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  if (const Fault fault = Next(FaultCall::kOpenat); fault.error != 0)
    return Err(fault.error, "openat");
  return ForwardingKernel::openat(dirfd, path, flags, mode);
}
Result<int> FaultKernel::openat2(int dirfd, const char* path, const open_how& how) {
  if (const Fault fault = Next(FaultCall::kOpenat2); fault.error != 0)
    return Err(fault.error, "openat2");
  return ForwardingKernel::openat2(dirfd, path, how);
}
Status FaultKernel::fstat(int fd, struct stat* out) {
  if (const Fault fault = Next(FaultCall::kFstat); fault.error != 0)
    return Err(fault.error, "fstat");
  return ForwardingKernel::fstat(fd, out);
}
Status FaultKernel::statx(int dirfd, const char* path, int flags, unsigned mask,
                          struct statx* out) {
  if (const Fault fault = Next(FaultCall::kStatx); fault.error != 0)
    return Err(fault.error, "statx");
  return ForwardingKernel::statx(dirfd, path, flags, mask, out);
}
Status FaultKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  if (const Fault fault = Next(FaultCall::kCachestat); fault.error != 0)
    return Err(fault.error, "cachestat");
  return ForwardingKernel::cachestat(fd, range, out);
}
Status FaultKernel::posix_fadvise(int fd, off_t offset, off_t len, int advice) {
  if (const Fault fault = Next(FaultCall::kPosixFadvise); fault.error != 0)
    return Err(fault.error, "posix_fadvise");
  return ForwardingKernel::posix_fadvise(fd, offset, len, advice);
}
Result<size_t> FaultKernel::getdents64(int fd, void* buf, size_t count) {
  if (const Fault fault = Next(FaultCall::kGetdents64); fault.error != 0)
    return Err(fault.error, "getdents64");
  return ForwardingKernel::getdents64(fd, buf, count);
}
Result<int> FaultKernel::memfd_create(const char* name, unsigned flags) {
  if (const Fault fault = Next(FaultCall::kMemfdCreate); fault.error != 0)
    return Err(fault.error, "memfd_create");
  return ForwardingKernel::memfd_create(name, flags);
}
Status FaultKernel::ftruncate(int fd, off_t length) {
  if (const Fault fault = Next(FaultCall::kFtruncate); fault.error != 0)
    return Err(fault.error, "ftruncate");
  return ForwardingKernel::ftruncate(fd, length);
}
Status FaultKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  if (const Fault fault = Next(FaultCall::kFallocate); fault.error != 0)
    return Err(fault.error, "fallocate");
  return ForwardingKernel::fallocate(fd, mode, offset, len);
}
Result<void*> FaultKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                off_t offset) {
  if (const Fault fault = Next(FaultCall::kMmap); fault.error != 0) return Err(fault.error, "mmap");
  return ForwardingKernel::mmap(addr, length, prot, flags, fd, offset);
}
Status FaultKernel::madvise(void* addr, size_t length, int advice) {
  if (const Fault fault = Next(FaultCall::kMadvise); fault.error != 0)
    return Err(fault.error, "madvise");
  return ForwardingKernel::madvise(addr, length, advice);
}
Result<int> FaultKernel::socket(int domain, int type, int protocol) {
  if (const Fault fault = Next(FaultCall::kSocket); fault.error != 0)
    return Err(fault.error, "socket");
  return ForwardingKernel::socket(domain, type, protocol);
}
Status FaultKernel::bind(int fd, const sockaddr* addr, socklen_t len) {
  if (const Fault fault = Next(FaultCall::kBind); fault.error != 0) return Err(fault.error, "bind");
  return ForwardingKernel::bind(fd, addr, len);
}
Status FaultKernel::listen(int fd, int backlog) {
  if (const Fault fault = Next(FaultCall::kListen); fault.error != 0)
    return Err(fault.error, "listen");
  return ForwardingKernel::listen(fd, backlog);
}
Result<int> FaultKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  if (const Fault fault = Next(FaultCall::kAccept4); fault.error != 0)
    return Err(fault.error, "accept4");
  return ForwardingKernel::accept4(fd, addr, len, flags);
}
Status FaultKernel::getsockname(int fd, sockaddr* addr, socklen_t* len) {
  if (const Fault fault = Next(FaultCall::kGetsockname); fault.error != 0)
    return Err(fault.error, "getsockname");
  return ForwardingKernel::getsockname(fd, addr, len);
}
Status FaultKernel::setsockopt(int fd, int level, int name, const void* value, socklen_t len) {
  if (const Fault fault = Next(FaultCall::kSetsockopt); fault.error != 0)
    return Err(fault.error, "setsockopt");
  return ForwardingKernel::setsockopt(fd, level, name, value, len);
}
Status FaultKernel::getsockopt(int fd, int level, int name, void* value, socklen_t* len) {
  if (const Fault fault = Next(FaultCall::kGetsockopt); fault.error != 0)
    return Err(fault.error, "getsockopt");
  return ForwardingKernel::getsockopt(fd, level, name, value, len);
}
Status FaultKernel::shutdown(int fd, int how) {
  if (const Fault fault = Next(FaultCall::kShutdown); fault.error != 0)
    return Err(fault.error, "shutdown");
  return ForwardingKernel::shutdown(fd, how);
}
Result<int> FaultKernel::ioctl_outq(int fd) {
  if (const Fault fault = Next(FaultCall::kIoctlOutq); fault.error != 0)
    return Err(fault.error, "ioctl_outq");
  return ForwardingKernel::ioctl_outq(fd);
}
Result<int> FaultKernel::epoll_create1(int flags) {
  if (const Fault fault = Next(FaultCall::kEpollCreate1); fault.error != 0)
    return Err(fault.error, "epoll_create1");
  return ForwardingKernel::epoll_create1(flags);
}
Status FaultKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  if (const Fault fault = Next(FaultCall::kEpollCtl); fault.error != 0)
    return Err(fault.error, "epoll_ctl");
  return ForwardingKernel::epoll_ctl(epfd, op, fd, event);
}
Result<int> FaultKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                                     const sigset_t* sigmask) {
  if (const Fault fault = Next(FaultCall::kEpollPwait); fault.error != 0)
    return Err(fault.error, "epoll_pwait");
  return ForwardingKernel::epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
}
Result<int> FaultKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  if (const Fault fault = Next(FaultCall::kPoll); fault.error != 0) return Err(fault.error, "poll");
  return ForwardingKernel::poll(fds, nfds, timeout_ms);
}
Result<int> FaultKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                               const sigset_t* sigmask) {
  if (const Fault fault = Next(FaultCall::kPpoll); fault.error != 0)
    return Err(fault.error, "ppoll");
  return ForwardingKernel::ppoll(fds, nfds, timeout, sigmask);
}
Result<int> FaultKernel::eventfd(unsigned initval, int flags) {
  if (const Fault fault = Next(FaultCall::kEventfd); fault.error != 0)
    return Err(fault.error, "eventfd");
  return ForwardingKernel::eventfd(initval, flags);
}
Result<io_context_t> FaultKernel::io_setup(unsigned nr_events) {
  if (const Fault fault = Next(FaultCall::kIoSetup); fault.error != 0)
    return Err(fault.error, "io_setup");
  return ForwardingKernel::io_setup(nr_events);
}
Status FaultKernel::getrlimit(int resource, rlimit* out) {
  if (const Fault fault = Next(FaultCall::kGetrlimit); fault.error != 0)
    return Err(fault.error, "getrlimit");
  return ForwardingKernel::getrlimit(resource, out);
}
Status FaultKernel::setrlimit(int resource, const rlimit& limit) {
  if (const Fault fault = Next(FaultCall::kSetrlimit); fault.error != 0)
    return Err(fault.error, "setrlimit");
  return ForwardingKernel::setrlimit(resource, limit);
}
Result<PasswordEntry> FaultKernel::getpwnam(const char* name) {
  if (const Fault fault = Next(FaultCall::kGetpwnam); fault.error != 0)
    return Err(fault.error, "getpwnam");
  return ForwardingKernel::getpwnam(name);
}
Result<ThreadId> FaultKernel::thread_create(const char* name, std::function<void()> body) {
  if (const Fault fault = Next(FaultCall::kThreadCreate); fault.error != 0)
    return Err(fault.error, "thread_create");
  return ForwardingKernel::thread_create(name, std::move(body));
}

// --- Calls that may also do less.

Result<size_t> FaultKernel::read(int fd, void* buf, size_t count) {
  const Fault fault = Next(FaultCall::kRead);
  if (fault.error != 0) return Err(fault.error, "read");
  return ForwardingKernel::read(fd, buf, fault.Shorten(count));
}
Result<size_t> FaultKernel::pread(int fd, void* buf, size_t count, off_t offset) {
  const Fault fault = Next(FaultCall::kPread);
  if (fault.error != 0) return Err(fault.error, "pread");
  return ForwardingKernel::pread(fd, buf, fault.Shorten(count), offset);
}
Result<size_t> FaultKernel::write(int fd, const void* buf, size_t count) {
  const Fault fault = Next(FaultCall::kWrite);
  if (fault.error != 0) return Err(fault.error, "write");
  return ForwardingKernel::write(fd, buf, fault.Shorten(count));
}
Result<size_t> FaultKernel::recv(int fd, void* buf, size_t len, int flags) {
  const Fault fault = Next(FaultCall::kRecv);
  if (fault.error != 0) return Err(fault.error, "recv");
  return ForwardingKernel::recv(fd, buf, fault.Shorten(len), flags);
}
Result<size_t> FaultKernel::send(int fd, const void* buf, size_t len, int flags) {
  const Fault fault = Next(FaultCall::kSend);
  if (fault.error != 0) return Err(fault.error, "send");
  return ForwardingKernel::send(fd, buf, fault.Shorten(len), flags);
}
Result<size_t> FaultKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  const Fault fault = Next(FaultCall::kSendfile);
  if (fault.error != 0) return Err(fault.error, "sendfile");
  return ForwardingKernel::sendfile(out_fd, in_fd, offset, fault.Shorten(count));
}
Result<size_t> FaultKernel::preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) {
  const Fault fault = Next(FaultCall::kPreadv2);
  if (fault.error != 0) return Err(fault.error, "preadv2");
  if (!fault.struck()) return ForwardingKernel::preadv2(fd, iov, iovcnt, offset, flags);
  const auto part = ShortenVector(iov, iovcnt, fault.limit);
  return ForwardingKernel::preadv2(fd, part.data(), static_cast<int>(part.size()), offset, flags);
}
Result<size_t> FaultKernel::writev(int fd, const iovec* iov, int iovcnt) {
  const Fault fault = Next(FaultCall::kWritev);
  if (fault.error != 0) return Err(fault.error, "writev");
  if (!fault.struck()) return ForwardingKernel::writev(fd, iov, iovcnt);
  const auto part = ShortenVector(iov, iovcnt, fault.limit);
  return ForwardingKernel::writev(fd, part.data(), static_cast<int>(part.size()));
}

// --- Linux AIO.

iocb* FaultKernel::StrikeRead(iocb* original, const Fault& fault) {
  auto read = std::make_unique<StruckRead>();
  read->copy = *original;
  read->original = original;
  read->error = fault.error;
  if (fault.error != 0) {
    read->copy.u.c.offset = kPastAnyEnd;
  } else {
    read->copy.u.c.nbytes = fault.Shorten(original->u.c.nbytes);
  }
  iocb* copy = &read->copy;
  const std::lock_guard lock(reads_mutex_);
  reads_.emplace(copy, std::move(read));
  return copy;
}

Result<int> FaultKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  const Fault fault = Next(FaultCall::kIoSubmit);
  if (fault.error != 0) return Err(fault.error, "io_submit");
  const size_t count = nr > 0 ? fault.Shorten(static_cast<size_t>(nr)) : 0;
  if (count == 0) return ForwardingKernel::io_submit(ctx, nr, iocbs);
  std::vector<iocb*> sent(iocbs, iocbs + count);
  for (iocb*& request : sent) {
    if (request->aio_lio_opcode != IO_CMD_PREAD) continue;
    if (const Fault strike = Next(FaultCall::kAioRead); strike.struck()) {
      request = StrikeRead(request, strike);
    }
  }
  const auto taken = ForwardingKernel::io_submit(ctx, static_cast<long>(count), sent.data());
  // What was not taken never completes. (What was taken may be gone already: looked up, not used.)
  const std::lock_guard lock(reads_mutex_);
  for (size_t i = taken ? static_cast<size_t>(*taken) : 0; i < count; ++i) {
    if (sent[i] != iocbs[i]) reads_.erase(sent[i]);
  }
  return taken;
}

void FaultKernel::GiveBack(io_event* events, int count) {
  const std::lock_guard lock(reads_mutex_);
  for (int i = 0; i < count; ++i) {
    const auto found = reads_.find(events[i].obj);
    if (found == reads_.end()) continue;
    events[i].obj = found->second->original;
    if (found->second->error != 0) {
      events[i].res = static_cast<unsigned long>(-static_cast<long>(found->second->error));
    }
    reads_.erase(found);
  }
}

Result<int> FaultKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                      const timespec* timeout) {
  const Fault fault = Next(FaultCall::kIoGetevents);
  if (fault.error != 0) return Err(fault.error, "io_getevents");
  const long most = static_cast<long>(fault.Shorten(static_cast<size_t>(nr)));
  const auto got =
      ForwardingKernel::io_getevents(ctx, min_nr < most ? min_nr : most, most, events, timeout);
  if (got) GiveBack(events, *got);
  return got;
}
Result<int> FaultKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                       const timespec* timeout, const sigset_t* sigmask) {
  const Fault fault = Next(FaultCall::kIoPgetevents);
  if (fault.error != 0) return Err(fault.error, "io_pgetevents");
  const long most = static_cast<long>(fault.Shorten(static_cast<size_t>(nr)));
  const auto got = ForwardingKernel::io_pgetevents(ctx, min_nr < most ? min_nr : most, most, events,
                                                   timeout, sigmask);
  if (got) GiveBack(events, *got);
  return got;
}

}  // namespace pollux
