#include "fakes/scenarios/troubled_kernel.h"

#include <linux/openat2.h>
#include <sys/epoll.h>

#include <cerrno>

namespace pollux::sim {

std::optional<Error> TroubledKernel::Fails(const char* operation,
                                           std::initializer_list<int> errnos) {
  if (left_ == 0) return std::nullopt;
  const size_t which = scheduler_.PickValue(operation, 1 + errnos.size());
  if (which == 0) return std::nullopt;
  --left_;
  ++failed_;
  return Error{errnos.begin()[which - 1], operation};
}

size_t TroubledKernel::Shortened(const char* operation, size_t count) {
  if (left_ == 0 || count < 2) return count;
  const size_t which = scheduler_.PickValue(operation, 3);
  if (which == 0) return count;
  --left_;
  return which == 1 ? 1 : count / 2;
}

Status TroubledKernel::close(int fd) {
  eventfds_.erase(fd);
  return ForwardingKernel::close(fd);
}

Result<int> TroubledKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  if (const auto error = Fails("openat", {EMFILE, ENFILE, ENOMEM, EACCES, EIO})) return Err(*error);
  return ForwardingKernel::openat(dirfd, path, flags, mode);
}

// Not EAGAIN: with RESOLVE_CACHED it says that a name is not cached, see names_cached.
Result<int> TroubledKernel::openat2(int dirfd, const char* path, const open_how& how) {
  if (const auto error = Fails("openat2", {EMFILE, ENFILE, ENOMEM, EACCES, ELOOP, EIO}))
    return Err(*error);
  return ForwardingKernel::openat2(dirfd, path, how);
}

Status TroubledKernel::fstat(int fd, struct stat* out) {
  if (const auto error = Fails("fstat", {ENOMEM, ESTALE})) return Err(*error);
  return ForwardingKernel::fstat(fd, out);
}

Status TroubledKernel::statx(int dirfd, const char* path, int flags, unsigned mask,
                             struct statx* out) {
  if (const auto error = Fails("statx", {ENOMEM, EIO, ENOENT})) return Err(*error);
  return ForwardingKernel::statx(dirfd, path, flags, mask, out);
}

Result<size_t> TroubledKernel::pread(int fd, void* buf, size_t count, off_t offset) {
  if (const auto error = Fails("pread", {EIO})) return Err(*error);
  count = Shortened("pread", count);
  return ForwardingKernel::pread(fd, buf, count, offset);
}

Result<size_t> TroubledKernel::write(int fd, const void* buf, size_t count) {
  if (eventfds_.contains(fd)) return ForwardingKernel::write(fd, buf, count);
  if (const auto error = Fails("write", {ENOSPC, EIO, EPIPE})) return Err(*error);
  return ForwardingKernel::write(fd, buf, count);
}

Status TroubledKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  if (const auto error = Fails("cachestat", {ENOSYS, EPERM})) return Err(*error);
  return ForwardingKernel::cachestat(fd, range, out);
}

Result<size_t> TroubledKernel::getdents64(int fd, void* buf, size_t count) {
  if (const auto error = Fails("getdents64", {EIO, ENOENT, ENOMEM})) return Err(*error);
  return ForwardingKernel::getdents64(fd, buf, count);
}

Result<int> TroubledKernel::memfd_create(const char* name, unsigned flags) {
  if (const auto error = Fails("memfd_create", {EMFILE, ENOMEM})) return Err(*error);
  return ForwardingKernel::memfd_create(name, flags);
}

Status TroubledKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  if (const auto error = Fails("fallocate", {ENOSPC, ENOMEM})) return Err(*error);
  return ForwardingKernel::fallocate(fd, mode, offset, len);
}

Result<void*> TroubledKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                   off_t offset) {
  if (const auto error = Fails("mmap", {ENOMEM})) return Err(*error);
  return ForwardingKernel::mmap(addr, length, prot, flags, fd, offset);
}

Result<int> TroubledKernel::socket(int domain, int type, int protocol) {
  if (const auto error = Fails("socket", {EMFILE, ENOBUFS})) return Err(*error);
  return ForwardingKernel::socket(domain, type, protocol);
}

Status TroubledKernel::bind(int fd, const sockaddr* addr, socklen_t len) {
  if (const auto error = Fails("bind", {EADDRINUSE, EACCES})) return Err(*error);
  return ForwardingKernel::bind(fd, addr, len);
}

Status TroubledKernel::listen(int fd, int backlog) {
  if (const auto error = Fails("listen", {EADDRINUSE})) return Err(*error);
  return ForwardingKernel::listen(fd, backlog);
}

Result<int> TroubledKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  if (const auto error = Fails("accept4", {EMFILE, ENFILE, ENOMEM, ECONNABORTED, EPERM, ENETDOWN}))
    return Err(*error);
  return ForwardingKernel::accept4(fd, addr, len, flags);
}

Status TroubledKernel::setsockopt(int fd, int level, int name, const void* value, socklen_t len) {
  if (const auto error = Fails("setsockopt", {ENOMEM})) return Err(*error);
  return ForwardingKernel::setsockopt(fd, level, name, value, len);
}

Result<size_t> TroubledKernel::recv(int fd, void* buf, size_t len, int flags) {
  if (const auto error = Fails("recv", {ECONNRESET, ETIMEDOUT, ENOMEM})) return Err(*error);
  len = Shortened("recv", len);
  return ForwardingKernel::recv(fd, buf, len, flags);
}

Result<size_t> TroubledKernel::send(int fd, const void* buf, size_t len, int flags) {
  if (const auto error = Fails("send", {EPIPE, ECONNRESET, ENOBUFS, ENOMEM})) return Err(*error);
  len = Shortened("send", len);
  return ForwardingKernel::send(fd, buf, len, flags);
}

Result<size_t> TroubledKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  if (const auto error = Fails("sendfile", {EIO, EPIPE, ECONNRESET, ENOMEM})) return Err(*error);
  count = Shortened("sendfile", count);
  return ForwardingKernel::sendfile(out_fd, in_fd, offset, count);
}

Result<int> TroubledKernel::epoll_create1(int flags) {
  if (const auto error = Fails("epoll_create1", {EMFILE, ENOMEM})) return Err(*error);
  return ForwardingKernel::epoll_create1(flags);
}

Status TroubledKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  // Taking something out needs no memory.
  if (op == EPOLL_CTL_DEL) return ForwardingKernel::epoll_ctl(epfd, op, fd, event);
  // ENOSPC is for what is added alone.
  const bool adds = op == EPOLL_CTL_ADD;
  const auto error = adds ? Fails("epoll_ctl", {ENOMEM, ENOSPC}) : Fails("epoll_ctl", {ENOMEM});
  if (error) return Err(*error);
  return ForwardingKernel::epoll_ctl(epfd, op, fd, event);
}

Result<int> TroubledKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                                  const sigset_t* sigmask) {
  if (const auto error = Fails("ppoll", {ENOMEM})) return Err(*error);
  return ForwardingKernel::ppoll(fds, nfds, timeout, sigmask);
}

Result<int> TroubledKernel::eventfd(unsigned initval, int flags) {
  if (const auto error = Fails("eventfd", {EMFILE, ENOMEM})) return Err(*error);
  const Result<int> made = ForwardingKernel::eventfd(initval, flags);
  if (made) eventfds_.insert(*made);
  return made;
}

Result<io_context_t> TroubledKernel::io_setup(unsigned nr_events) {
  if (const auto error = Fails("io_setup", {EAGAIN, ENOMEM, ENOSYS})) return Err(*error);
  return ForwardingKernel::io_setup(nr_events);
}

Result<int> TroubledKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  if (const auto error = Fails("io_submit", {EAGAIN, EINVAL})) return Err(*error);
  return ForwardingKernel::io_submit(ctx, nr, iocbs);
}

Status TroubledKernel::setrlimit(int resource, const rlimit& limit) {
  if (const auto error = Fails("setrlimit", {EPERM})) return Err(*error);
  return ForwardingKernel::setrlimit(resource, limit);
}

Result<ThreadId> TroubledKernel::thread_create(const char* name, std::function<void()> body) {
  if (const auto error = Fails("thread_create", {EAGAIN})) return Err(*error);
  return ForwardingKernel::thread_create(name, std::move(body));
}

}  // namespace pollux::sim
