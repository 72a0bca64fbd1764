#include "core/server/supervisor.h"

#include <poll.h>
#include <string.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace pollux {
namespace {

std::string HowItEnded(int status) {
  if (WIFSIGNALED(status)) {
    const char* name = ::sigabbrev_np(WTERMSIG(status));
    return std::string("was ended by SIG") + (name != nullptr ? name : "?");
  }
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

// A socket pair holds three bytes at most, one hangup and two stops, however long its worker does
// not read: EAGAIN cannot be. EPIPE is heard of by the next recv.
void SendByte(Kernel& kernel, int fd, char what) {
  (void)kernel.send(fd, &what, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Supervisor::Supervisor(Kernel& kernel, Logger& log, WorkerBody& body, size_t workers)
    : kernel_(kernel), log_(log), body_(body), signals_(kernel), workers_(workers) {}

int Supervisor::Run() {
  if (Status s = signals_.Install(Signals::Delivery::kOnlyInWaits); !s) {
    log_.Error("--workers: {}", ToString(s.error()));
    return 1;
  }
  const TimePoint now = MonotonicNow(kernel_);
  workers_[0].restart_at = now;
  for (;;) {
    if (std::optional<int> in_worker = StartWhatIsDue()) return *in_worker;
    if (terminating_ && !AnyAlive()) return exit_status_;
    if (Status s = Sleep(); !s) {
      // EINVAL (RLIMIT_NOFILE was lowered below the number of workers). Without a way to wait
      // nothing can be looked after: the ends of the socket pairs tell the workers to finish.
      log_.Error("--workers: {}; the workers finish by themselves", ToString(s.error()));
      return 1;
    }
    HandleSignals();
    for (size_t index = 0; index < workers_.size(); ++index) HandleWorker(index);
  }
}

std::optional<int> Supervisor::StartWhatIsDue() {
  for (size_t index = 0; index < workers_.size(); ++index) {
    Worker& worker = workers_[index];
    if (!worker.restart_at || *worker.restart_at > MonotonicNow(kernel_)) continue;
    worker.restart_at.reset();
    if (std::optional<int> in_worker = Start(index)) return in_worker;
  }
  return std::nullopt;
}

std::optional<int> Supervisor::Start(size_t index) {
  Worker& worker = workers_[index];
  worker.started = MonotonicNow(kernel_);
  worker.ready = false;
  std::array<int, 2> ends{};
  // EMFILE, ENFILE, ENOBUFS, ENOMEM: perhaps later.
  if (Status s =
          kernel_.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data());
      !s) {
    Replace(index, "could not be started: " + ToString(s.error()));
    return std::nullopt;
  }
  worker.control = Fd(kernel_, ends[0]);
  Fd theirs(kernel_, ends[1]);
  // EAGAIN (RLIMIT_NPROC, pids.max), ENOMEM: likewise.
  const Result<pid_t> pid = kernel_.fork();
  if (!pid) {
    worker.control.Reset();
    Replace(index, "could not be started: " + ToString(pid.error()));
    return std::nullopt;
  }
  if (*pid == 0) {
    workers_.clear();  // or the others would not hear of the supervisor's end
    return body_.RunWorker(index, theirs.Release());
  }
  worker.pid = *pid;
  return std::nullopt;
}

Status Supervisor::Sleep() {
  polled_.clear();
  std::optional<TimePoint> next;
  for (const Worker& worker : workers_) {
    polled_.push_back({worker.pid != 0 ? worker.control.get() : -1, POLLIN, 0});  // -1: ignored
    if (worker.restart_at && (!next || *worker.restart_at < *next)) next = worker.restart_at;
  }
  timespec timeout{};
  if (next) {
    const Nanoseconds left = std::max(*next - MonotonicNow(kernel_), Nanoseconds::zero());
    timeout.tv_sec = left.count() / 1'000'000'000;
    timeout.tv_nsec = left.count() % 1'000'000'000;
  }
  const Result<int> ready = kernel_.ppoll(polled_.data(), polled_.size(), next ? &timeout : nullptr,
                                          &signals_.wait_mask());
  if (!ready) {
    for (pollfd& entry : polled_) entry.revents = 0;
    // EINTR: a signal of ours. ENOMEM: no memory for the kernel's copy of the set, which passes.
    if (ready.error().code != EINTR && ready.error().code != ENOMEM) return Err(ready.error());
  }
  return {};
}

void Supervisor::HandleSignals() {
  const int stops = Signals::Take(SIGTERM) + Signals::Take(SIGINT);
  for (int i = 0; i < stops; ++i) Terminate();
  if (Signals::Take(SIGHUP) > 0) Hangup();
}

void Supervisor::HandleWorker(size_t index) {
  Worker& worker = workers_[index];
  if (worker.pid == 0 || polled_[index].revents == 0) return;
  char what = 0;
  const Result<size_t> got = kernel_.recv(worker.control.get(), &what, 1, MSG_DONTWAIT);
  if (!got && got.error().code == EAGAIN) return;
  // The end, or ECONNRESET if it died with something unread.
  if (!got || *got == 0) {
    Bury(index);
  } else if (what == kReady) {
    OnReady(index);
  }
}

void Supervisor::OnReady(size_t index) {
  // Once: a worker that went wrong must not have others started a second time.
  if (std::exchange(workers_[index].ready, true)) return;
  if (all_ready_ || terminating_) return;
  ++ready_;
  if (ready_ == workers_.size()) {
    all_ready_ = true;
    body_.OnWorkersReady();
  } else if (index == 0) {
    for (size_t next = 1; next < workers_.size(); ++next) {
      workers_[next].restart_at = MonotonicNow(kernel_);
    }
  }
}

void Supervisor::Bury(size_t index) {
  Worker& worker = workers_[index];
  worker.control.Reset();
  const pid_t pid = std::exchange(worker.pid, 0);
  int status = 0;
  Result<pid_t> reaped = Err(EINTR, "waitpid");
  // Its descriptors are closed a moment before it can be waited for.
  while (!reaped && reaped.error().code == EINTR) reaped = kernel_.waitpid(pid, &status, 0);
  const std::string how = reaped ? HowItEnded(status) : "is gone: " + ToString(reaped.error());
  const bool well = reaped && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (terminating_) {
    if (!well) log_.Warn("worker {} (process {}) {}", index, pid, how);
    return;
  }
  if (all_ready_) {
    Replace(index, "(process " + std::to_string(pid) + ") " + how);
    return;
  }
  // What the first start of a worker cannot do, the next could not either: it has said why.
  const bool refused = reaped && WIFEXITED(status);
  if (!refused) log_.Error("worker {} (process {}) {} before it was ready", index, pid, how);
  exit_status_ = refused && !well ? WEXITSTATUS(status) : 1;
  Terminate();
}

void Supervisor::Replace(size_t index, const std::string& how_it_ended) {
  Worker& worker = workers_[index];
  const TimePoint now = MonotonicNow(kernel_);
  const bool young = now - worker.started < kSteadyAfter;
  worker.delay = young ? std::clamp(2 * worker.delay, kRestartMin, kRestartMax) : kRestartMin;
  worker.restart_at = now + worker.delay;
  log_.Error("worker {} {}; another one starts in {} ms, its clients wait", index, how_it_ended,
             worker.delay.count());
}

// The first time nobody comes in any more and what runs is finished; the second time it is cut.
void Supervisor::Terminate() {
  if (!terminating_) {
    terminating_ = true;
    for (Worker& worker : workers_) worker.restart_at.reset();
    body_.OnWorkersDrain();
  }
  // A third would say nothing new, and must not fill the socket pair of a worker that is stopped.
  if (stops_told_ == kStopsMax) return;
  ++stops_told_;
  for (const Worker& worker : workers_) {
    if (worker.pid != 0) SendByte(kernel_, worker.control.get(), kTerminate);
  }
}

// A worker that has something to read yet has a hangup to read, or is about to stop: it will reopen
// its log after this moment, once. Unread bytes: SIOCOUTQ (unix_outq_len of net/unix/af_unix.c). If
// the kernel does not tell, the hangup is sent.
void Supervisor::Hangup() {
  for (const Worker& worker : workers_) {
    if (worker.pid == 0) continue;
    const int fd = worker.control.get();
    if (kernel_.ioctl_outq(fd).value_or(0) == 0) SendByte(kernel_, fd, kHangup);
  }
}

bool Supervisor::AnyAlive() const {
  return std::any_of(workers_.begin(), workers_.end(),
                     [](const Worker& worker) { return worker.pid != 0; });
}

WorkerControl::WorkerControl(Kernel& kernel, EventLoop& loop, int fd, SignalHandler& handler)
    : kernel_(kernel), loop_(loop), fd_(fd), handler_(handler) {}

Status WorkerControl::Start() {
  Result<Registration> registration = loop_.Register(fd_, POLLIN, this);
  if (!registration) return Err(registration.error());
  registration_ = std::move(*registration);
  const char ready = Supervisor::kReady;
  const Result<size_t> sent = kernel_.send(fd_, &ready, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (!sent) return Err(sent.error());
  return {};
}

void WorkerControl::OnFdevent(uint32_t /*revents*/) {
  std::array<char, 16> said{};
  const Result<size_t> got = kernel_.recv(fd_, said.data(), said.size(), MSG_DONTWAIT);
  // EINTR: a signal of `published`; poll reports the bytes again.
  if (!got && (got.error().code == EAGAIN || got.error().code == EINTR)) return;
  if (!got || *got == 0) {
    // Nobody would replace this worker or tell it to stop: it finishes what it has.
    // If it does so already, this is no second stop, which would cut it.
    registration_.Reset();
    if (!std::exchange(terminating_, true)) handler_.OnTerminate();
    return;
  }
  for (size_t i = 0; i < *got; ++i) {
    if (said[i] == Supervisor::kTerminate) {
      terminating_ = true;
      handler_.OnTerminate();
    }
    if (said[i] == Supervisor::kHangup) handler_.OnHangup();
  }
}

}  // namespace pollux
