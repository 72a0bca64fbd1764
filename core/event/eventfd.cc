// The control: completions are one more descriptor in the poll set (IOCB_FLAG_RESFD, io_submit(2)).
//
// One eventfd is both what the kernel adds to when an iocb completes and what Wake adds to: whoever
// has news makes it readable. It stays readable until it is read, so there is no moment at which
// news can get lost, provided that it is read *before* the ring is reaped. Reaping first would
// leave this gap: reap to empty, an iocb completes and signals, drain that signal, sleep with a
// completion in the ring.
#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "core/base/check.h"
#include "core/event/coordinations.h"
#include "core/sys/raii.h"

namespace pollux {
namespace {

class EventfdCoordination final : public Coordination {
 public:
  EventfdCoordination(Kernel& kernel, FdeventHandler& handler, Signals& signals)
      : kernel_(kernel), handler_(handler), signals_(signals), wakes_(kernel.word_create(0)) {}

  ~EventfdCoordination() override {
    if (eventfd_.valid()) handler_.Remove(eventfd_.get());
  }

  CoordinationKind kind() const override { return CoordinationKind::kEventfd; }

  Status Start() override {
    CHECK(!eventfd_.valid());
    pid_ = kernel_.getpid();
    main_tid_ = kernel_.gettid();
    if (Status s = signals_.Install(Signals::Delivery::kOnlyInWaits); !s) return s;
    // EMFILE, ENFILE, ENODEV, ENOMEM: without it nothing could wake the loop. Not started.
    Result<Fd> fd = OwnFd(kernel_, kernel_.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (!fd) return Err(fd.error());
    if (Status s = handler_.Add(fd->get(), POLLIN, kCoordinationToken); !s) return s;
    eventfd_ = std::move(*fd);
    return {};
  }

  void Attach(io_context_t ctx, unsigned depth) override {
    CHECK(ctx_ == nullptr && depth > 0);
    ctx_ = ctx;
    events_.resize(depth);
  }

  Status BeforeSubmit(std::span<iocb*> iocbs) override {
    CHECK(ctx_ != nullptr);
    for (iocb* request : iocbs) io_set_eventfd(request, eventfd_.get());
    return {};
  }

  // Nothing was counted: the ring is looked at after every wait, whatever is pending.
  void SubmitFailed(size_t) override {}

  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override {
    if (std::exchange(look_again_, false)) timeout = Nanoseconds::zero();
    const Result<size_t> count = handler_.Wait(ready, timeout, &signals_.wait_mask());
    sleep_.Ended(count, timeout);
    signals_.AfterWait(count, timeout);
    if (reap_error_.code != 0) return Err(reap_error_);
    if (!count) return count;  // EINTR: signals are the loop's to take; others end the loop

    const auto end = ready.begin() + static_cast<ptrdiff_t>(*count);
    const auto own = std::find_if(
        ready.begin(), end, [](const FdReady& entry) { return entry.token == kCoordinationToken; });
    JudgeTimeout(own != end);
    if (own == end) return count;
    std::move(own + 1, end, own);
    Drain();
    return *count - 1;
  }

  size_t Collect(std::span<Completion> out) override {
    if (ctx_ == nullptr) return 0;
    TimePoint seen{};
    size_t filled = 0;
    while (filled < out.size()) {
      const size_t count = Reap(out.size() - filled);
      if (count == 0) break;
      // The loop collects as soon as its wait has returned.
      if (filled == 0) seen = MonotonicNow(kernel_);
      for (size_t i = 0; i < count; ++i) out[filled++] = {events_[i], seen};
    }
    if (filled > 0 && sleep_.timed_out()) unannounced_ = true;
    return filled;
  }

  void Wake() override {
    wakes_->fetch_add(1);
    const uint64_t one = 1;
    const Result<size_t> written = kernel_.write(eventfd_.get(), &one, sizeof one);
    // EAGAIN: the counter is at its limit, so the eventfd is readable, which is all we want.
    if (written || written.error().code == EAGAIN) return;
    // Nothing else is to be expected from an eventfd that does not block. Should it come all the
    // same, a signal ends the wait as well; a lost wake-up would be worse than an odd one. (To a
    // thread of our own, without a queue limit: it cannot fail.)
    CHECK(kernel_.tgkill(pid_, main_tid_, SIGUSR1));
  }

  // The eventfd stays: a worker may still call Wake.
  void Stop() override { ctx_ = nullptr; }

  const CoordinationStats& stats() const override {
    stats_.loop_kicks = wakes_->load();
    return stats_;
  }

 private:
  void Drain() {
    uint64_t news = 0;
    // EAGAIN: nothing to drain. EINTR or whatever else: not drained, so the next wait reports it
    // again. Either way there is nothing to do: the ring is looked at in any case.
    (void)kernel_.read(eventfd_.get(), &news, sizeof news);
  }

  // Up to `room` completions into events_. libaio compares the ring's head and tail in user space
  // before it enters the kernel, so a look at an empty ring costs no system call.
  size_t Reap(size_t room) {
    const long nr = static_cast<long>(std::min(room, events_.size()));
    const timespec no_wait{};
    const Result<int> count = kernel_.io_getevents(ctx_, 0, nr, events_.data(), &no_wait);
    if (count) return static_cast<size_t>(*count);
    if (count.error().code == EINTR) {
      // The eventfd was drained already, so nothing else would bring us back here.
      look_again_ = true;
    } else {
      reap_error_ = count.error();  // EINVAL, ENOSYS: no completion can be had; the loop ends
    }
    return 0;
  }

  // After a wait that ended by its time-out a completion was collected all the same. Usually it
  // came just after the wait, and its announcement is on its way: the kernel shows a completion in
  // the ring first. If the loop could sleep until the next time-out and none came, there was a
  // completion that nothing announced: a lost wake-up. (Reading the eventfd on the spot to find out
  // would be the very "reap before drain" that loses them.)
  void JudgeTimeout(bool announced) {
    if (!announced && !sleep_.timed_out()) return;  // it may still come
    if (unannounced_ && !announced) ++stats_.timeout_rescues;
    unannounced_ = false;
  }

  Kernel& kernel_;
  FdeventHandler& handler_;
  Signals& signals_;
  pid_t pid_ = 0;
  pid_t main_tid_ = 0;
  Fd eventfd_;
  io_context_t ctx_ = nullptr;
  std::vector<io_event> events_;
  bool unannounced_ = false;  // see JudgeTimeout
  bool look_again_ = false;   // the next wait must not sleep
  Error reap_error_;          // told by the next wait
  std::unique_ptr<SharedWord> wakes_;
  mutable CoordinationStats stats_;
  SleepRecord sleep_{stats_};
};

}  // namespace

std::unique_ptr<Coordination> MakeEventfd(Kernel& kernel, FdeventHandler& handler,
                                          Signals& signals) {
  return std::make_unique<EventfdCoordination>(kernel, handler, signals);
}

}  // namespace pollux
