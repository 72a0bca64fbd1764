// The hack of 2006 made right. Two threads sleep, the main one in ppoll() or epoll_pwait(), the
// helper in io_pgetevents(), and SIGUSR1 ends either sleep. It is blocked everywhere else: a kick
// that is sent between the check and the sleep stays pending and ends the sleep at once, because
// the mask is opened atomically with it. Kicks are sent to a thread: the kernel offers a signal for
// the process to the main thread first.
//
// The helper is made once, at the first read, and parked on a condition variable while nothing is
// pending. It needs no kick for a new read: one that is submitted while it sleeps wakes it when it
// completes. The only kick to the helper is the one that stops it.
#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

#include "core/base/check.h"
#include "core/event/coordinations.h"
#include "core/sys/raii.h"

namespace pollux {
namespace {

class MaskedCoordination final : public Coordination {
 public:
  MaskedCoordination(Kernel& kernel, FdeventHandler& handler, Signals& signals)
      : kernel_(kernel),
        handler_(handler),
        signals_(signals),
        loop_kicks_(kernel.word_create(0)),
        batches_kicked_(kernel.word_create(0)),
        news_(kernel.word_create(0)),
        mutex_(kernel.mutex_create()),
        work_(kernel.condvar_create()) {}

  ~MaskedCoordination() override { Stop(); }

  CoordinationKind kind() const override { return CoordinationKind::kMasked; }

  Status Start() override {
    pid_ = kernel_.getpid();
    main_tid_ = kernel_.gettid();
    return signals_.Install(Signals::Delivery::kOnlyInWaits);
  }

  void Attach(io_context_t ctx, unsigned depth) override {
    CHECK(ctx_ == nullptr && depth > 0);
    ctx_ = ctx;
    events_.resize(depth);
    store_.resize(depth);
  }

  Status BeforeSubmit(std::span<iocb*> iocbs) override {
    CHECK(ctx_ != nullptr);
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      const bool parked = pending_ == 0;
      pending_ += iocbs.size();
      if (parked && pending_ > 0) work_->signal();
    }
    // Made after they were counted, it does not park at once.
    Status made = EnsureHelper();
    if (!made) SubmitFailed(iocbs.size());
    return made;
  }

  void SubmitFailed(size_t count) override {
    // A helper that entered io_pgetevents for these sleeps on: it will return for the next read
    // that completes, or for the kick that stops it.
    const std::lock_guard<Mutex> lock(*mutex_);
    CHECK(pending_ >= count);
    pending_ -= count;
  }

  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override {
    if (news_seen_ == kHelperFailed) return Err(helper_error_);
    const Result<size_t> count = handler_.Wait(ready, timeout, &signals_.wait_mask());
    sleep_.Ended(count, timeout);
    signals_.AfterWait(count, timeout);
    return count;
  }

  size_t Collect(std::span<Completion> out) override {
    // Most turns have no completion: they must not pay for a lock. A helper that adds some right
    // after this look sends its kick afterwards, which the next wait will see.
    news_seen_ = news_->load();
    if (news_seen_ == 0) return 0;
    const size_t count = TakeFromStore(out);
    if (count > 0 && sleep_.timed_out() && KickWasLost()) sleep_.Rescued();
    return count;
  }

  void Wake() override { KickLoop(); }

  void Stop() override {
    if (!helper_.joinable()) return;
    bool reaping = false;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      stop_ = true;
      reaping = reaping_;
      work_->signal();
    }
    // On its way into io_pgetevents or inside, the kick ends that at once. Anywhere else it looks
    // at the flag next.
    if (reaping) {
      ++stats_.helper_kicks;
      const Status kicked = kernel_.tgkill(pid_, helper_tid_, SIGUSR1);
      // ESRCH: it saw the flag and has ended already.
      CHECK(kicked || kicked.error().code == ESRCH);
    }
    helper_.Join();
  }

  // The word is looked at here and not in each turn: that would be one more thing that turns and
  // kicks race for.
  const CoordinationStats& stats() const override {
    stats_.loop_kicks = loop_kicks_->load();
    return stats_;
  }

 private:
  // What news_ says beside the number of completions in the store.
  static constexpr uint64_t kHelperFailed = ~uint64_t{0};

  Status EnsureHelper() {
    if (helper_.joinable()) return {};
    // It inherits a mask with every handled signal blocked. EAGAIN: no thread to be had now; the
    // caller has to do without this read, and a later one tries again.
    const Result<ThreadId> id = kernel_.thread_create("pollux-aio", [this] { HelperMain(); });
    if (!id) return Err(id.error());
    helper_ = Thread(kernel_, *id);
    return {};
  }

  // Cannot fail: our own process, the thread that this object belongs to, and no real-time signal
  // that could meet a queue limit.
  void KickLoop() {
    loop_kicks_->fetch_add(1);
    CHECK(kernel_.tgkill(pid_, main_tid_, SIGUSR1));
  }

  // After a sleep that ended by its time-out although there was something in the store. Decided by
  // the order of events, not by the clock: on a busy machine either thread may be kept from running
  // for longer than any grace. Outside the waits SIGUSR1 is blocked, so a kick that was sent and
  // that ended no wait is still pending; if it is not, it is lost.
  bool KickWasLost() {
    if (batches_kicked_->load() < batches_taken_) return false;  // a kick is yet to be sent
    sigset_t pending{};
    CHECK(kernel_.sigpending(&pending));  // EFAULT is its only error
    return sigismember(&pending, SIGUSR1) == 0;
  }

  size_t TakeFromStore(std::span<Completion> out) {
    const std::lock_guard<Mutex> lock(*mutex_);
    const size_t count = std::min(out.size(), stored_);
    for (size_t i = 0; i < count; ++i) {
      out[i] = store_[first_];
      first_ = (first_ + 1) % store_.size();
    }
    stored_ -= count;
    batches_taken_ = batches_;
    if (!helper_failed_) news_->store(stored_);
    return count;
  }

  void HelperMain() {
    sigset_t sleep_mask{};
    sigset_t nothing{};
    sigemptyset(&nothing);
    CHECK(kernel_.pthread_sigmask(SIG_BLOCK, nothing, &sleep_mask));  // only asks
    sigdelset(&sleep_mask, SIGUSR1);
    helper_tid_ = kernel_.gettid();
    while (WaitForWork()) {
      const Result<int> count = kernel_.io_pgetevents(ctx_, 1, static_cast<long>(events_.size()),
                                                      events_.data(), nullptr, &sleep_mask);
      // Fewer than asked for, none, EINTR: no news. The flags are looked at again in any case,
      // since events may come together with the kick.
      if (count) {
        if (*count > 0) Publish(static_cast<size_t>(*count), MonotonicNow(kernel_));
      } else if (count.error().code != EINTR) {
        // ENOSYS (before Linux 4.18, or a seccomp filter), EINVAL: no completion can be had any
        // more. Trying again would spin; the loop is told, and ends.
        Fail(count.error());
        return;
      }
    }
  }

  // Parks while nothing is pending. False when the helper has to end.
  bool WaitForWork() {
    const std::lock_guard<Mutex> lock(*mutex_);
    reaping_ = false;
    while (pending_ == 0 && !stop_) work_->wait(*mutex_);
    reaping_ = !stop_;
    return reaping_;
  }

  void Publish(size_t count, TimePoint seen) {
    bool was_empty = false;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      CHECK(pending_ >= count);
      CHECK(stored_ + count <= store_.size());  // at most `depth` iocbs are out
      pending_ -= count;
      reaping_ = false;
      was_empty = stored_ == 0;
      if (was_empty) ++batches_;
      for (size_t i = 0; i < count; ++i) {
        store_[(first_ + stored_++) % store_.size()] = {events_[i], seen};
      }
      news_->store(stored_);
    }
    // After the store was filled: the loop must find what it is woken for. Not if there was
    // something in it already: the kick for that is on its way, or the loop is awake and will look
    // again before it sleeps.
    if (!was_empty) return;
    KickLoop();
    batches_kicked_->fetch_add(1);
  }

  void Fail(const Error& error) {
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      helper_error_ = error;
      helper_failed_ = true;
      news_->store(kHelperFailed);
    }
    KickLoop();
  }

  Kernel& kernel_;
  FdeventHandler& handler_;
  Signals& signals_;
  pid_t pid_ = 0;
  pid_t main_tid_ = 0;
  io_context_t ctx_ = nullptr;

  // Main thread.
  uint64_t news_seen_ = 0;      // news_, as the loop last saw it
  uint64_t batches_taken_ = 0;  // batches_, as the loop last saw it
  mutable CoordinationStats stats_;
  SleepRecord sleep_{stats_};

  // Any thread.
  std::unique_ptr<SharedWord> loop_kicks_;
  std::unique_ptr<SharedWord> batches_kicked_;  // of batches_, those whose kick was sent
  std::unique_ptr<SharedWord> news_;            // written under mutex_: stored_, or kHelperFailed

  std::unique_ptr<Mutex> mutex_;  // guards what follows
  std::unique_ptr<CondVar> work_;
  size_t pending_ = 0;  // iocbs that were or are being submitted and that the helper has not reaped
  bool stop_ = false;
  bool reaping_ = false;  // the helper is in io_pgetevents, or may be on its way there or back
  pid_t helper_tid_ = 0;  // the helper's, before it first says that it is reaping
  std::vector<Completion> store_;  // a ring: reaped, not yet collected
  size_t first_ = 0;
  size_t stored_ = 0;
  uint64_t batches_ = 0;  // how often the store became non-empty: one kick each
  bool helper_failed_ = false;
  Error helper_error_;  // written once, before news_ says so

  std::vector<io_event> events_;  // the helper's
  Thread helper_;
};

}  // namespace

std::unique_ptr<Coordination> MakeMasked(Kernel& kernel, FdeventHandler& handler,
                                         Signals& signals) {
  return std::make_unique<MaskedCoordination>(kernel, handler, signals);
}

}  // namespace pollux
