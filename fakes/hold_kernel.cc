#include "fakes/hold_kernel.h"

#include <utility>

namespace pollux {
namespace {

bool Sleeps(const timespec* timeout) {
  return timeout == nullptr || timeout->tv_sec != 0 || timeout->tv_nsec != 0;
}

}  // namespace

HoldKernel::HoldKernel(Kernel& below) : ForwardingKernel(below), loop_thread_(below.gettid()) {}

int64_t HoldKernel::Now() {
  const timespec now = clock_gettime(CLOCK_MONOTONIC);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

template <typename Call>
auto HoldKernel::Recorded(Point point, Call call) {
  Record& record = records_[static_cast<size_t>(point)];
  record.thread = gettid();
  record.last_entered = Now();
  ++record.entered;
  auto result = call();
  auto& slot = record.log[record.returned % kRemembered];
  slot.time = Now();
  slot.error = result ? 0 : result.error().code;
  ++record.returned;
  return result;
}

void HoldKernel::Hold() {
  if (hold_ == nullptr) return;
  const auto hold = std::exchange(hold_, nullptr);
  hold();
}

Result<int> HoldKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                                    const sigset_t* sigmask) {
  const auto call = [&] {
    return ForwardingKernel::epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
  };
  if (timeout_ms == 0 || gettid() != loop_thread_) return call();
  Hold();
  return Recorded(Point::kLoopWait, call);
}

Result<int> HoldKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  const auto call = [&] { return ForwardingKernel::poll(fds, nfds, timeout_ms); };
  if (timeout_ms == 0 || gettid() != loop_thread_) return call();
  Hold();
  return Recorded(Point::kLoopWait, call);
}

Result<int> HoldKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                              const sigset_t* sigmask) {
  const auto call = [&] { return ForwardingKernel::ppoll(fds, nfds, timeout, sigmask); };
  if (!Sleeps(timeout) || gettid() != loop_thread_) return call();
  Hold();
  return Recorded(Point::kLoopWait, call);
}

Result<int> HoldKernel::eventfd(unsigned initval, int flags) {
  const auto made = ForwardingKernel::eventfd(initval, flags);
  if (made) last_eventfd_ = *made;
  return made;
}

Result<int> HoldKernel::io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                     const timespec* timeout) {
  const auto call = [&] {
    return ForwardingKernel::io_getevents(ctx, min_nr, nr, events, timeout);
  };
  if (!Sleeps(timeout) || gettid() == loop_thread_) return call();
  return Recorded(Point::kHelperWait, call);
}

Result<int> HoldKernel::io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                                      const timespec* timeout, const sigset_t* sigmask) {
  const auto call = [&] {
    return ForwardingKernel::io_pgetevents(ctx, min_nr, nr, events, timeout, sigmask);
  };
  if (!Sleeps(timeout) || gettid() == loop_thread_) return call();
  return Recorded(Point::kHelperWait, call);
}

Status HoldKernel::kill(pid_t pid, int signum) {
  return Recorded(gettid() == loop_thread_ ? Point::kKickToHelper : Point::kKickToLoop,
                  [&] { return ForwardingKernel::kill(pid, signum); });
}

Status HoldKernel::tgkill(pid_t tgid, pid_t tid, int signum) {
  return Recorded(gettid() == loop_thread_ ? Point::kKickToHelper : Point::kKickToLoop,
                  [&] { return ForwardingKernel::tgkill(tgid, tid, signum); });
}

}  // namespace pollux
