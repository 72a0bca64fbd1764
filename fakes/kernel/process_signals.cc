#include "fakes/kernel/process_signals.h"

#include <bit>

#include "fakes/kernel/tsan.h"

namespace pollux::sim {

uint64_t ProcessSignals::Takeable(const SimThread& thread) const {
  const uint64_t own = thread.pending & ~thread.mask;
  uint64_t shared = pending_ & ~thread.mask;
  if (LooksAtLeader(thread, shared)) {
    scheduler_.access().Read(kLeaderMask, "what the leader has blocked");
    shared &= scheduler_.leader().mask;
  }
  return own | shared;
}

// What is known of `signals` beside the threads: eight objects share them.
Footprint ProcessSignals::OfProcess(uint64_t signals, uint64_t Footprint::*access) {
  static_assert(kSignalObjects == 8);
  signals |= signals >> 32;
  signals |= signals >> 16;
  signals |= signals >> 8;
  Footprint footprint;
  footprint.*access = (signals & 0xff) << kFirstSignalObject;
  return footprint;
}

Footprint ProcessSignals::TakingFootprint(const SimThread& thread, uint64_t signals) {
  if (signals == 0) return {};
  return OfProcess(signals, &Footprint::writes).Write(thread.signals_object).Read(kDispositions);
}

Footprint ProcessSignals::OpenFootprint(const SimThread& thread) const {
  const uint64_t open = handled_ & ~thread.mask;
  if (open == 0) return {};
  return OfProcess(open, &Footprint::reads).Read(thread.signals_object).Read(kDispositions);
}

Footprint ProcessSignals::ReceiptFootprint(const SimThread& thread) const {
  Footprint footprint = OpenFootprint(thread);
  if (!footprint.empty() && LooksAtLeader(thread, ~uint64_t{0})) footprint.Read(kLeaderMask);
  return footprint;
}

Footprint ProcessSignals::LookFootprint(const SimThread& thread) const {
  return LooksAtLeader(thread, pending_ & ~thread.mask) ? Footprint().Read(kLeaderMask)
                                                        : Footprint();
}

Footprint ProcessSignals::LeaderMaskFootprint(const SimThread& thread) const {
  return &thread == &scheduler_.leader() ? Footprint().Write(kLeaderMask) : Footprint();
}

Footprint ProcessSignals::WaitFootprint(const SimThread& thread, const sigset_t& mask) const {
  // What is there to be taken, if anything is, comes to it then (DeliveryFootprint).
  return OfProcess(handled_ & ~ToBits(mask), &Footprint::reads)
      .Read(thread.signals_object)
      .Read(kDispositions)
      .Add(LeaderMaskFootprint(thread));
}

Footprint ProcessSignals::MaskFootprint(const SimThread& thread, uint64_t mask) const {
  if (mask == thread.mask) return {};
  Footprint footprint = LeaderMaskFootprint(thread);
  const uint64_t opened = thread.mask & ~mask;
  if (opened != 0) footprint.Add(TakingFootprint(thread, opened)).Read(kLeaderMask);
  // Those with a handler are in every step's footprint for as long as they are open.
  const uint64_t closed = mask & ~thread.mask & ~handled_;
  if (closed != 0) footprint.Add(OfProcess(closed, &Footprint::reads).Read(thread.signals_object));
  return footprint;
}

// One that is ignored is kept if it is blocked where it would go: that depends on a mask. And one
// with its default action may end the process in any step of whoever has it open: no step declares
// that, so that this one depends on all.
// (Not of what a thread sends itself.)
Footprint ProcessSignals::SendFootprint(int signum, const SimThread* thread) const {
  if (!Handles(signum) && thread != &scheduler_.current()) return Footprint::Everything();
  const Footprint footprint = thread != nullptr ? Footprint().Write(thread->signals_object)
                                                : OfProcess(SignalBit(signum), &Footprint::writes);
  return Footprint(footprint).Read(kDispositions);
}

bool ProcessSignals::Deliverable(const SimThread& thread) const {
  scheduler_.access().Touch(OpenFootprint(thread), "the signals that it has open");
  return Takeable(thread) != 0;
}

uint64_t ProcessSignals::Pending(const SimThread& thread) const {
  scheduler_.access().Touch(PendingFootprint(thread), "what is pending");
  return (thread.pending | pending_) & thread.mask;
}

void ProcessSignals::SetAction(int signum, const struct sigaction& action) {
  scheduler_.access().Write(kDispositions, "the disposition of a signal");
  actions_[signum] = action;
  handled_ &= ~SignalBit(signum);
  if (action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL) handled_ |= SignalBit(signum);
  if (!Ignored(signum) || !PendingAnywhere(signum)) return;
  scheduler_.access().Touch(Footprint::Everything(), "a signal that is ignored from now on");
  pending_ &= ~SignalBit(signum);
  for (const auto& thread : scheduler_.threads()) thread->pending &= ~SignalBit(signum);
}

bool ProcessSignals::PendingAnywhere(int signum) const {
  uint64_t all = pending_;
  for (const auto& thread : scheduler_.threads()) all |= thread->pending;
  return (all & SignalBit(signum)) != 0;
}

// Who sends a signal and who takes one reads the dispositions. What is pending goes with a signal
// that is ignored from now on, and that may be seen by more.
Footprint ProcessSignals::ActionFootprint(int signum) const {
  return PendingAnywhere(signum) ? Footprint::Everything() : Footprint().Write(kDispositions);
}

bool ProcessSignals::Ignored(int signum) const {
  scheduler_.access().Read(kDispositions, "the disposition of a signal");
  const struct sigaction& action = actions_[signum];
  if (action.sa_handler == SIG_IGN) return true;
  if (action.sa_handler != SIG_DFL) return false;
  return signum == SIGCHLD || signum == SIGURG || signum == SIGWINCH || signum == SIGCONT;
}

// A handler that was taken away after the sender had said what it touches is an undeclared access.
void ProcessSignals::CheckSender(int signum, const SimThread* to) const {
  if (Handles(signum) || to == &scheduler_.current()) return;
  scheduler_.access().Touch(Footprint::Everything(), "who has a signal without a handler open");
}

void ProcessSignals::SendToThread(SimThread& thread, int signum) {
  const uint64_t bit = SignalBit(signum);
  CheckSender(signum, &thread);
  if (Ignored(signum) && (thread.mask & bit) == 0) return;
  scheduler_.access().Write(thread.signals_object, "a thread's pending signals");
  thread.pending |= bit;
}

void ProcessSignals::SendToProcess(int signum) {
  const uint64_t bit = SignalBit(signum);
  CheckSender(signum, nullptr);
  // Linux looks at the leader's mask only: what that blocks may be wanted later.
  if (Ignored(signum) && (scheduler_.leader().mask & bit) == 0) return;
  scheduler_.access().Touch(OfProcess(bit, &Footprint::writes), "the process's pending signals");
  pending_ |= bit;
}

// The next one of what `thread` has open and pending, which is not pending any more; 0 if there is
// none. Its own come first (dequeue_signal()), and of either the lowest number.
int ProcessSignals::Take(SimThread& thread) {
  const uint64_t takeable = Takeable(thread);
  if (takeable == 0) return 0;
  const uint64_t own = takeable & thread.pending;
  const int signum = std::countr_zero(own != 0 ? own : takeable) + 1;
  const uint64_t bit = SignalBit(signum);
  scheduler_.access().Touch(
      own != 0 ? Footprint().Write(thread.signals_object) : OfProcess(bit, &Footprint::writes),
      "a signal that it takes");
  (own != 0 ? thread.pending : pending_) &= ~bit;
  return signum;
}

// Linux makes a frame for each signal before it goes back to the program
// (exit_to_user_mode_loop()): the handler of the last one runs first.
bool ProcessSignals::Deliver(SimThread& thread, std::optional<uint64_t> mask_after) {
  struct Frame {
    int signum;
    uint64_t mask_after;
  };
  std::vector<Frame> frames;
  bool any = false;
  for (;;) {
    while (const int signum = Take(thread)) {
      any = true;
      if (Ignored(signum)) continue;
      const struct sigaction& action = actions_[signum];
      if (action.sa_handler == SIG_DFL) Kill(signum);
      frames.push_back({signum, mask_after.value_or(thread.mask)});
      mask_after.reset();
      thread.mask |= ToBits(action.sa_mask);
      if ((action.sa_flags & SA_NODEFER) == 0) thread.mask |= SignalBit(signum);
    }
    if (frames.empty()) return any;
    const Frame frame = frames.back();
    frames.pop_back();
    {
      const tsan::InProgram handler(thread.in_model);
      actions_[frame.signum].sa_handler(frame.signum);
    }
    thread.mask = frame.mask_after;
  }
}

// The end of all threads, wherever they are: a step that depends on everything.
void ProcessSignals::Kill(int signum) {
  scheduler_.BeforeStep("is killed", Footprint::Everything());
  scheduler_.GiveUp("killed", std::string(::strsignal(signum)) + " has its default action");
}

}  // namespace pollux::sim
