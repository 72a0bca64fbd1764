#include "core/event/signals.h"

#include <cerrno>

#include "core/base/check.h"

namespace pollux {
namespace {

// The one global in Pollux, and one that POSIX forces: a signal handler gets no context pointer,
// and sigaction(2) is per process. `volatile sig_atomic_t` is what a handler may write (C++
// [support.signal]); the handlers run on the main thread only, because every other thread blocks
// these signals. The counters only ever grow: a reader that reset them could lose the signal that
// arrives between its read and its write.
volatile sig_atomic_t g_caught_term = 0;
volatile sig_atomic_t g_caught_int = 0;
volatile sig_atomic_t g_caught_hup = 0;

// How much of them was taken. Main thread, never a handler.
sig_atomic_t g_taken_term = 0;
sig_atomic_t g_taken_int = 0;
sig_atomic_t g_taken_hup = 0;

extern "C" void PolluxEmptyHandler(int) {}

extern "C" void PolluxCountingHandler(int signum) {
  if (signum == SIGTERM) g_caught_term = g_caught_term + 1;
  if (signum == SIGINT) g_caught_int = g_caught_int + 1;
  if (signum == SIGHUP) g_caught_hup = g_caught_hup + 1;
}

// Unsigned, so that a counter that wraps around still gives the right difference.
int TakeFrom(const volatile sig_atomic_t& caught, sig_atomic_t& taken) {
  const sig_atomic_t seen = caught;  // one read; a signal after it is left for the next Take
  const unsigned fresh = static_cast<unsigned>(seen) - static_cast<unsigned>(taken);
  taken = seen;
  return static_cast<int>(fresh);
}

Status InstallHandler(Kernel& kernel, int signum, void (*handler)(int)) {
  struct sigaction act {};
  act.sa_handler = handler;
  sigemptyset(&act.sa_mask);
  // No SA_RESTART: a handler's whole purpose is to end the sleep it interrupts. (poll, epoll and
  // io_getevents are never restarted, signal(7); nothing here should depend on which are.)
  act.sa_flags = 0;
  return kernel.sigaction(signum, act);
}

}  // namespace

sigset_t Signals::Handled() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signum : {SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signum);
  return set;
}

Status Signals::Install(Delivery delivery) {
  // Blocked first: SIGUSR1's default is to end the process, and one may be on its way already.
  const sigset_t handled = Handled();
  sigset_t born_with{};
  if (Status s = kernel_.pthread_sigmask(SIG_BLOCK, handled, &born_with); !s) return s;

  wait_mask_ = born_with;
  for (const int signum : {SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP}) {
    sigdelset(&wait_mask_, signum);
  }

  for (const int signum : {SIGTERM, SIGINT, SIGHUP}) {
    (void)Take(signum);  // counts of an earlier life of this process are not ours
    if (Status s = InstallHandler(kernel_, signum, PolluxCountingHandler); !s) return s;
  }
  for (const int signum : {SIGUSR1, SIGALRM}) {
    if (Status s = InstallHandler(kernel_, signum, PolluxEmptyHandler); !s) return s;
  }
  // A peer that is gone is EPIPE at the call site, where it can be handled.
  if (Status s = InstallHandler(kernel_, SIGPIPE, SIG_IGN); !s) return s;
  // A log that may grow no further (RLIMIT_FSIZE) is EFBIG there.
  if (Status s = InstallHandler(kernel_, SIGXFSZ, SIG_IGN); !s) return s;

  if (delivery == Delivery::kOnlyInWaits) return {};
  return kernel_.pthread_sigmask(SIG_UNBLOCK, handled, nullptr);
}

void Signals::AfterWait(const Result<size_t>& result, std::optional<Nanoseconds> timeout) {
  const bool could_sleep = !timeout || *timeout > Nanoseconds::zero();
  const bool slept_out = result && *result == 0 && could_sleep;  // a signal would have ended it
  if (!result || slept_out) {
    busy_waits_ = 0;
    return;
  }
  if (++busy_waits_ < kBusyWaitsMax) return;
  busy_waits_ = 0;
  const timespec no_sleep{};
  // EINTR: handlers have run. 0: nothing was pending. ENOMEM: heard of next time.
  (void)kernel_.ppoll(nullptr, 0, &no_sleep, &wait_mask_);
}

int Signals::Take(int signum) {
  if (signum == SIGTERM) return TakeFrom(g_caught_term, g_taken_term);
  if (signum == SIGINT) return TakeFrom(g_caught_int, g_taken_int);
  CHECK(signum == SIGHUP);
  return TakeFrom(g_caught_hup, g_taken_hup);
}

}  // namespace pollux
