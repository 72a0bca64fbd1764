#include "fakes/kernel/process_signals.h"

#include <bit>

namespace pollux::sim {

uint64_t ProcessSignals::Takeable(const SimThread& thread) const {
  const uint64_t own = thread.pending & ~thread.mask;
  uint64_t shared = pending_ & ~thread.mask;
  const SimThread& leader = scheduler_.leader();
  if (leader_first_ && &thread != &leader) shared &= leader.mask;
  return own | shared;
}

Footprint ProcessSignals::DeliveryFootprint(const SimThread& thread) const {
  return Footprint()
      .Write(thread.signals_object)
      .Write(kProcessSignals)
      .Read(scheduler_.leader().signals_object);
}

void ProcessSignals::SetAction(int signum, const struct sigaction& action) {
  actions_[signum] = action;
  handled_ &= ~SignalBit(signum);
  if (action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL) handled_ |= SignalBit(signum);
}

bool ProcessSignals::Ignored(int signum) const {
  const struct sigaction& action = actions_[signum];
  if (action.sa_handler == SIG_IGN) return true;
  if (action.sa_handler != SIG_DFL) return false;
  return signum == SIGCHLD || signum == SIGURG || signum == SIGWINCH || signum == SIGCONT;
}

void ProcessSignals::SendToThread(SimThread& thread, int signum) {
  const uint64_t bit = SignalBit(signum);
  if (Ignored(signum) && (thread.mask & bit) == 0) return;
  thread.pending |= bit;
}

void ProcessSignals::SendToProcess(int signum) {
  const uint64_t bit = SignalBit(signum);
  // Linux looks at the leader's mask only: what that blocks may be wanted later.
  if (Ignored(signum) && (scheduler_.leader().mask & bit) == 0) return;
  pending_ |= bit;
}

bool ProcessSignals::Deliver(SimThread& thread, Mask mask) {
  bool any = false;
  for (uint64_t bits = Takeable(thread); bits != 0; bits = Takeable(thread)) {
    const int signum = std::countr_zero(bits) + 1;
    const uint64_t bit = SignalBit(signum);
    // The thread's own first: dequeue_signal() looks there first.
    uint64_t& from = (thread.pending & bit) != 0 ? thread.pending : pending_;
    from &= ~bit;
    Handle(thread, signum, mask);
    any = true;
  }
  return any;
}

void ProcessSignals::Handle(SimThread& thread, int signum, Mask mask) {
  const struct sigaction action = actions_[signum];
  if (Ignored(signum)) return;
  if (action.sa_handler == SIG_DFL) {
    scheduler_.GiveUp("killed", std::string(::strsignal(signum)) + " has its default action");
  }
  const uint64_t before = thread.mask;
  thread.mask |= ToBits(action.sa_mask);
  if ((action.sa_flags & SA_NODEFER) == 0) thread.mask |= SignalBit(signum);
  action.sa_handler(signum);
  if (mask == Mask::kOwn) thread.mask = before;
}

}  // namespace pollux::sim
