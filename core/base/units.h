// Units carried in names and types: bytes as uint64_t built by these literals, time as chrono.
#pragma once

#include <chrono>
#include <cstdint>

namespace pollux {

inline constexpr uint64_t operator""_KiB(unsigned long long n) { return n << 10; }
inline constexpr uint64_t operator""_MiB(unsigned long long n) { return n << 20; }
inline constexpr uint64_t operator""_GiB(unsigned long long n) { return n << 30; }

using Nanoseconds = std::chrono::nanoseconds;

// Points on CLOCK_MONOTONIC as the seam reports it. A clock type of its own, so that nobody can
// call now() past the seam.
struct MonotonicClock {
  using duration = Nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<MonotonicClock>;
  static constexpr bool is_steady = true;
};
using TimePoint = MonotonicClock::time_point;

// `alignment` must be a power of two.
constexpr uint64_t AlignDown(uint64_t n, uint64_t alignment) { return n & ~(alignment - 1); }
constexpr uint64_t AlignUp(uint64_t n, uint64_t alignment) {
  return AlignDown(n + alignment - 1, alignment);
}

}  // namespace pollux
