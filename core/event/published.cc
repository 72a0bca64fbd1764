// The protocol of November 2006, kept as a specimen. Do not repair it: its defects, each named
// where it stands, are what the suite must find and what `masked` and `eventfd` must not have.
//
//   [lost wake-up]      SIGUSR1 is not blocked: one that arrives after the loop's last look and
//                       before poll() sleeps runs its empty handler and is gone.
//   [kick to oneself]   kill(getpid()) is sent to the process; the kernel offers it to the main
//                       thread first, so the main thread's kick never reaches the helper.
//   [any signal]        EINTR is taken for the helper's kick, whoever sent the signal.
//   [missed condition]  The condition variable's predicate is looked at outside its mutex.
//   [shared job list]   The helper appends to the main thread's list without a lock that the main
//                       thread honours.
//   [hidden by time]    Time-outs of one second turn each of these into a stall instead of a hang.
//
// What was changed against 2006, so that the specimen stalls but does not crash: the list is an
// array of fixed size with one writer an index; each counter has one writer; stopping is sound; and
// the signals that are counted (SIGTERM, SIGINT, SIGHUP) are left to the main thread. The plain
// variables that two threads share are data races all the same: x86 keeps the order of stores, and
// calls through the seam keep the compiler from reordering across them.
#include <algorithm>
#include <cerrno>
#include <mutex>
#include <vector>

#include "core/base/check.h"
#include "core/event/coordinations.h"
#include "core/sys/raii.h"

namespace pollux {
namespace {

constexpr Nanoseconds kPollAtMost = std::chrono::seconds(1);
constexpr timespec kGeteventsAtMost = {1, 0};

class PublishedCoordination final : public Coordination {
 public:
  PublishedCoordination(Kernel& kernel, FdeventHandler& handler, Signals& signals)
      : kernel_(kernel),
        handler_(handler),
        signals_(signals),
        loop_kicks_(kernel.word_create(0)),
        mutex_(kernel.mutex_create()),
        work_(kernel.condvar_create()) {}

  ~PublishedCoordination() override { Stop(); }

  CoordinationKind kind() const override { return CoordinationKind::kPublished; }

  Status Start() override { return signals_.Install(Signals::Delivery::kAnywhere); }

  void Attach(io_context_t ctx, unsigned depth) override {
    CHECK(ctx_ == nullptr && depth > 0);
    ctx_ = ctx;
    events_.resize(depth);
    joblist_.resize(depth);
  }

  Status BeforeSubmit(std::span<iocb*> iocbs) override {
    CHECK(ctx_ != nullptr);
    if (Status s = EnsureHelper(); !s) return s;
    submitted_ += iocbs.size();
    return {};
  }

  void SubmitFailed(size_t count) override { submitted_ -= count; }

  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override {
    // [missed condition] Signalled without the mutex: a helper between its look at the predicate
    // and its wait does not hear it.
    if (submitted_ != taken_) work_->signal();

    // [hidden by time] Never longer than a second.
    const Nanoseconds at_most = std::min(timeout.value_or(kPollAtMost), kPollAtMost);
    deadline_ = MonotonicNow(kernel_) + at_most;

    // [lost wake-up] A SIGUSR1 from here to the sleep inside poll() is lost. No mask is swapped in.
    const Result<size_t> count = handler_.Wait(ready, at_most, nullptr);

    // [any signal] SIGALRM, or an operator's SIGUSR1, passes for the helper's kick as well.
    kicked_ = !count && count.error().code == EINTR;
    returned_ = true;
    sleep_.Ended(count, at_most);
    stats_.loop_kicks = loop_kicks_->load();
    if (helper_errno_ != 0) return Err(helper_errno_, "io_getevents");
    return count;
  }

  size_t Collect(std::span<Completion> out) override {
    if (std::exchange(returned_, false) && helper_active_) JoinHelper();

    // [shared job list] Read without the helper's mutex, which was given back above.
    size_t count = 0;
    while (count < out.size() && taken_ != appended_) {
      out[count++] = joblist_[taken_ % joblist_.size()];
      ++taken_;
    }
    if (count > 0 && SleptThrough(out[0].seen, deadline_)) sleep_.Rescued();
    return count;
  }

  void Wake() override {
    loop_kicks_->fetch_add(1);
    KillOwnProcess();  // [lost wake-up] as for completions
  }

  // Sound, unlike the rest, but slow: the helper keeps its mutex for up to a second.
  void Stop() override {
    if (!helper_.joinable()) return;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      stop_ = true;
      work_->signal();
    }
    helper_.Join();
  }

  const CoordinationStats& stats() const override { return stats_; }

 private:
  Status EnsureHelper() {
    if (helper_.joinable()) return {};
    sigset_t counted{};
    sigemptyset(&counted);
    for (const int signum : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&counted, signum);
    sigset_t before{};
    if (Status s = kernel_.pthread_sigmask(SIG_BLOCK, counted, &before); !s) return s;
    // It inherits SIGUSR1 and SIGALRM unblocked, as in 2006. EAGAIN: no thread to be had now.
    const Result<ThreadId> id = kernel_.thread_create("pollux-aio", [this] { HelperMain(); });
    CHECK(kernel_.pthread_sigmask(SIG_SETMASK, before, nullptr));
    if (!id) return Err(id.error());
    helper_ = Thread(kernel_, *id);
    return {};
  }

  // [kick to oneself] For the process, not for a thread. (To one's own process this cannot fail.)
  void KillOwnProcess() { CHECK(kernel_.kill(kernel_.getpid(), SIGUSR1)); }

  // poll() is over while the helper is in io_getevents(): have that interrupted, then wait for it.
  void JoinHelper() {
    if (!kicked_) {
      ++stats_.helper_kicks;
      KillOwnProcess();  // [kick to oneself] lands here, and the helper sleeps on
    }
    // [kick to oneself] [any signal] Until io_getevents() ends by itself: a completion, or a
    // second.
    mutex_->lock();
    mutex_->unlock();
  }

  void HelperMain() {
    for (;;) {
      WaitForWork();
      mutex_->lock();
      if (stop_) {
        mutex_->unlock();
        return;
      }
      helper_active_ = true;
      // The mutex is held for as long as this sleeps.
      const Result<int> count = kernel_.io_getevents(ctx_, 1, static_cast<long>(events_.size()),
                                                     events_.data(), &kGeteventsAtMost);
      if (count && *count > 0) Append(static_cast<size_t>(*count));
      helper_active_ = false;
      mutex_->unlock();
      if (!count && count.error().code != EINTR) {
        helper_errno_ = count.error().code;  // EINVAL: no context any more; trying again would spin
        return;
      }
      if (count && *count > 0) {
        loop_kicks_->fetch_add(1);
        KillOwnProcess();
      }
    }
  }

  void WaitForWork() {
    while (submitted_ == reaped_) {  // [missed condition] looked at outside the mutex
      const std::lock_guard<Mutex> lock(*mutex_);
      if (stop_) return;
      work_->wait(*mutex_);
      if (stop_) return;
    }
  }

  // [shared job list] The main thread may be reading it.
  void Append(size_t count) {
    CHECK(appended_ - taken_ + count <= joblist_.size());  // at most `depth` iocbs are out
    const TimePoint seen = MonotonicNow(kernel_);
    for (size_t i = 0; i < count; ++i) {
      joblist_[(appended_ + i) % joblist_.size()] = {events_[i], seen};
    }
    reaped_ += count;
    (void)kernel_.getpid();  // a call the compiler cannot see through: entries before their count
    appended_ += count;
  }

  Kernel& kernel_;
  FdeventHandler& handler_;
  Signals& signals_;
  io_context_t ctx_ = nullptr;

  // Main thread.
  TimePoint deadline_{};   // of the last poll
  bool returned_ = false;  // from a poll after which nothing was collected yet
  bool kicked_ = false;    // and that poll was interrupted
  CoordinationStats stats_;
  SleepRecord sleep_{stats_};

  // Written by the main thread, read by the helper: data races.
  uint64_t submitted_ = 0;  // iocbs
  uint64_t taken_ = 0;      // completions

  // Written by the helper, read by the main thread: data races.
  uint64_t reaped_ = 0;
  uint64_t appended_ = 0;
  bool helper_active_ = false;
  int helper_errno_ = 0;
  std::vector<Completion> joblist_;  // a ring; entry n is at n % size

  std::unique_ptr<SharedWord> loop_kicks_;
  std::unique_ptr<Mutex> mutex_;
  std::unique_ptr<CondVar> work_;
  bool stop_ = false;  // under mutex_

  std::vector<io_event> events_;  // the helper's
  Thread helper_;
};

}  // namespace

std::unique_ptr<Coordination> MakePublished(Kernel& kernel, FdeventHandler& handler,
                                            Signals& signals) {
  return std::make_unique<PublishedCoordination>(kernel, handler, signals);
}

}  // namespace pollux
