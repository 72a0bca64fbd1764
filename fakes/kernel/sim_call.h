// The frame of every call of the simulated kernel. Internal to fakes/kernel.
#pragma once

#include "fakes/kernel/sim_kernel.h"
#include "fakes/kernel/tsan.h"

namespace pollux::sim {

inline constexpr Nanoseconds kForEver = Nanoseconds::max();

// The mask of ppoll, epoll_pwait and io_pgetevents: in force from the look at what is there to the
// end of the sleep, without a gap.
class SimKernel::WaitMask {
 public:
  explicit WaitMask(SimThread& thread) : thread_(thread) {}
  ~WaitMask() { Close(); }
  WaitMask(const WaitMask&) = delete;
  WaitMask& operator=(const WaitMask&) = delete;

  // No mask: the thread's own stays.
  void Open(const sigset_t* mask) {
    if (mask == nullptr) return;
    before_ = thread_.mask;
    thread_.mask = ToBits(*mask);
  }
  void Close() {
    if (before_) thread_.mask = *before_;
    before_.reset();
  }
  // Runs the handlers of what the mask lets through.
  bool Deliver(ProcessSignals& signals) { return signals.Deliver(thread_, before_); }

 private:
  SimThread& thread_;
  std::optional<uint64_t> before_;  // while it is open, the thread's own
};

// A call of the running thread. Made: gives the turn away, and returns when it is this thread's;
// handlers of signals that came meanwhile have run by then. Gone: so have those of signals that the
// call itself made deliverable.
class SimKernel::Call {
 public:
  Call(SimKernel& kernel, const char* name, Footprint footprint,
       const Condition* condition = nullptr)
      : kernel_(kernel), self_(kernel.scheduler_.current()), inside_(self_.in_model) {
    // With a signal open, when it comes makes a difference to every call.
    footprint.Add(kernel.signals_.ReceiptFootprint(self_));
    do {
      kernel.scheduler_.BeforeStep(name, footprint, condition);
    } while (kernel.signals_.Deliver(self_));
  }
  // A call that may sleep, with `mask` (null: the thread's own) in force as long as it does. While
  // no signal is open outside of the sleep, little tells whether the thread is about to enter the
  // call or is in it: what it is ready for is looked at in one step, when the wait is over, and the
  // step before it only takes the time and opens the mask that others look at, the leader's. With
  // a signal open, all that comes before the sleep is a step, at which handlers run.
  Call(SimKernel& kernel, const char* name, Footprint footprint, const sigset_t* mask,
       const Condition& ready, Nanoseconds timeout);
  ~Call() {
    wait_.Close();
    (void)kernel_.signals_.Deliver(self_);
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  SimThread& self() { return self_; }
  // Of a call that may sleep: runs the handlers of what its mask let through.
  bool Interrupted();
  // And it was over by its time-out, whatever else there is.
  bool timed_out() const { return timed_out_; }

 private:
  SimKernel& kernel_;
  SimThread& self_;
  const tsan::InModel inside_;
  WaitMask wait_{self_};  // open in a call that may sleep
  bool timed_out_ = false;
};

}  // namespace pollux::sim
