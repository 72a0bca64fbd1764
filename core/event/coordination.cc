#include "core/event/coordination.h"

#include <cerrno>

#include "core/event/coordinations.h"

namespace pollux {

std::optional<CoordinationKind> ParseCoordination(std::string_view word) {
  for (const auto kind :
       {CoordinationKind::kPublished, CoordinationKind::kMasked, CoordinationKind::kEventfd}) {
    if (word == ToString(kind)) return kind;
  }
  return std::nullopt;
}

const char* ToString(CoordinationKind kind) {
  switch (kind) {
    case CoordinationKind::kPublished:
      return "published";
    case CoordinationKind::kMasked:
      return "masked";
    case CoordinationKind::kEventfd:
      return "eventfd";
  }
  return "?";
}

Result<std::unique_ptr<Coordination>> MakeCoordination(CoordinationKind kind, Kernel& kernel,
                                                       FdeventHandler& handler, Signals& signals) {
  switch (kind) {
    case CoordinationKind::kPublished:
      // The race it is kept for is poll(2)'s: a mask-less epoll_wait was not part of it.
      if (std::string_view(handler.name()) != "poll") return Err(EINVAL, "published coordination");
      return MakePublished(kernel, handler, signals);
    case CoordinationKind::kMasked:
      return MakeMasked(kernel, handler, signals);
    case CoordinationKind::kEventfd:
      return MakeEventfd(kernel, handler, signals);
  }
  return Err(EINVAL, "coordination");
}

void SleepRecord::Ended(const Result<size_t>& result, std::optional<Nanoseconds> timeout) {
  ++stats_.waits;
  if (!result && result.error().code == EINTR) ++stats_.interrupted;
  // A look without sleep (time-out 0) is no sleep that could have missed something.
  timed_out_ = result && *result == 0 && timeout && *timeout > Nanoseconds::zero();
  if (timed_out_) ++stats_.timeouts;
}

void SleepRecord::Rescued() {
  if (!timed_out_) return;
  timed_out_ = false;
  ++stats_.timeout_rescues;
}

}  // namespace pollux
