// Waits, AIO, signals and threads.
#include <utility>

#include "fakes/recording/arguments.h"
#include "fakes/recording/recording_kernel.h"
#include "fakes/recording/recording_text.h"

namespace pollux {

using nlohmann::json;
using recorded::AddressOf;
using recorded::New;
using recorded::Text;
using recorded::ToJson;

// --- Waiting

Result<int> RecordingKernel::epoll_create1(int flags) {
  Entry entry(*this, "epoll_create1");
  const auto made = to().epoll_create1(flags);
  entry.End(New(made, recorded::kDescriptor), {{"flags", flags}, {"made", made.value_or(-1)}});
  return made;
}

Status RecordingKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  Entry entry(*this, "epoll_ctl");
  // EPOLL_CTL_DEL needs none.
  const epoll_event wanted = event != nullptr ? *event : epoll_event{};
  const Status done = to().epoll_ctl(epfd, op, fd, event);
  entry.End(Text(done), {{"epfd", epfd},
                         {"op", op},
                         {"fd", fd},
                         {"events", uint32_t{wanted.events}},
                         {"data", uint64_t{wanted.data.u64}}});
  return done;
}

Result<int> RecordingKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents,
                                         int timeout_ms, const sigset_t* sigmask) {
  Entry entry(*this, "epoll_pwait");
  const auto count = to().epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
  entry.End(Text(count, events),
            {{"epfd", epfd},
             {"maxevents", maxevents},
             {"timeout_ms", timeout_ms},
             {"sigmask", ToJson(sigmask)}},
            count == 0);
  return count;
}

Result<int> RecordingKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  Entry entry(*this, "poll");
  const auto count = to().poll(fds, nfds, timeout_ms);
  entry.End(Text(count, fds, nfds), {{"fds", ToJson(fds, nfds)}, {"timeout_ms", timeout_ms}},
            count == 0);
  return count;
}

Result<int> RecordingKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                                   const sigset_t* sigmask) {
  Entry entry(*this, "ppoll");
  const auto count = to().ppoll(fds, nfds, timeout, sigmask);
  entry.End(
      Text(count, fds, nfds),
      {{"fds", ToJson(fds, nfds)}, {"timeout_ns", ToJson(timeout)}, {"sigmask", ToJson(sigmask)}},
      count == 0);
  return count;
}

Result<int> RecordingKernel::eventfd(unsigned initval, int flags) {
  Entry entry(*this, "eventfd");
  const auto made = to().eventfd(initval, flags);
  entry.End(New(made, recorded::kDescriptor),
            {{"initval", initval}, {"flags", flags}, {"made", made.value_or(-1)}});
  return made;
}

// --- AIO

Result<io_context_t> RecordingKernel::io_setup(unsigned nr_events) {
  Entry entry(*this, "io_setup");
  const auto made = to().io_setup(nr_events);
  entry.End(New(made, recorded::kContext),
            {{"nr_events", nr_events}, {"made", AddressOf(made.value_or(nullptr))}});
  return made;
}

Status RecordingKernel::io_destroy(io_context_t ctx) {
  Entry entry(*this, "io_destroy");
  const Status done = to().io_destroy(ctx);
  entry.End(Text(done), {{"context", AddressOf(ctx)}});
  return done;
}

Result<int> RecordingKernel::io_submit(io_context_t ctx, long nr, iocb** iocbs) {
  Entry entry(*this, "io_submit");
  json requests =
      ToJson(iocbs, nr);  // before: a completion may come inside, and its slot be reused
  const auto taken = to().io_submit(ctx, nr, iocbs);
  entry.End(Text(taken), {{"context", AddressOf(ctx)}, {"requests", std::move(requests)}});
  return taken;
}

Result<int> RecordingKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                          const timespec* timeout) {
  Entry entry(*this, "io_getevents");
  const auto count = to().io_getevents(ctx, min_nr, nr, events, timeout);
  entry.End(Text(count, events),
            {{"context", AddressOf(ctx)},
             {"min_nr", min_nr},
             {"nr", nr},
             {"timeout_ns", ToJson(timeout)}},
            count == 0);
  return count;
}

Result<int> RecordingKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                           const timespec* timeout, const sigset_t* sigmask) {
  Entry entry(*this, "io_pgetevents");
  const auto count = to().io_pgetevents(ctx, min_nr, nr, events, timeout, sigmask);
  entry.End(Text(count, events),
            {{"context", AddressOf(ctx)},
             {"min_nr", min_nr},
             {"nr", nr},
             {"timeout_ns", ToJson(timeout)},
             {"sigmask", ToJson(sigmask)}},
            count == 0);
  return count;
}

// --- Signals and threads

Status RecordingKernel::sigaction(int signum, const struct sigaction& act) {
  Entry entry(*this, "sigaction");
  const Status done = to().sigaction(signum, act);
  const char* handler = act.sa_handler == SIG_IGN   ? recorded::kIgnored
                        : act.sa_handler == SIG_DFL ? recorded::kDefault
                                                    : recorded::kHandled;
  entry.End(Text(done), {{"signum", signum},
                         {"handler", handler},
                         {"flags", act.sa_flags},
                         {"mask", ToJson(&act.sa_mask)}});
  return done;
}

Status RecordingKernel::pthread_sigmask(int how, const sigset_t& set, sigset_t* old) {
  Entry entry(*this, "pthread_sigmask");
  const Status done = to().pthread_sigmask(how, set, old);
  entry.End(Text(done), {{"how", how}, {"set", ToJson(&set)}});
  return done;
}

Status RecordingKernel::kill(pid_t pid, int signum) {
  Entry entry(*this, "kill");
  const Status done = to().kill(pid, signum);
  entry.End(Text(done), {{"signum", signum}});
  return done;
}

Status RecordingKernel::tgkill(pid_t tgid, pid_t tid, int signum) {
  Entry entry(*this, "tgkill");
  const Status done = to().tgkill(tgid, tid, signum);
  entry.End(Text(done), {{"thread", NumberOfTid(tid)}, {"signum", signum}});
  return done;
}

int RecordingKernel::NewThread() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return recording_.threads++;
}

int RecordingKernel::NumberOf(ThreadId thread) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return by_id_.at(static_cast<uint64_t>(thread));
}

int RecordingKernel::NumberOfTid(pid_t tid) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return by_tid_.at(tid);
}

Result<ThreadId> RecordingKernel::thread_create(const char* name, std::function<void()> body) {
  Entry entry(*this, "thread_create");
  const int number = NewThread();
  const auto made = to().thread_create(name, [this, number, body = std::move(body)] {
    thread_ = number;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      by_tid_[to().gettid()] = number;
    }
    body();
  });
  if (made) {
    const std::lock_guard<std::mutex> lock(mutex_);
    by_id_[static_cast<uint64_t>(*made)] = number;
  }
  entry.End(New(made, recorded::kThread), {{"thread", number}});
  return made;
}

void RecordingKernel::thread_join(ThreadId thread) {
  Entry entry(*this, "thread_join");
  to().thread_join(thread);
  entry.End("0", {{"thread", NumberOf(thread)}});
}

}  // namespace pollux
