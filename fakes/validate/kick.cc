// Goal: the loop's kick ends the helper's sleep.
//
// Method: a read is pending that will not complete; the helper is asleep in io_getevents or
// io_pgetevents (it entered it, and /proc says that it sleeps). Then the loop kicks it: 2006 does
// so whenever poll() returned a ready descriptor; `masked` when it stops. The kick has landed if
// the sleep that was going on ended with EINTR, and not by its own time-out of a second.
#include <algorithm>
#include <memory>

#include "fakes/validate/measure.h"

namespace pollux::validate {
namespace {

using Point = HoldKernel::Point;

constexpr Nanoseconds kPatience = std::chrono::seconds(3);

class ReadOnReady final : public FdeventCallback {
 public:
  explicit ReadOnReady(const Pipe& pipe) : pipe_(pipe) {}
  void OnFdevent(uint32_t) override { pipe_.Read(); }

 private:
  const Pipe& pipe_;
};

bool HelperSleeps(HoldKernel& kernel) {
  return kernel.entered(Point::kHelperWait) > kernel.returned(Point::kHelperWait) &&
         IsAsleep(kernel.thread(Point::kHelperWait));
}

// `sleep`: the number of the helper's sleep that was seen going on before the kick.
void Judge(HoldKernel& kernel, uint64_t sleep, KickLands& result) {
  if (kernel.returned(Point::kHelperWait) <= sleep) Die("the helper never woke up");
  const TimePoint kicked = kernel.last_entered(Point::kKickToHelper);
  const TimePoint woke = kernel.returned_at(Point::kHelperWait, sleep);
  if (woke < kicked) return;  // by itself, before the kick
  ++result.kicks;
  result.landed += kernel.error_at(Point::kHelperWait, sleep) == EINTR;
  result.longest = std::max(result.longest, woke - kicked);
}

// The loop is woken by a descriptor, as by a request that comes while a file is being read.
void KickByRequest(Rig& rig, KickLands& result) {
  HoldKernel& kernel = rig.kernel();
  ControlledRead read(rig);
  const Pipe request;
  ReadOnReady callback(request);
  const Registration registration =
      OrDie(rig.loop().Register(request.reading_end(), POLLIN, &callback));
  read.Arm();
  uint64_t sleep = 0;
  {
    const Partner client([&] {
      if (!Await([&] { return HelperSleeps(kernel); }, kPatience)) {
        Die("the helper does not go to sleep");
      }
      sleep = kernel.returned(Point::kHelperWait);
      request.Write();
    });
    const uint64_t kicks = kernel.returned(Point::kKickToHelper);
    rig.TurnUntil([&] { return kernel.returned(Point::kKickToHelper) > kicks; },
                  rig.Now() + kPatience);
  }
  Judge(kernel, sleep, result);
  read.Complete();
  rig.TurnUntil([&] { return read.dispatched() == 1; }, rig.Now() + kPatience);
}

void KickByStop(Rig& rig, KickLands& result) {
  HoldKernel& kernel = rig.kernel();
  ControlledRead read(rig);
  read.Arm();
  if (!Await([&] { return HelperSleeps(kernel); }, kPatience)) {
    Die("the helper does not go to sleep");
  }
  const uint64_t sleep = kernel.returned(Point::kHelperWait);
  rig.coordination().Stop();
  Judge(kernel, sleep, result);
}

}  // namespace

KickLands MeasureKick(const RigOptions& options, unsigned rounds) {
  KickLands result;
  for (unsigned i = 0; i < rounds; ++i) {
    Rig rig(options);
    switch (options.coordination) {
      case CoordinationKind::kPublished:
        result.has_helper = true;
        KickByRequest(rig, result);
        break;
      case CoordinationKind::kMasked:
        result.has_helper = true;
        KickByStop(rig, result);
        break;
      case CoordinationKind::kEventfd: {
        ControlledRead read(rig);
        read.Arm();
        read.Complete();
        rig.TurnUntil([&] { return read.dispatched() == 1; }, rig.Now() + kPatience);
        result.has_helper |= rig.kernel().entered(Point::kHelperWait) > 0;
        break;
      }
    }
  }
  return result;
}

}  // namespace pollux::validate
