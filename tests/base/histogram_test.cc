#include "core/base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

namespace pollux {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

int OnlyBucketOf(Nanoseconds value) {
  Histogram histogram;
  histogram.Record(value);
  for (int i = 0; i < Histogram::kBuckets; ++i) {
    if (histogram.bucket(i) == 1) return i;
  }
  return -1;
}

TEST(HistogramTest, EmptyHasNoCountSumOrQuantile) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0u);
  EXPECT_EQ(histogram.sum(), Nanoseconds(0));
  EXPECT_EQ(histogram.max(), Nanoseconds(0));
  EXPECT_EQ(histogram.Quantile(0.99), Nanoseconds(0));
}

TEST(HistogramTest, CountsSumsAndKeepsTheMaximum) {
  Histogram histogram;
  histogram.Record(microseconds(3));
  histogram.Record(microseconds(10));
  histogram.Record(microseconds(5));
  EXPECT_EQ(histogram.count(), 3u);
  EXPECT_EQ(histogram.sum(), microseconds(18));
  EXPECT_EQ(histogram.max(), microseconds(10));
}

TEST(HistogramTest, BoundsRiseFromOneMicrosecondByAtMostAQuarter) {
  EXPECT_EQ(Histogram::UpperBound(0), Nanoseconds(1250));
  EXPECT_EQ(Histogram::UpperBound(3), Nanoseconds(2000));
  for (int i = 1; i + 1 < Histogram::kBuckets; ++i) {
    const double ratio = static_cast<double>(Histogram::UpperBound(i).count()) /
                         static_cast<double>(Histogram::UpperBound(i - 1).count());
    EXPECT_GT(ratio, 1.0) << i;
    EXPECT_LE(ratio, 1.25) << i;
  }
}

TEST(HistogramTest, ABoundBelongsToTheBucketAboveIt) {
  for (int i = 0; i + 2 < Histogram::kBuckets; ++i) {
    const Nanoseconds bound = Histogram::UpperBound(i);
    EXPECT_EQ(OnlyBucketOf(bound - Nanoseconds(1)), i);
    EXPECT_EQ(OnlyBucketOf(bound), i + 1);
  }
}

TEST(HistogramTest, WhatIsTooShortOrNegativeFallsIntoTheFirstBucket) {
  EXPECT_EQ(OnlyBucketOf(Nanoseconds(0)), 0);
  EXPECT_EQ(OnlyBucketOf(Nanoseconds(-5)), 0);  // a clock that was read out of order
  Histogram histogram;
  histogram.Record(Nanoseconds(-5));
  EXPECT_EQ(histogram.sum(), Nanoseconds(0));
}

TEST(HistogramTest, WhatIsTooLongFallsIntoTheLastBucketAndIsReportedAsTheMaximum) {
  EXPECT_EQ(OnlyBucketOf(seconds(1000)), Histogram::kBuckets - 1);
  Histogram histogram;
  histogram.Record(seconds(1000));
  EXPECT_EQ(histogram.Quantile(0.5), seconds(1000));
}

TEST(HistogramTest, QuantileIsNeverAboveTheMaximum) {
  Histogram histogram;
  histogram.Record(microseconds(100));
  EXPECT_EQ(histogram.Quantile(0.5), microseconds(100));
  EXPECT_EQ(histogram.Quantile(1.0), microseconds(100));
}

TEST(HistogramTest, TheSlowestInAHundredDecidesTheHighQuantileOnly) {
  Histogram histogram;
  for (int i = 0; i < 99; ++i) histogram.Record(microseconds(50));
  histogram.Record(seconds(1));
  EXPECT_LT(histogram.Quantile(0.99), microseconds(64));
  EXPECT_EQ(histogram.Quantile(0.999), seconds(1));
}

// Against the exact quantile of the sorted values: never below it, at most one bucket above.
TEST(HistogramTest, QuantileIsWithinABucketOfTheExactOne) {
  std::mt19937_64 random(42);
  std::lognormal_distribution<double> spread(11.0, 2.0);  // around 60 µs, with a long tail
  std::vector<Nanoseconds> values;
  Histogram histogram;
  for (int i = 0; i < 5000; ++i) {
    values.emplace_back(static_cast<int64_t>(spread(random)) + 1000);
    histogram.Record(values.back());
  }
  std::sort(values.begin(), values.end());
  for (double q : {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const auto rank = static_cast<size_t>(std::ceil(q * 5000));
    const Nanoseconds exact = values[rank - 1];
    EXPECT_GE(histogram.Quantile(q), exact) << q;
    EXPECT_LE(histogram.Quantile(q).count(), exact.count() * 5 / 4 + 1) << q;
  }
}

}  // namespace
}  // namespace pollux
