// Waits, AIO, signals and threads.
#include <optional>
#include <utility>

#include "fakes/recording/recording_kernel.h"
#include "fakes/recording/recording_text.h"

namespace pollux {

using recorded::New;
using recorded::Text;

namespace {

std::optional<sigset_t> Copy(const sigset_t* mask) {
  return mask != nullptr ? std::optional(*mask) : std::nullopt;
}
const sigset_t* Pointer(const std::optional<sigset_t>& mask) { return mask ? &*mask : nullptr; }

}  // namespace

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
  entry.End(made ? "a context" : ErrnoName(made.error().code),
            [=, context = made.value_or(nullptr)](Translation& t) {
              const auto again = t.kernel.io_setup(nr_events);
              if (!again) return ErrnoName(again.error().code);
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
    thread_ = number;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      recording_.tids[static_cast<size_t>(number)] = to().gettid();
    }
    body();
  });
  const auto id = static_cast<uint64_t>(made.value_or(ThreadId{0}));
  entry.End(made ? "a thread" : ErrnoName(made.error().code), [=](Translation& t) {
    const auto again = t.spawn(number);
    if (!again) return ErrnoName(again.error().code);
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
