// Goal: a signal that has nothing to do with reads (SIGALRM, an operator's SIGUSR1) does no harm
// while reads are pending: nothing is dispatched that has not completed, nothing is lost, and the
// loop does not wait for a helper that has nothing for it.
//
// Method: another process sends the signal while the loop's thread (and the helper, where there is
// one) sleeps and nothing is complete. Then the turn that follows is watched: a helper's sleep that
// ended within it was waited for. Afterwards the read is completed and has to arrive.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>

#include "fakes/validate/measure.h"

namespace pollux::validate {
namespace {

using Point = HoldKernel::Point;

constexpr Nanoseconds kPatience = std::chrono::seconds(3);
// For a signal that ends nobody's sleep: how long until that is believed.
constexpr Nanoseconds kNoEffect = std::chrono::milliseconds(100);

[[noreturn]] void SignalOnCommand(int commands, int answers, pid_t parent) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  unsigned char signum;
  while (::read(commands, &signum, 1) == 1) {
    ::kill(parent, signum);
    if (::write(answers, &signum, 1) != 1) break;
  }
  ::_exit(0);
}

bool Sleeps(HoldKernel& kernel, Point point) {
  return kernel.entered(point) > kernel.returned(point) && IsAsleep(kernel.thread(point));
}

}  // namespace

Signaller::Signaller() {
  int down[2], up[2];
  const pid_t parent = ::getpid();
  if (::pipe(down) != 0 || ::pipe(up) != 0) Die("pipe failed");
  child_ = ::fork();
  if (child_ < 0) Die("fork failed");
  if (child_ == 0) {
    ::close(down[1]);
    ::close(up[0]);
    SignalOnCommand(down[0], up[1], parent);
  }
  ::close(down[0]);
  ::close(up[1]);
  commands_ = down[1];
  answers_ = up[0];
}

Signaller::~Signaller() {
  ::close(commands_);
  ::close(answers_);
  ::waitpid(child_, nullptr, 0);
}

void Signaller::Send(int signum) {
  unsigned char byte = static_cast<unsigned char>(signum);
  if (::write(commands_, &byte, 1) != 1 || ::read(answers_, &byte, 1) != 1) {
    Die("the signalling process is gone");
  }
}

ForeignSignals MeasureForeignSignals(const RigOptions& options, Signaller& signaller,
                                     unsigned rounds) {
  ForeignSignals result;
  Rig rig(options);
  ControlledRead read(rig);
  HoldKernel& kernel = rig.kernel();
  const bool has_helper = options.coordination != CoordinationKind::kEventfd;
  for (unsigned i = 0; i < rounds; ++i) {
    const int signum = i % 2 == 0 ? SIGALRM : SIGUSR1;
    const uint64_t dispatched = read.dispatched();
    std::atomic<uint64_t> helper_sleeps{0};
    std::atomic<bool> completed{false};
    TimePoint turn_end{};
    read.Arm();
    {
      const Partner outside([&] {
        const bool asleep = Await(
            [&] {
              return Sleeps(kernel, Point::kLoopWait) &&
                     (!has_helper || Sleeps(kernel, Point::kHelperWait));
            },
            kPatience);
        if (!asleep) Die("the loop or its helper does not go to sleep");
        helper_sleeps = kernel.returned(Point::kHelperWait);
        const uint64_t waits = kernel.returned(Point::kLoopWait);
        signaller.Send(signum);
        if (!Await([&] { return kernel.returned(Point::kLoopWait) > waits; }, kNoEffect)) {
          completed = true;  // nobody's sleep ended: let the loop go on
          read.Complete();
        }
      });
      OrDie(rig.loop().RunOnce());
      turn_end = rig.Now();
    }
    ++result.sent;
    if (!completed) {
      ++result.interrupted;
      result.misread += kernel.returned(Point::kHelperWait) > helper_sleeps;
      result.longest_turn =
          std::max(result.longest_turn, turn_end - kernel.last_returned(Point::kLoopWait));
      result.dispatched_wrongly += read.dispatched() - dispatched;
      read.Complete();
    }
    rig.TurnUntil([&] { return read.dispatched() > dispatched; }, rig.Now() + kPatience);
    if (read.dispatched() == dispatched) Die("a read was never dispatched");
    result.late += read.dispatched_at() - read.completed_at() >= kStall;
  }
  return result;
}

}  // namespace pollux::validate
