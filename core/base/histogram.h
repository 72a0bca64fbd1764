// Log-linear histogram of durations, for one thread: four buckets an octave from 1 µs to 64 s, so
// that a quantile is known within 19 %. Recording is an increment; nothing is allocated.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "core/base/units.h"

namespace pollux {

class Histogram {
 public:
  static constexpr int kBucketsPerOctave = 4;
  static constexpr int kOctaves = 26;  // 2^26 µs = 67 s
  static constexpr int kBuckets = kBucketsPerOctave * kOctaves + 1;

  void Record(Nanoseconds value) {
    const int64_t ns = value.count() < 0 ? 0 : value.count();
    ++counts_[BucketOf(static_cast<uint64_t>(ns))];
    ++count_;
    sum_ += Nanoseconds(ns);
    if (Nanoseconds(ns) > max_) max_ = Nanoseconds(ns);
  }

  uint64_t count() const { return count_; }
  Nanoseconds sum() const { return sum_; }
  Nanoseconds max() const { return max_; }
  uint64_t bucket(int i) const { return counts_[i]; }

  // Values in bucket i are below this; the last bucket has no bound.
  static Nanoseconds UpperBound(int i) {
    const int octave = i / kBucketsPerOctave, step = i % kBucketsPerOctave;
    const uint64_t base = uint64_t{1000} << octave;
    return Nanoseconds(static_cast<int64_t>(base + base * (step + 1) / kBucketsPerOctave));
  }

  // Upper bound of the bucket that holds the q-quantile (0 < q <= 1), at most max(); zero if empty.
  Nanoseconds Quantile(double q) const {
    const double rank = q * static_cast<double>(count_);
    uint64_t seen = 0;
    for (int i = 0; i + 1 < kBuckets; ++i) {
      seen += counts_[i];
      if (seen > 0 && static_cast<double>(seen) >= rank) return std::min(UpperBound(i), max_);
    }
    return max_;
  }

 private:
  static int BucketOf(uint64_t ns) {
    if (ns < 1000) return 0;
    const int octave = std::bit_width(ns / 1000) - 1;
    if (octave >= kOctaves) return kBuckets - 1;
    const uint64_t base = uint64_t{1000} << octave;
    return octave * kBucketsPerOctave + static_cast<int>((ns - base) * kBucketsPerOctave / base);
  }

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  Nanoseconds sum_{0};
  Nanoseconds max_{0};
};

}  // namespace pollux
