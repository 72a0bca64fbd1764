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
#include <optional>

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
  Footprint ActionFootprint(int signum) const;

  // Makes it pending, unless it is ignored and nobody blocks it.
  void SendToThread(SimThread& thread, int signum);
  void SendToProcess(int signum);

  bool Deliverable(const SimThread& thread) const override;
  Footprint DeliveryFootprint(const SimThread& thread) const override {
    return TakingFootprint(thread, Takeable(thread));
  }
  // Empty if no signal with a handler is open. (One without can only end the process.)
  Footprint ReceiptFootprint(const SimThread& thread) const override;
  Footprint LookFootprint(const SimThread& thread) const override;
  // Of a wait with a mask of its own: it takes what that opens.
  Footprint WaitFootprint(const SimThread& thread, const sigset_t& mask) const;
  // Of a change of the thread's mask to this, and of what is delivered then.
  Footprint MaskFootprint(const SimThread& thread, uint64_t mask) const;
  // Of the leader's mask alone; empty for others.
  Footprint LeaderMaskFootprint(const SimThread& thread) const;
  // Of a signal that comes for the process, or for `thread`.
  Footprint SendFootprint(int signum, const SimThread* thread = nullptr) const;
  bool Handles(int signum) const { return (handled_ & SignalBit(signum)) != 0; }
  bool Ignored(int signum) const;
  // Whether one that comes to `thread` is gone at once.
  bool Drops(const SimThread& thread, int signum) const {
    return actions_[signum].sa_handler == SIG_IGN && (thread.mask & SignalBit(signum)) == 0;
  }
  // sigpending(2): what is blocked and waits.
  uint64_t Pending(const SimThread& thread) const;
  static Footprint PendingFootprint(const SimThread& thread) {
    return OfProcess(~uint64_t{0}, &Footprint::reads).Read(thread.signals_object);
  }
  // Whether `thread` has a signal with a handler open, pending or not.
  bool Open(const SimThread& thread) const { return (handled_ & ~thread.mask) != 0; }

  // Runs the handlers of all that `thread`, the running one, has open and pending. False if there
  // was none. In a wait with a mask of its own, that is gone when the handler returns whose frame
  // was made first: `mask_after` is the thread's own.
  bool Deliver(SimThread& thread, std::optional<uint64_t> mask_after = {});

 private:
  uint64_t Takeable(const SimThread& thread) const;
  static Footprint OfProcess(uint64_t signals, uint64_t Footprint::*access);
  static Footprint TakingFootprint(const SimThread& thread, uint64_t signals);
  Footprint OpenFootprint(const SimThread& thread) const;
  bool PendingAnywhere(int signum) const;
  void CheckSender(int signum, const SimThread* to) const;
  // Whether `thread` has to look at the leader's mask before it takes one of `signals`.
  bool LooksAtLeader(const SimThread& thread, uint64_t signals) const {
    return leader_first_ && signals != 0 && &thread != &scheduler_.leader();
  }
  int Take(SimThread& thread);
  [[noreturn]] void Kill(int signum);

  Scheduler& scheduler_;
  const bool leader_first_;
  std::array<struct sigaction, 65> actions_{};
  uint64_t handled_ = 0;  // those with a handler
  uint64_t pending_ = 0;  // the process's
};

}  // namespace pollux::sim
