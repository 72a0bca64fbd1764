// Goal: a completion that is signalled after the loop's check and before its sleep is not lost.
//
// Method: the loop's thread is held between the two until the completion has been signalled: the
// helper's kill() or tgkill() has returned and, where the signal is not blocked, its handler has
// run; without a helper, the eventfd is readable. Then the thread goes to sleep. 2006's poll() now
// sleeps its full second; a sound wait returns at once.
#include <poll.h>

#include <algorithm>

#include "fakes/validate/measure.h"

namespace pollux::validate {
namespace {

constexpr Nanoseconds kPatience = std::chrono::seconds(3);

bool Readable(int fd) {
  pollfd one = {fd, POLLIN, 0};
  return ::poll(&one, 1, 0) == 1;
}

}  // namespace

LostWakeup MeasureLostWakeup(const RigOptions& options, unsigned rounds) {
  using Point = HoldKernel::Point;
  LostWakeup result;
  Rig rig(options);
  ControlledRead read(rig);
  HoldKernel& kernel = rig.kernel();
  for (unsigned i = 0; i < rounds; ++i) {
    bool held = false;
    read.Arm();
    kernel.HoldNextLoopWait([&] {
      const uint64_t kicks = kernel.returned(Point::kKickToLoop);
      read.Complete();
      held = Await(
          [&] {
            return options.coordination == CoordinationKind::kEventfd
                       ? Readable(kernel.last_eventfd())
                       : kernel.returned(Point::kKickToLoop) > kicks;
          },
          kPatience);
    });
    const uint64_t before = read.dispatched();
    rig.TurnUntil([&] { return read.dispatched() > before; }, rig.Now() + 3 * kPatience);
    if (read.dispatched() == before) Die("a read was never dispatched");
    ++result.rounds;
    if (!held) continue;
    const Nanoseconds delay = read.dispatched_at() - read.completed_at();
    ++result.held;
    result.stalled += delay >= kStall;
    result.longest = std::max(result.longest, delay);
  }
  return result;
}

}  // namespace pollux::validate
