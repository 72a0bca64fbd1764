#include "fakes/recording/recording_kernel.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "core/base/check.h"

namespace pollux {
namespace {

// Which thread of the run this one is.
thread_local int t_thread = 0;

std::string Name(const Error& error) {
  const char* name = ::strerrorname_np(error.code);
  return name != nullptr ? name : std::to_string(error.code);
}

std::string Text(const Status& status) { return status ? "0" : Name(status.error()); }

template <typename Count>
std::string Text(const Result<Count>& result) {
  return result ? std::to_string(*result) : Name(result.error());
}

// Bytes as a number: enough to tell them apart, short enough to read.
std::string Digest(const void* data, size_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
  }
  return std::to_string(count) + " bytes of digest " + std::to_string(hash % 1'000'000);
}

std::string Text(const Result<size_t>& result, const void* data) {
  return result ? Digest(data, *result) : Name(result.error());
}

// A new descriptor: its number is the other kernel's affair.
std::string New(Translation& to, int recorded, const Result<int>& made) {
  if (!made) return Name(made.error());
  to.fds[recorded] = *made;
  return "a descriptor";
}
std::string New(const Result<int>& made) { return made ? "a descriptor" : Name(made.error()); }

std::string Joined(std::vector<std::string> parts) {
  std::sort(parts.begin(), parts.end());
  std::string text = std::to_string(parts.size());
  for (const std::string& part : parts) text += ", " + part;
  return text;
}

std::string Text(const Result<int>& count, const epoll_event* events) {
  if (!count) return Name(count.error());
  std::vector<std::string> parts;
  for (int i = 0; i < *count; ++i) {
    parts.push_back(std::to_string(events[i].data.u64) + ":" + std::to_string(events[i].events));
  }
  return Joined(std::move(parts));
}

std::string Text(const Result<int>& count, const std::vector<pollfd>& fds) {
  if (!count) return Name(count.error());
  std::vector<std::string> parts;
  for (size_t i = 0; i < fds.size(); ++i) {
    if (fds[i].revents != 0) {
      parts.push_back("entry " + std::to_string(i) + ":" + std::to_string(fds[i].revents));
    }
  }
  return Joined(std::move(parts));
}

// By the data that went along, which is what tells requests apart in either run.
std::string Text(const Result<int>& count, const io_event* events) {
  if (!count) return Name(count.error());
  std::vector<std::string> parts;
  for (int i = 0; i < *count; ++i) {
    const auto res = static_cast<long>(events[i].res);
    std::string part = "request at " + std::to_string(events[i].obj->u.c.offset) + ": ";
    part +=
        res < 0 ? std::to_string(res) : Digest(events[i].obj->u.c.buf, static_cast<size_t>(res));
    parts.push_back(std::move(part));
  }
  return Joined(std::move(parts));
}

std::optional<sigset_t> Copy(const sigset_t* mask) {
  return mask != nullptr ? std::optional(*mask) : std::nullopt;
}
const sigset_t* Pointer(const std::optional<sigset_t>& mask) { return mask ? &*mask : nullptr; }

}  // namespace

// A call on its way: begins where it is made.
class RecordingKernel::Entry {
 public:
  Entry(RecordingKernel& kernel, const char* name) : kernel_(kernel) {
    call_.thread = t_thread;
    call_.name = name;
    call_.begin = kernel_.Stamp();
  }
  void End(std::string result, Again again, bool timed_out = false) {
    call_.result = std::move(result);
    call_.again = std::move(again);
    call_.timed_out = timed_out;
    call_.end = kernel_.Stamp();
    kernel_.Add(std::move(call_));
  }

 private:
  RecordingKernel& kernel_;
  RecordedCall call_;
};

RecordingKernel::RecordingKernel(Kernel& to) : ForwardingKernel(to) {
  t_thread = 0;
  recording_.tids.push_back(to.gettid());
}

uint64_t RecordingKernel::Stamp() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ++stamp_;
}

void RecordingKernel::Add(RecordedCall call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  recording_.calls.push_back(std::move(call));
}

Recording RecordingKernel::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Recording out = std::exchange(recording_, {});
  std::sort(out.calls.begin(), out.calls.end(),
            [](const auto& one, const auto& other) { return one.begin < other.begin; });
  return out;
}

void RecordingKernel::Outside(const char* name, const std::function<std::string()>& act,
                              std::function<std::string(Translation&)> again) {
  Entry entry(*this, name);
  entry.End(act(), std::move(again));
}

// --- Files and memory

Result<int> RecordingKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  Entry entry(*this, "openat");
  const auto made = to().openat(dirfd, path, flags, mode);
  entry.End(New(made), [=, at = std::string(path), fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.openat(t.Fd(dirfd), at.c_str(), flags, mode));
  });
  return made;
}

Status RecordingKernel::close(int fd) {
  Entry entry(*this, "close");
  const Status done = to().close(fd);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.close(t.Fd(fd))); });
  return done;
}

Result<size_t> RecordingKernel::read(int fd, void* buf, size_t count) {
  Entry entry(*this, "read");
  const auto got = to().read(fd, buf, count);
  entry.End(Text(got, buf), [=](Translation& t) {
    std::vector<char> bytes(count);
    const auto again = t.kernel.read(t.Fd(fd), bytes.data(), count);
    return Text(again, bytes.data());
  });
  return got;
}

Result<size_t> RecordingKernel::write(int fd, const void* buf, size_t count) {
  Entry entry(*this, "write");
  std::string bytes(static_cast<const char*>(buf), count);
  const auto done = to().write(fd, buf, count);
  entry.End(Text(done), [=, bytes = std::move(bytes)](Translation& t) {
    return Text(t.kernel.write(t.Fd(fd), bytes.data(), bytes.size()));
  });
  return done;
}

Result<int> RecordingKernel::memfd_create(const char* name, unsigned flags) {
  Entry entry(*this, "memfd_create");
  const auto made = to().memfd_create(name, flags);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.memfd_create("", flags));
  });
  return made;
}

Status RecordingKernel::ftruncate(int fd, off_t length) {
  Entry entry(*this, "ftruncate");
  const Status done = to().ftruncate(fd, length);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.ftruncate(t.Fd(fd), length)); });
  return done;
}

Status RecordingKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  Entry entry(*this, "fallocate");
  const Status done = to().fallocate(fd, mode, offset, len);
  entry.End(Text(done),
            [=](Translation& t) { return Text(t.kernel.fallocate(t.Fd(fd), mode, offset, len)); });
  return done;
}

Result<void*> RecordingKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                    off_t offset) {
  Entry entry(*this, "mmap");
  const auto made = to().mmap(addr, length, prot, flags, fd, offset);
  const auto* recorded = static_cast<const char*>(made.value_or(nullptr));
  entry.End(made ? "an address" : Name(made.error()), [=](Translation& t) {
    const auto again = t.kernel.mmap(addr, length, prot, flags, t.Fd(fd), offset);
    if (!again) return Name(again.error());
    t.areas.push_back({recorded, static_cast<char*>(*again), length});
    return std::string("an address");
  });
  return made;
}

Status RecordingKernel::munmap(void* addr, size_t length) {
  Entry entry(*this, "munmap");
  const Status done = to().munmap(addr, length);
  entry.End(Text(done), [=](Translation& t) {
    char* here = t.Address(addr);
    std::erase_if(t.areas, [&](const auto& area) { return area.here == here; });
    return Text(t.kernel.munmap(here, length));
  });
  return done;
}

// --- Sockets

Result<int> RecordingKernel::socket(int domain, int type, int protocol) {
  Entry entry(*this, "socket");
  const auto made = to().socket(domain, type, protocol);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.socket(domain, type, protocol));
  });
  return made;
}

Status RecordingKernel::listen(int fd, int backlog) {
  Entry entry(*this, "listen");
  const Status done = to().listen(fd, backlog);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.listen(t.Fd(fd), backlog)); });
  return done;
}

Result<int> RecordingKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  Entry entry(*this, "accept4");
  const auto made = to().accept4(fd, addr, len, flags);
  entry.End(New(made), [=, accepted = made.value_or(-1)](Translation& t) {
    return New(t, accepted, t.kernel.accept4(t.Fd(fd), nullptr, nullptr, flags));
  });
  return made;
}

Result<size_t> RecordingKernel::recv(int fd, void* buf, size_t len, int flags) {
  Entry entry(*this, "recv");
  const auto got = to().recv(fd, buf, len, flags);
  entry.End(Text(got, buf), [=](Translation& t) {
    std::vector<char> bytes(len);
    const auto again = t.kernel.recv(t.Fd(fd), bytes.data(), len, flags);
    return Text(again, bytes.data());
  });
  return got;
}

Result<size_t> RecordingKernel::send(int fd, const void* buf, size_t len, int flags) {
  Entry entry(*this, "send");
  std::string bytes(static_cast<const char*>(buf), len);
  const auto done = to().send(fd, buf, len, flags);
  entry.End(Text(done), [=, bytes = std::move(bytes)](Translation& t) {
    return Text(t.kernel.send(t.Fd(fd), bytes.data(), bytes.size(), flags));
  });
  return done;
}

Result<size_t> RecordingKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  Entry entry(*this, "sendfile");
  const off_t from = *offset;
  const auto done = to().sendfile(out_fd, in_fd, offset, count);
  entry.End(Text(done), [=](Translation& t) {
    off_t at = from;
    return Text(t.kernel.sendfile(t.Fd(out_fd), t.Fd(in_fd), &at, count));
  });
  return done;
}

// --- Waiting

Result<int> RecordingKernel::epoll_create1(int flags) {
  Entry entry(*this, "epoll_create1");
  const auto made = to().epoll_create1(flags);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.epoll_create1(flags));
  });
  return made;
}

Status RecordingKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  Entry entry(*this, "epoll_ctl");
  const epoll_event copy = *event;
  const Status done = to().epoll_ctl(epfd, op, fd, event);
  entry.End(Text(done), [=](Translation& t) {
    epoll_event wanted = copy;
    return Text(t.kernel.epoll_ctl(t.Fd(epfd), op, t.Fd(fd), &wanted));
  });
  return done;
}

Result<int> RecordingKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents,
                                         int timeout_ms, const sigset_t* sigmask) {
  Entry entry(*this, "epoll_pwait");
  const auto count = to().epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
  entry.End(
      Text(count, events),
      [=, mask = Copy(sigmask)](Translation& t) {
        std::vector<epoll_event> found(static_cast<size_t>(maxevents));
        const auto again =
            t.kernel.epoll_pwait(t.Fd(epfd), found.data(), maxevents, timeout_ms, Pointer(mask));
        return Text(again, found.data());
      },
      count == 0);
  return count;
}

Result<int> RecordingKernel::Poll(
    const char* name, pollfd* fds, nfds_t nfds, const sigset_t* sigmask,
    const std::function<Result<int>(Kernel&, pollfd*, const sigset_t*)>& poll) {
  Entry entry(*this, name);
  const std::vector<pollfd> asked(fds, fds + nfds);
  const auto count = poll(to(), fds, sigmask);
  entry.End(
      Text(count, std::vector<pollfd>(fds, fds + nfds)),
      [=, mask = Copy(sigmask)](Translation& t) {
        std::vector<pollfd> entries = asked;
        for (pollfd& one : entries) one.fd = t.Fd(one.fd);
        const auto again = poll(t.kernel, entries.data(), Pointer(mask));
        return Text(again, entries);
      },
      count == 0);
  return count;
}

Result<int> RecordingKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  return Poll("poll", fds, nfds, nullptr, [=](Kernel& kernel, pollfd* entries, const sigset_t*) {
    return kernel.poll(entries, nfds, timeout_ms);
  });
}

Result<int> RecordingKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                                   const sigset_t* sigmask) {
  std::optional<timespec> at_most;
  if (timeout != nullptr) at_most = *timeout;
  return Poll("ppoll", fds, nfds, sigmask,
              [=](Kernel& kernel, pollfd* entries, const sigset_t* mask) {
                return kernel.ppoll(entries, nfds, at_most ? &*at_most : nullptr, mask);
              });
}

Result<int> RecordingKernel::eventfd(unsigned initval, int flags) {
  Entry entry(*this, "eventfd");
  const auto made = to().eventfd(initval, flags);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.eventfd(initval, flags));
  });
  return made;
}

// --- AIO

Result<io_context_t> RecordingKernel::io_setup(unsigned nr_events) {
  Entry entry(*this, "io_setup");
  const auto made = to().io_setup(nr_events);
  entry.End(made ? "a context" : Name(made.error()),
            [=, context = made.value_or(nullptr)](Translation& t) {
              const auto again = t.kernel.io_setup(nr_events);
              if (!again) return Name(again.error());
              t.contexts[context] = *again;
              return std::string("a context");
            });
  return made;
}

Status RecordingKernel::io_destroy(io_context_t ctx) {
  Entry entry(*this, "io_destroy");
  const Status done = to().io_destroy(ctx);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.io_destroy(t.contexts[ctx])); });
  return done;
}

Result<int> RecordingKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  Entry entry(*this, "io_submit");
  std::vector<std::pair<const iocb*, iocb>> requests;
  for (long i = 0; i < nr; ++i) requests.emplace_back(iocbs[i], *iocbs[i]);
  const auto taken = to().io_submit(ctx, nr, iocbs);
  entry.End(Text(taken), [=](Translation& t) {
    std::vector<iocb*> batch;
    for (const auto& [at, request] : requests) batch.push_back(t.RequestFor(request, at));
    return Text(t.kernel.io_submit(t.contexts[ctx], nr, batch.data()));
  });
  return taken;
}

Result<int> RecordingKernel::GetEvents(
    const char* name, io_context_t ctx, long nr, io_event* events, const sigset_t* sigmask,
    const std::function<Result<int>(Kernel&, io_context_t, io_event*, const sigset_t*)>& get) {
  Entry entry(*this, name);
  const auto count = get(to(), ctx, events, sigmask);
  entry.End(
      Text(count, events),
      [=, mask = Copy(sigmask)](Translation& t) {
        std::vector<io_event> found(static_cast<size_t>(nr));
        const auto again = get(t.kernel, t.contexts[ctx], found.data(), Pointer(mask));
        return Text(again, found.data());
      },
      count == 0);
  return count;
}

Result<int> RecordingKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                          const timespec* timeout) {
  std::optional<timespec> at_most;
  if (timeout != nullptr) at_most = *timeout;
  return GetEvents("io_getevents", ctx, nr, events, nullptr,
                   [=](Kernel& kernel, io_context_t context, io_event* out, const sigset_t*) {
                     return kernel.io_getevents(context, min_nr, nr, out,
                                                at_most ? &*at_most : nullptr);
                   });
}

Result<int> RecordingKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                           const timespec* timeout, const sigset_t* sigmask) {
  std::optional<timespec> at_most;
  if (timeout != nullptr) at_most = *timeout;
  return GetEvents("io_pgetevents", ctx, nr, events, sigmask,
                   [=](Kernel& kernel, io_context_t context, io_event* out, const sigset_t* mask) {
                     return kernel.io_pgetevents(context, min_nr, nr, out,
                                                 at_most ? &*at_most : nullptr, mask);
                   });
}

// --- Signals and threads

Status RecordingKernel::sigaction(int signum, const struct sigaction& act) {
  Entry entry(*this, "sigaction");
  const Status done = to().sigaction(signum, act);
  // A handler of the run has no business in another one.
  struct sigaction copy = act;
  if (copy.sa_handler != SIG_IGN && copy.sa_handler != SIG_DFL) copy.sa_handler = [](int) {};
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.sigaction(signum, copy)); });
  return done;
}

Status RecordingKernel::pthread_sigmask(int how, const sigset_t& set, sigset_t* old) {
  Entry entry(*this, "pthread_sigmask");
  const Status done = to().pthread_sigmask(how, set, old);
  entry.End(Text(done),
            [=](Translation& t) { return Text(t.kernel.pthread_sigmask(how, set, nullptr)); });
  return done;
}

Status RecordingKernel::kill(pid_t pid, int signum) {
  Entry entry(*this, "kill");
  const Status done = to().kill(pid, signum);
  entry.End(Text(done),
            [=](Translation& t) { return Text(t.kernel.kill(t.kernel.getpid(), signum)); });
  return done;
}

Status RecordingKernel::tgkill(pid_t tgid, pid_t tid, int signum) {
  Entry entry(*this, "tgkill");
  const Status done = to().tgkill(tgid, tid, signum);
  entry.End(Text(done), [=](Translation& t) {
    return Text(t.kernel.tgkill(t.kernel.getpid(), t.tids[tid], signum));
  });
  return done;
}

int RecordingKernel::NewThread() {
  const std::lock_guard<std::mutex> lock(mutex_);
  recording_.tids.push_back(0);
  return static_cast<int>(recording_.tids.size()) - 1;
}

Result<ThreadId> RecordingKernel::thread_create(const char* name, std::function<void()> body) {
  Entry entry(*this, "thread_create");
  const int number = NewThread();
  const auto made = to().thread_create(name, [this, number, body = std::move(body)] {
    t_thread = number;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      recording_.tids[static_cast<size_t>(number)] = to().gettid();
    }
    body();
  });
  const auto id = static_cast<uint64_t>(made.value_or(ThreadId{0}));
  entry.End(made ? "a thread" : Name(made.error()), [=](Translation& t) {
    const auto again = t.spawn(number);
    if (!again) return Name(again.error());
    t.threads[id] = *again;
    return std::string("a thread");
  });
  return made;
}

void RecordingKernel::thread_join(ThreadId thread) {
  Entry entry(*this, "thread_join");
  to().thread_join(thread);
  entry.End("0", [id = static_cast<uint64_t>(thread)](Translation& t) {
    t.kernel.thread_join(t.threads.at(id));
    return std::string("0");
  });
}

}  // namespace pollux
