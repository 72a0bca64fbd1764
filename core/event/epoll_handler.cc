// fdevent by epoll(7), level-triggered.
#include <cerrno>
#include <vector>

#include "core/event/fdevent_handler.h"
#include "core/event/wait_timeout.h"
#include "core/sys/raii.h"

namespace pollux {
namespace {

// One set of bits above this file.
static_assert(POLLIN == EPOLLIN && POLLPRI == EPOLLPRI && POLLOUT == EPOLLOUT &&
              POLLERR == EPOLLERR && POLLHUP == EPOLLHUP && POLLRDHUP == EPOLLRDHUP);

class EpollHandler final : public FdeventHandler {
 public:
  EpollHandler(Kernel& kernel, Fd epfd) : kernel_(kernel), epfd_(std::move(epfd)) {}

  const char* name() const override { return "epoll"; }

  Status Add(int fd, uint32_t events, uint64_t token) override {
    // EEXIST, ENOMEM, ENOSPC (max_user_watches), EPERM (a regular file): the caller's to handle.
    return Control(EPOLL_CTL_ADD, fd, events, token);
  }

  Status Modify(int fd, uint32_t events, uint64_t token) override {
    return Control(EPOLL_CTL_MOD, fd, events, token);
  }

  void Remove(int fd) override {
    // EBADF or ENOENT would mean that the descriptor was closed first. Nothing is left to undo
    // then, and an entry that is still reported is dropped by its token's generation.
    epoll_event ignored{};
    (void)kernel_.epoll_ctl(epfd_.get(), EPOLL_CTL_DEL, fd, &ignored);
  }

  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
                      const sigset_t* sigmask) override {
    if (events_.size() < ready.size()) events_.resize(ready.size());
    // Whole milliseconds: epoll_pwait2 (nanoseconds) would gain less than the timers' resolution.
    const Result<int> count =
        kernel_.epoll_pwait(epfd_.get(), events_.data(), static_cast<int>(ready.size()),
                            ToPollMilliseconds(timeout), sigmask);
    if (!count) return Err(count.error());  // EINTR: a handler ran; the others are misuse
    for (int i = 0; i < *count; ++i) ready[i] = {events_[i].data.u64, events_[i].events};
    return static_cast<size_t>(*count);
  }

 private:
  Status Control(int op, int fd, uint32_t events, uint64_t token) {
    epoll_event event{};
    event.events = events;
    event.data.u64 = token;
    return kernel_.epoll_ctl(epfd_.get(), op, fd, &event);
  }

  Kernel& kernel_;
  Fd epfd_;
  std::vector<epoll_event> events_;
};

}  // namespace

Result<std::unique_ptr<FdeventHandler>> MakeEpollHandler(Kernel& kernel) {
  // EMFILE, ENFILE, ENOMEM: a server that cannot wait cannot start.
  Result<Fd> epfd = OwnFd(kernel, kernel.epoll_create1(EPOLL_CLOEXEC));
  if (!epfd) return Err(epfd.error());
  return std::unique_ptr<FdeventHandler>(std::make_unique<EpollHandler>(kernel, std::move(*epfd)));
}

}  // namespace pollux
