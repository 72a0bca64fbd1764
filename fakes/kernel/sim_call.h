// The frame of every call of the simulated kernel. Internal to fakes/kernel.
#pragma once

#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {

// A call of the running thread. Made: gives the turn away, and returns when it is this thread's;
// handlers of signals that came meanwhile have run by then. Gone: so have those of signals that the
// call itself made deliverable.
class SimKernel::Call {
 public:
  Call(SimKernel& kernel, const char* name, Footprint footprint,
       const Condition* condition = nullptr)
      : kernel_(kernel), self_(kernel.scheduler_.current()) {
    // With a signal open, when it comes makes a difference to every call.
    if (kernel.signals_.Open(self_)) footprint.Add(kernel.signals_.ReceiptFootprint(self_));
    do {
      kernel.scheduler_.BeforeStep(name, footprint, condition);
    } while (kernel.signals_.Deliver(self_));
  }
  ~Call() { (void)kernel_.signals_.Deliver(self_); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  SimThread& self() { return self_; }

 private:
  SimKernel& kernel_;
  SimThread& self_;
};

// The mask of ppoll, epoll_pwait and io_pgetevents: in force from the look at what is there to the
// end of the sleep, without a gap.
class SimKernel::WaitMask {
 public:
  // No mask: the thread's own stays.
  WaitMask(SimThread& thread, const sigset_t* mask)
      : thread_(thread), before_(thread.mask), own_(mask == nullptr) {
    if (mask != nullptr) thread.mask = ToBits(*mask);
  }
  ~WaitMask() { thread_.mask = before_; }
  WaitMask(const WaitMask&) = delete;
  WaitMask& operator=(const WaitMask&) = delete;

  // Runs the handlers of what the mask lets through.
  bool Deliver(ProcessSignals& signals) {
    using Mask = ProcessSignals::Mask;
    return signals.Deliver(thread_, own_ ? Mask::kOwn : Mask::kOfWait);
  }

 private:
  SimThread& thread_;
  const uint64_t before_;
  const bool own_;
};

}  // namespace pollux::sim
