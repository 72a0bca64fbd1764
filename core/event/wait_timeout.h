// A timeout as the waits of Linux want it. Internal to core/event.
#pragma once

#include <algorithm>
#include <climits>
#include <optional>

#include "core/base/units.h"
#include "core/sys/kernel.h"

namespace pollux {

// For poll(2) and epoll_pwait(2): -1 for no timeout. Rounded up, so that a wait never ends before
// the deadline it was computed from: rounding down would spin through the last millisecond.
inline int ToPollMilliseconds(std::optional<Nanoseconds> timeout) {
  if (!timeout) return -1;
  if (*timeout <= Nanoseconds::zero()) return 0;
  constexpr int64_t kNanosPerMilli = 1'000'000;
  const int64_t ns = timeout->count();
  const int64_t ms = ns / kNanosPerMilli + (ns % kNanosPerMilli != 0 ? 1 : 0);
  return static_cast<int>(std::min<int64_t>(ms, INT_MAX));
}

// For ppoll(2), which takes nanoseconds. A negative timeout would be EINVAL: it means "at once".
inline timespec ToTimespec(Nanoseconds timeout) {
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  const int64_t ns = std::max<int64_t>(timeout.count(), 0);
  timespec out{};
  out.tv_sec = static_cast<time_t>(ns / kNanosPerSecond);
  out.tv_nsec = static_cast<long>(ns % kNanosPerSecond);
  return out;
}

}  // namespace pollux
