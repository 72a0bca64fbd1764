// How two waits, one for sockets and one for disks, share one thread's attention.
//
//   published  2006 as it was: unmasked SIGUSR1, kill(getpid()), poll(1000) beside a helper thread
//              in io_getevents(1 s). A specimen: its defects are kept, and are found by the suite.
//   masked     the hack made right: SIGUSR1 blocked, opened atomically only inside ppoll,
//              epoll_pwait and io_pgetevents; kicks go to a thread (tgkill), never to the process.
//   eventfd    IOCB_FLAG_RESFD: a completion makes an eventfd readable, one more descriptor in the
//              poll set. No helper thread, no signal.
//
// What they stand on; each line is a case in tests/event (measured on Linux 6, signal(7), aio(7)):
//
// - A signal is pending and ppoll or epoll_pwait opens it. Where it would sleep: EINTR at once, so
//   nothing is lost between check and sleep. Where a descriptor is ready: the count, and the signal
//   stays pending. With time-out 0 and nothing ready: ppoll says EINTR, epoll_pwait 0.
// - A pending signal is unblocked before poll(2) sleeps: the handler runs, and poll sleeps its
// whole
//   time-out.
// - kill(getpid()) while two threads have it unblocked: main gets it, even if main sent it. A kick
//   for the helper never reaches the helper.
// - A signal is pending and io_pgetevents opens it: EINTR, or events *and* the handler has run;
// fewer
//   than min_nr may come.
// - io_getevents, time-out 0, empty ring: libaio sees head == tail and does not enter the kernel.
// - IOCB_FLAG_RESFD: the event is in the ring before the eventfd is signalled. Drain first, then
//   reap.
// - tgkill to a thread that has ended: ESRCH, also before it was joined.
//
// EINTR carries no information, and neither does its absence: after *every* return of Wait the
// caller calls Collect until it comes back short, looks at its own queues, and recomputes its
// timeout.
//
// Threads: everything on the loop thread, except Wake, which any thread may call.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "core/base/units.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/kernel.h"

namespace pollux {

enum class CoordinationKind { kPublished, kMasked, kEventfd };

// "published", "masked", "eventfd"; nothing for any other word.
std::optional<CoordinationKind> ParseCoordination(std::string_view word);
const char* ToString(CoordinationKind kind);

struct Completion {
  io_event event{};
  // When user space first knew of it: the helper's return from io_getevents, or the return of the
  // loop's own wait. What passes from here to the dispatch is the coordination's doing.
  TimePoint seen{};
};

// How a sleep of the loop ended, for those who look for lost wake-ups.
struct CoordinationStats {
  uint64_t waits = 0;
  uint64_t interrupted = 0;  // EINTR
  uint64_t timeouts = 0;
  // A wait that ended by its timeout although a completion had been there that should have ended
  // it: the mark of a lost wake-up. Zero for ever in `masked` and `eventfd`. (A completion that
  // arrives together with the end of the timeout is none: see KickWasLost in `masked`,
  // JudgeTimeout in `eventfd` and SleptThrough in `published`.)
  uint64_t timeout_rescues = 0;
  uint64_t helper_kicks = 0;  // signals sent to the helper
  uint64_t loop_kicks = 0;    // signals or eventfd writes sent to the loop
};

class Coordination {
 public:
  virtual ~Coordination() = default;
  virtual CoordinationKind kind() const = 0;

  // Once, before any thread is made: signal dispositions and masks, the eventfd's registration.
  virtual Status Start() = 0;

  // The context whose completions are waited for, and how many iocbs are out at most, from
  // BeforeSubmit until Collect hands their completion over. At most once.
  virtual void Attach(io_context_t ctx, unsigned depth) = 0;

  // Before io_submit of these (here or on a worker): marks each with the eventfd, counts it as
  // pending, makes the helper thread at the first read and unparks it. EAGAIN if no thread can be
  // made. Counting first matters: a completion can arrive inside io_submit.
  virtual Status BeforeSubmit(std::span<iocb*> iocbs) = 0;
  // `count` of them were not taken by io_submit and will never complete.
  virtual void SubmitFailed(size_t count) = 0;

  // One sleep: see FdeventHandler::Wait for the results. The coordination's own descriptors do not
  // appear in `ready`. EINTR comes back as an error; treat it as 0. Any other error means that the
  // loop cannot go on: the wait itself, or the helper's reaping, is refused.
  virtual Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) = 0;

  // Moves completions into `out`; call again while it comes back full.
  virtual size_t Collect(std::span<Completion> out) = 0;

  // Makes the present or the next Wait return soon.
  virtual void Wake() = 0;

  // Ends and joins the helper, if there is one. After it nothing may be submitted; completions that
  // are still out are reaped by io_destroy.
  virtual void Stop() = 0;

  virtual const CoordinationStats& stats() const = 0;
};

// `signals` and `handler` must outlive it. EINVAL for `published` with a handler other than poll.
Result<std::unique_ptr<Coordination>> MakeCoordination(CoordinationKind kind, Kernel& kernel,
                                                       FdeventHandler& handler, Signals& signals);

// The token that coordinations register their descriptors under; EventLoop never hands it out.
inline constexpr uint64_t kCoordinationToken = ~uint64_t{0};

}  // namespace pollux
