// POSIX signals as Linux has them (signal(7)): a set of pending signals for the process and one for
// each thread, in which a standard signal is there once or not at all; a mask for each thread; a
// disposition for each signal.
//
// A signal for the process is handled by one thread that has it open: the leader if that has, as
// complete_signal() in Linux prefers it, or in the second mode whichever comes first. (Linux passes
// a leader over that is about to handle another signal; that is the second mode's case.)
#pragma once

#include <signal.h>

#include <array>
#include <cstring>

#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

inline uint64_t SignalBit(int signum) { return uint64_t{1} << (signum - 1); }
inline uint64_t ToBits(const sigset_t& set) {
  uint64_t bits = 0;
  std::memcpy(&bits, &set, sizeof bits);
  return bits;
}
inline sigset_t ToSet(uint64_t bits) {
  sigset_t set;
  sigemptyset(&set);
  std::memcpy(&set, &bits, sizeof bits);
  return set;
}

class ProcessSignals final : public SignalState {
 public:
  ProcessSignals(Scheduler& scheduler, bool leader_first)
      : scheduler_(scheduler), leader_first_(leader_first) {}

  void SetAction(int signum, const struct sigaction& action);

  // Makes it pending, unless it is ignored and nobody blocks it.
  void SendToThread(SimThread& thread, int signum);
  void SendToProcess(int signum);

  bool Deliverable(const SimThread& thread) const override { return Takeable(thread) != 0; }
  Footprint DeliveryFootprint(const SimThread& thread) const override;
  bool Handles(int signum) const { return (handled_ & SignalBit(signum)) != 0; }
  // sigpending(2): what is blocked and waits.
  uint64_t Pending(const SimThread& thread) const {
    return (thread.pending | pending_) & thread.mask;
  }
  // Whether `thread` has a signal with a handler open, pending or not.
  bool Open(const SimThread& thread) const { return (handled_ & ~thread.mask) != 0; }
  // What the receipt of a signal depends on.
  Footprint ReceiptFootprint(const SimThread& thread) const {
    return Footprint().Read(thread.signals_object).Read(kProcessSignals);
  }

  // Runs the handlers of all that `thread`, the running one, has open and pending. False if there
  // was none. In a wait with a mask of its own, that mask is gone when the first handler returns:
  // each signal is handled once at most, and the caller puts the thread's own mask back.
  enum class Mask { kOwn, kOfWait };
  bool Deliver(SimThread& thread, Mask mask = Mask::kOwn);

 private:
  uint64_t Takeable(const SimThread& thread) const;
  bool Ignored(int signum) const;
  void Handle(SimThread& thread, int signum, Mask mask);

  Scheduler& scheduler_;
  const bool leader_first_;
  std::array<struct sigaction, 65> actions_{};
  uint64_t handled_ = 0;  // those with a handler
  uint64_t pending_ = 0;  // the process's
};

}  // namespace pollux::sim
