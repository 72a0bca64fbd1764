// fdevent by poll(2) and ppoll(2): the whole set is handed over and scanned at every wait. What
// 2006 had; fine for some hundred descriptors.
#include <cerrno>
#include <vector>

#include "core/base/check.h"
#include "core/event/fdevent_handler.h"
#include "core/event/wait_timeout.h"

namespace pollux {
namespace {

class PollHandler final : public FdeventHandler {
 public:
  explicit PollHandler(Kernel& kernel) : kernel_(kernel) {}

  const char* name() const override { return "poll"; }

  Status Add(int fd, uint32_t events, uint64_t token) override {
    CHECK(fd >= 0);
    if (PositionOf(fd) != kNone) return Err(EEXIST, "poll add");  // as epoll_ctl says it
    if (static_cast<size_t>(fd) >= positions_.size()) positions_.resize(fd + 1, kNone);
    positions_[fd] = fds_.size();
    fds_.push_back({fd, static_cast<short>(events), 0});
    tokens_.push_back(token);
    return {};
  }

  Status Modify(int fd, uint32_t events, uint64_t token) override {
    const size_t position = PositionOf(fd);
    if (position == kNone) return Err(ENOENT, "poll modify");  // as epoll_ctl says it
    fds_[position].events = static_cast<short>(events);
    tokens_[position] = token;
    return {};
  }

  void Remove(int fd) override {
    const size_t position = PositionOf(fd);
    if (position == kNone) return;
    fds_[position] = fds_.back();
    tokens_[position] = tokens_.back();
    positions_[fds_[position].fd] = position;
    fds_.pop_back();
    tokens_.pop_back();
    positions_[fd] = kNone;
  }

  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
                      const sigset_t* sigmask) override {
    const Result<int> count = Sleep(timeout, sigmask);
    // EINTR: a handler ran. EINVAL: more descriptors than RLIMIT_NOFILE, which was lowered under
    // us; ENOMEM: no memory for the kernel's tables. All three are the caller's to judge.
    if (!count) return Err(count.error());
    return Gather(ready, static_cast<size_t>(*count));
  }

 private:
  static constexpr size_t kNone = ~size_t{0};

  size_t PositionOf(int fd) const {
    return fd >= 0 && static_cast<size_t>(fd) < positions_.size() ? positions_[fd] : kNone;
  }

  Result<int> Sleep(std::optional<Nanoseconds> timeout, const sigset_t* sigmask) {
    if (sigmask == nullptr) {
      return kernel_.poll(fds_.data(), fds_.size(), ToPollMilliseconds(timeout));
    }
    timespec at_most{};
    if (timeout) at_most = ToTimespec(*timeout);
    return kernel_.ppoll(fds_.data(), fds_.size(), timeout ? &at_most : nullptr, sigmask);
  }

  // Starts where the last scan stopped: if `ready` is smaller than what is ready, the descriptors
  // at the end of the set get their turn in the next wait instead of never.
  size_t Gather(std::span<FdReady> ready, size_t count) {
    size_t filled = 0;
    if (scan_from_ >= fds_.size()) scan_from_ = 0;
    size_t i = scan_from_;
    for (size_t seen = 0; seen < fds_.size() && filled < count && filled < ready.size(); ++seen) {
      if (fds_[i].revents != 0) {
        const auto revents = static_cast<uint16_t>(fds_[i].revents);
        ready[filled++] = {tokens_[i], revents};
      }
      if (++i == fds_.size()) i = 0;
    }
    scan_from_ = filled < count ? i : 0;
    return filled;
  }

  Kernel& kernel_;
  std::vector<pollfd> fds_;
  std::vector<uint64_t> tokens_;   // beside fds_
  std::vector<size_t> positions_;  // by descriptor: its index in fds_, or kNone
  size_t scan_from_ = 0;
};

}  // namespace

std::unique_ptr<FdeventHandler> MakePollHandler(Kernel& kernel) {
  return std::make_unique<PollHandler>(kernel);
}

}  // namespace pollux
