// Dispositions and masks of the signals that Pollux handles (signal(7)).
//
// SIGUSR1 is the coordinations' messenger, SIGALRM has no meaning and must do no harm: both have an
// empty handler. SIGTERM, SIGINT and SIGHUP have one that counts; the loop takes the counts after
// every wait. SIGPIPE and SIGXFSZ are ignored: both are an errno where they arise.
//
// Every handled signal is blocked before the first thread is made, and opened only inside the
// p-call that sleeps: in `masked` and `eventfd` a signal can therefore arrive nowhere else.
// `published` leaves them unblocked, as in 2006.
//
// Rejected: signalfd(2), which would need every signal blocked for good and would read SIGUSR1 out
// of the very sleep it is meant to end.
//
// Threads: Install and Take on the main thread; threads made afterwards inherit the blocked mask.
#pragma once

#include <signal.h>

#include <optional>

#include "core/base/units.h"
#include "core/sys/kernel.h"

namespace pollux {

class Signals {
 public:
  enum class Delivery {
    kOnlyInWaits,  // blocked, opened by wait_mask() during a sleep
    kAnywhere,     // unblocked, as in 2006
  };

  explicit Signals(Kernel& kernel) : kernel_(kernel) {}

  // EINVAL can only come from a kernel that refuses these signals; reported, not expected.
  Status Install(Delivery delivery);

  // The mask for a sleep of the main thread: the one it was born with, less every handled signal.
  const sigset_t& wait_mask() const { return wait_mask_; }

  // After every wait that had wait_mask(), with its result and time-out. A wait that finds a
  // descriptor ready runs no handler, nor does an epoll_pwait that may not sleep: a loop that is
  // always busy would never hear a SIGTERM. So every kBusyWaitsMax such waits the mask is opened in
  // a ppoll() of nothing. To be called before completions and counts are looked at: a
  // coordination's SIGUSR1 may be used up here.
  void AfterWait(const Result<size_t>& result, std::optional<Nanoseconds> timeout);
  static constexpr int kBusyWaitsMax = 32;

  // Every signal with a handler of ours: what threads other than the main one block.
  static sigset_t Handled();

  // How often `signum` (SIGTERM, SIGINT or SIGHUP) was caught since the last Take. Signals coalesce
  // while pending, so this may be fewer than were sent.
  static int Take(int signum);

 private:
  Kernel& kernel_;
  sigset_t wait_mask_{};
  int busy_waits_ = 0;  // in a row in which no handler could run
};

}  // namespace pollux
