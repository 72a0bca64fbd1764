// poll(2), ppoll, epoll(7), eventfd(2): what is ready, and sleeping until something is.
//
// The order of looks is that of Linux (fs/select.c do_poll, fs/eventpoll.c ep_poll): poll looks at
// descriptors, then signals, then the time; epoll at time-out 0 never looks at signals.
#include <poll.h>
#include <sys/eventfd.h>

#include <cerrno>

#include "core/base/check.h"
#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

Nanoseconds ToNanoseconds(const timespec& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

constexpr uint64_t kEventfdMax = UINT64_MAX - 1;

}  // namespace

short Description::Readiness() const {
  switch (kind) {
    case Kind::kFile:
    case Kind::kConsole:
      return POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
    case Kind::kEventfd:
      return static_cast<short>((counter > 0 ? POLLIN : 0) | (counter < kEventfdMax ? POLLOUT : 0));
    case Kind::kEpoll:
      return 0;  // an epoll instance that is itself polled: refused by epoll_ctl and Scan
    case Kind::kSocket:
      return POLLOUT | POLLWRNORM | POLLHUP;  // not connected
    case Kind::kListener:
      return backlog.empty() ? 0 : POLLIN | POLLRDNORM;
    case Kind::kConnection:
      return connection->Readiness();
  }
  return 0;
}

Footprint SimKernel::LooksAtTheClock() const {
  return scheduler_.time_is_a_choice() ? Footprint().Read(kClock) : Footprint();
}

// Fills revents; the number of entries that have some.
int SimKernel::Scan(pollfd* fds, nfds_t nfds) const {
  int count = 0;
  for (nfds_t i = 0; i < nfds; ++i) {
    pollfd& entry = fds[i];
    entry.revents = 0;
    if (entry.fd < 0) continue;
    const Description* found = Find(entry.fd);
    if (found == nullptr) {
      entry.revents = POLLNVAL;
    } else {
      if (found->kind == Description::Kind::kEpoll) NotModelled("poll of an epoll instance");
      entry.revents = static_cast<short>(found->Readiness() & (entry.events | POLLERR | POLLHUP));
    }
    if (entry.revents != 0) ++count;
  }
  return count;
}

Result<int> SimKernel::Poll(const char* name, pollfd* fds, nfds_t nfds,
                            std::optional<Nanoseconds> timeout, const sigset_t* sigmask) {
  class Ready final : public Condition {
   public:
    Ready(const SimKernel& kernel, pollfd* fds, nfds_t nfds)
        : kernel_(kernel), fds_(fds), nfds_(nfds) {}
    bool Holds() const override { return kernel_.Scan(fds_, nfds_) > 0; }

   private:
    const SimKernel& kernel_;
    pollfd* fds_;
    nfds_t nfds_;
  };

  Footprint footprint;
  for (nfds_t i = 0; i < nfds; ++i) footprint.Add(Using(fds[i].fd, false));
  if (sigmask != nullptr) footprint.Add(signals_.WaitFootprint(scheduler_.current(), *sigmask));
  if (timeout) footprint.Add(LooksAtTheClock());
  const Ready ready(*this, fds, nfds);
  Call call(*this, name, footprint, sigmask, ready, timeout.value_or(kForEver));
  if (const int count = Scan(fds, nfds); count > 0) return count;
  if (call.Interrupted()) return Err(EINTR, name);
  return 0;
}

Result<int> SimKernel::poll(pollfd* fds, nfds_t nfds, int timeout_ms) {
  std::optional<Nanoseconds> timeout;
  if (timeout_ms >= 0) timeout = std::chrono::milliseconds(timeout_ms);
  return Poll("poll", fds, nfds, timeout, nullptr);
}

Result<int> SimKernel::ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                             const sigset_t* sigmask) {
  std::optional<Nanoseconds> at_most;
  if (timeout != nullptr) at_most = ToNanoseconds(*timeout);
  return Poll("ppoll", fds, nfds, at_most, sigmask);
}

// --- epoll

Result<int> SimKernel::epoll_create1(int) {
  Call call(*this, "epoll_create1", Opening());
  return Install(NewDescription(Description::Kind::kEpoll, 0), "epoll_create1");
}

Status SimKernel::epoll_ctl(int epfd, int op, int fd, epoll_event* event) {
  Call call(*this, "epoll_ctl", Using(epfd, true).Add(Using(fd, false)));
  Description* epoll = Find(epfd);
  Description* target = Find(fd);
  if (epoll == nullptr || target == nullptr) return Err(EBADF, "epoll_ctl");
  if (target->kind == Description::Kind::kFile) return Err(EPERM, "epoll_ctl");
  if (epoll == target || epoll->kind != Description::Kind::kEpoll) return Err(EINVAL, "epoll_ctl");
  if (target->kind == Description::Kind::kEpoll) NotModelled("epoll_ctl of an epoll instance");
  if (op != EPOLL_CTL_DEL && (event->events & (EPOLLET | EPOLLONESHOT | EPOLLEXCLUSIVE)) != 0) {
    NotModelled("epoll_ctl with EPOLLET, EPOLLONESHOT or EPOLLEXCLUSIVE");
  }
  Writes(*epoll);
  auto& watches = epoll->watches;
  auto found = watches.begin();
  while (found != watches.end() && (found->fd != fd || found->target.lock().get() != target)) {
    ++found;
  }
  const bool known = found != watches.end();
  switch (op) {
    case EPOLL_CTL_ADD:
      if (known) return Err(EEXIST, "epoll_ctl");
      watches.push_back({fd, table_[fd], *event});
      return {};
    case EPOLL_CTL_MOD:
      if (!known) return Err(ENOENT, "epoll_ctl");
      found->event = *event;
      return {};
    case EPOLL_CTL_DEL:
      if (!known) return Err(ENOENT, "epoll_ctl");
      watches.erase(found);
      return {};
    default:
      return Err(EINVAL, "epoll_ctl");
  }
}

bool SimKernel::AnyReady(const Description& epoll) const {
  for (const Description::Watch& watch : epoll.watches) {
    const DescriptionPtr target = watch.target.lock();
    if (target == nullptr) continue;
    scheduler_.access().Read(target->object_touched(), "what is watched");
    if ((target->Readiness() & (watch.event.events | EPOLLERR | EPOLLHUP)) != 0) return true;
  }
  return false;
}

// Starts after the last one that was reported, so that all get their turn. A description that was
// closed leaves the set.
int SimKernel::Scan(Description& epoll, epoll_event* events, int maxevents) const {
  Writes(epoll);
  auto& watches = epoll.watches;
  std::erase_if(watches, [](const Description::Watch& watch) { return watch.target.expired(); });
  if (epoll.next_watch >= watches.size()) epoll.next_watch = 0;
  const size_t start = epoll.next_watch;
  int count = 0;
  for (size_t i = 0; i < watches.size() && count < maxevents; ++i) {
    const size_t at = (start + i) % watches.size();
    const Description::Watch& watch = watches[at];
    const DescriptionPtr target = watch.target.lock();
    scheduler_.access().Read(target->object_touched(), "what is watched");
    const auto ready =
        static_cast<uint32_t>(target->Readiness()) & (watch.event.events | EPOLLERR | EPOLLHUP);
    if (ready == 0) continue;
    events[count].events = ready;
    events[count++].data = watch.event.data;
    if (count == maxevents) epoll.next_watch = at + 1;
  }
  return count;
}

Footprint SimKernel::Watching(const Description& epoll) const {
  Footprint footprint;
  for (const Description::Watch& watch : epoll.watches) {
    const DescriptionPtr target = watch.target.lock();
    if (target != nullptr) footprint.Read(target->object_touched());
  }
  return footprint;
}

Result<int> SimKernel::epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                                   const sigset_t* sigmask) {
  class Ready final : public Condition {
   public:
    Ready(const SimKernel& kernel, const Description& epoll) : kernel_(kernel), epoll_(epoll) {}
    bool Holds() const override { return kernel_.AnyReady(epoll_); }

   private:
    const SimKernel& kernel_;
    const Description& epoll_;
  };

  Footprint footprint = Using(epfd, true);
  const bool valid = At(epfd) != nullptr && At(epfd)->kind == Description::Kind::kEpoll;
  if (!valid || maxevents <= 0) {
    Call call(*this, "epoll_pwait", footprint);
    return Err(Find(epfd) == nullptr ? EBADF : EINVAL, "epoll_pwait");
  }
  const DescriptionPtr epoll = table_[epfd];  // kept by the call, whoever closes it
  footprint.Add(Watching(*epoll));
  if (sigmask != nullptr) footprint.Add(signals_.WaitFootprint(scheduler_.current(), *sigmask));
  if (timeout_ms >= 0) footprint.Add(LooksAtTheClock());
  const Ready ready(*this, *epoll);
  const Nanoseconds timeout =
      timeout_ms < 0 ? kForEver : Nanoseconds(std::chrono::milliseconds(timeout_ms));
  Call call(*this, "epoll_pwait", footprint, sigmask, ready, timeout);
  if (const int count = Scan(*epoll, events, maxevents); count > 0) return count;
  if (call.timed_out()) return 0;
  CHECK(call.Interrupted());
  return Err(EINTR, "epoll_pwait");
}

SimKernel::Call::Call(SimKernel& kernel, const char* name, Footprint footprint,
                      const sigset_t* mask, const Condition& ready, Nanoseconds timeout)
    : kernel_(kernel), self_(kernel.scheduler_.current()), inside_(self_.in_model) {
  Scheduler& scheduler = kernel.scheduler_;
  const Footprint receipt = kernel.signals_.ReceiptFootprint(self_);
  footprint.Add(receipt);
  const bool open = !receipt.empty() || kernel.signals_.Deliverable(self_);
  while (open) {
    scheduler.BeforeStep(name, footprint);
    if (!kernel.signals_.Deliver(self_)) break;
  }
  if (!open) {
    Footprint entry;
    if (timeout != kForEver) entry.Add(kernel.LooksAtTheClock());
    if (mask != nullptr) entry.Add(kernel.signals_.LeaderMaskFootprint(self_));
    scheduler.BeforeStep(name, entry);
  }
  const TimePoint deadline = timeout == kForEver ? kNever : scheduler.now() + timeout;
  wait_.Open(mask);
  if (open) {
    scheduler.Sleep(name, footprint, &ready, deadline);
  } else {
    scheduler.BeforeStep(name, footprint, &ready, deadline);
  }
  timed_out_ = deadline != kNever && scheduler.now() >= deadline;
}

bool SimKernel::Call::Interrupted() { return wait_.Deliver(kernel_.signals_); }

// --- eventfd

Result<int> SimKernel::eventfd(unsigned initval, int flags) {
  if ((flags & EFD_SEMAPHORE) != 0) NotModelled("eventfd with EFD_SEMAPHORE");
  Call call(*this, "eventfd", Opening());
  auto made = NewDescription(Description::Kind::kEventfd, flags);  // EFD_NONBLOCK is O_NONBLOCK
  made->counter = initval;
  return Install(std::move(made), "eventfd");
}

}  // namespace pollux::sim
