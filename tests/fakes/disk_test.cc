// The disk model against the numbers that it is made of: rates of streams, the mean of random
// reads, the order of a queue, the choice of a spindle.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

#include "core/base/units.h"
#include "fakes/disk/array.h"
#include "fakes/disk/shape.h"

namespace pollux::disk {
namespace {

constexpr TimePoint kStart{std::chrono::hours(1)};
constexpr uint64_t kFar = 50'000'000'000;

double Seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

Shape Named(const char* words) { return ParseShape(words).value().value(); }

// Bytes a second of streams that each keep `depth` contiguous reads of `chunk` bytes in flight.
double RateOfStreams(const Shape& shape, unsigned streams, unsigned depth, uint64_t chunk) {
  Array array(shape);
  std::vector<uint64_t> next(streams);
  std::map<uint64_t, unsigned> stream_of;
  const auto submit = [&](unsigned stream, TimePoint now) {
    stream_of[array.Submit(next[stream], chunk, now)] = stream;
    next[stream] += chunk;
  };
  for (unsigned i = 0; i < streams; ++i) {
    next[i] = shape.capacity_bytes / streams * i;
    for (unsigned d = 0; d < depth; ++d) submit(i, kStart);
  }
  TimePoint now = kStart;
  uint64_t bytes = 0;
  while (now < kStart + std::chrono::seconds(60)) {
    now = array.NextCompletion().value();
    const Array::Done done = array.Take(now).value();
    EXPECT_EQ(done.at, now);
    bytes += chunk;
    submit(stream_of.at(done.read), now);
  }
  return static_cast<double>(bytes) / Seconds(now - kStart);
}

TEST(DiskTest, OneStreamOneDeepHasTheRateOfTheMedia) {
  const double media = Shape().media_bytes_per_second;
  for (const char* words : {"hdd", "raid1-2006"}) {
    const double rate = RateOfStreams(Named(words), 1, 1, 512_KiB);
    EXPECT_NEAR(rate, media, media * 0.1) << words;
  }
}

TEST(DiskTest, TwoStreamsFourDeepKeepTwoSpindlesBusy) {
  const double rate = RateOfStreams(Named("raid1-2006"), 2, 4, 512_KiB);
  EXPECT_GE(rate, 1.6 * Shape().media_bytes_per_second);
  EXPECT_LE(rate, 2.0 * Shape().media_bytes_per_second);
}

TEST(DiskTest, OneStreamFourDeepUsesBothSpindles) {
  const double rate = RateOfStreams(Named("raid1-2006"), 1, 4, 512_KiB);
  EXPECT_GE(rate, 1.6 * Shape().media_bytes_per_second);
}

TEST(DiskTest, TenStreamsOneDeepLoseHalfToSeeksAndDeepOnesDoNot) {
  const double shallow = RateOfStreams(Named("raid1-2006"), 10, 1, 512_KiB);
  const double deep = RateOfStreams(Named("raid1-2006"), 10, 4, 512_KiB);
  EXPECT_LT(shallow, 1.2 * Shape().media_bytes_per_second);
  EXPECT_GT(deep, 1.35 * shallow);
}

TEST(DiskTest, RandomReadsTakeSeekHalfATurnAndTransferInTheMean) {
  const Shape shape = Named("hdd");
  Array array(shape);
  std::mt19937_64 random(1);
  TimePoint now = kStart;
  constexpr int kReads = 2000;
  for (int i = 0; i < kReads; ++i) {
    array.Submit(random() % shape.capacity_bytes, 1_MiB, now);
    now = array.NextCompletion().value();
    ASSERT_TRUE(array.Take(now));
  }
  const double formula = Seconds(RandomReadTime(shape, 1_MiB));
  // 8.5 ms of seek, 4.17 of rotation, 18.08 of transfer, 0.2 for the command.
  EXPECT_NEAR(formula, 0.03095, 0.00005);
  EXPECT_NEAR(Seconds(now - kStart) / kReads, formula, formula * 0.15);
}

TEST(DiskTest, SeeksTakeTheirAverageOverRandomPairsAndLongerForLongerWays) {
  const Shape shape;
  std::mt19937_64 random(2);
  double sum = 0;
  constexpr int kPairs = 20000;
  for (int i = 0; i < kPairs; ++i) {
    const uint64_t a = random() % shape.capacity_bytes, b = random() % shape.capacity_bytes;
    sum += Seconds(SeekTime(shape, a > b ? a - b : b - a));
  }
  EXPECT_NEAR(sum / kPairs, 0.0085, 0.0001);
  EXPECT_EQ(SeekTime(shape, 0), Nanoseconds(0));
  EXPECT_GE(SeekTime(shape, 1), shape.seek_track);
  EXPECT_LT(SeekTime(shape, 1_GiB), SeekTime(shape, 20_GiB));
}

TEST(DiskTest, NoReadIsFasterThanReadingThrough) {
  const Shape shape;
  EXPECT_EQ(PositionTime(shape, 1_MiB, 1_MiB + 4_KiB, kStart), TransferTime(shape, 4_KiB));
  EXPECT_EQ(PositionTime(shape, 1_MiB, 2_MiB, kStart), shape.skip);
  EXPECT_GE(PositionTime(shape, 2_MiB, 1_MiB, kStart), shape.seek_track);  // backwards: a seek
}

std::vector<uint64_t> OrderOf(Array& array, TimePoint now) {
  std::vector<uint64_t> order;
  while (const auto next = array.NextCompletion()) {
    EXPECT_GE(*next, now);
    now = *next;
    order.push_back(array.Take(now).value().read);
  }
  return order;
}

TEST(DiskTest, TheElevatorGoesUpAndThenBackToTheOldest) {
  Array array(Named("hdd"));
  const uint64_t first = array.Submit(10_GiB, 4_KiB, kStart);  // begins at once
  const uint64_t high = array.Submit(30_GiB, 4_KiB, kStart);
  const uint64_t low = array.Submit(1_GiB, 4_KiB, kStart);
  const uint64_t middle = array.Submit(20_GiB, 4_KiB, kStart);
  const uint64_t lowest = array.Submit(4_KiB, 4_KiB, kStart);
  EXPECT_EQ(OrderOf(array, kStart), (std::vector<uint64_t>{first, middle, high, low, lowest}));
}

TEST(DiskTest, AStreamAheadOfTheHeadDoesNotStarveAReadBehindIt) {
  Array array(Named("hdd"));
  uint64_t next = kFar;
  const auto stream = [&](TimePoint now) {
    array.Submit(next, 1_MiB, now);
    next += 1_MiB;
  };
  stream(kStart);
  stream(kStart);
  const uint64_t behind = array.Submit(4_KiB, 4_KiB, kStart);
  TimePoint now = kStart;
  for (;;) {
    now = array.NextCompletion().value();
    if (array.Take(now).value().read == behind) break;
    stream(now);
    ASSERT_LT(now, kStart + std::chrono::seconds(2));
  }
  EXPECT_GE(now, kStart + Array::kReadExpires);
}

TEST(DiskTest, AMirroredReadGoesToTheSpindleWhereItsStreamIs) {
  Array array(Named("raid1-2006"));
  TimePoint now = kStart;
  const auto read = [&](uint64_t offset) {
    array.Submit(offset, 512_KiB, now);
    now = array.NextCompletion().value();
    return array.Take(now).value().spindle;
  };
  array.Submit(kFar, 512_KiB, now);
  array.Submit(2 * kFar, 512_KiB, now);  // the other spindle: the first is busy
  std::map<uint64_t, unsigned> spindle_of;
  for (int i = 0; i < 2; ++i) {
    now = array.NextCompletion().value();
    const Array::Done done = array.Take(now).value();
    spindle_of[done.read] = done.spindle;
  }
  ASSERT_NE(spindle_of[1], spindle_of[2]);
  for (uint64_t i = 1; i <= 8; ++i) {
    EXPECT_EQ(read(kFar + i * 512_KiB), spindle_of[1]);
    EXPECT_EQ(read(2 * kFar + i * 512_KiB), spindle_of[2]);
  }
  // Neither goes on here: the nearer head takes it.
  EXPECT_EQ(read(kFar + 10_GiB), spindle_of[1]);
  EXPECT_EQ(read(2 * kFar + 10_GiB), spindle_of[2]);
}

TEST(DiskTest, ABusySpindleLeavesOthersToTheIdleOne) {
  Array array(Named("raid1-2006"));
  const uint64_t a = array.Submit(kFar, 1_MiB, kStart);
  const uint64_t b = array.Submit(kFar + 1_MiB, 1_MiB, kStart);
  const Array::Done first = array.Take(kStart + std::chrono::seconds(1)).value();
  const Array::Done second = array.Take(kStart + std::chrono::seconds(1)).value();
  EXPECT_NE(first.spindle, second.spindle);
  EXPECT_EQ(first.read + second.read, a + b);
  EXPECT_TRUE(array.idle());
}

TEST(DiskTest, WhoAsksLateGetsTheSameTimes) {
  Array in_time(Named("hdd")), late(Named("hdd"));
  for (Array* array : {&in_time, &late}) {
    for (uint64_t i = 1; i <= 5; ++i) array->Submit(i * kFar / 10, 64_KiB, kStart);
  }
  while (const auto next = in_time.NextCompletion()) {
    const Array::Done done = in_time.Take(*next).value();
    const Array::Done same = late.Take(kStart + std::chrono::seconds(9)).value();
    EXPECT_EQ(done.read, same.read);
    EXPECT_EQ(done.at, same.at);
  }
  EXPECT_TRUE(late.idle());
}

TEST(DiskTest, DisksAreNamedOrNumbered) {
  EXPECT_EQ(ParseShape("none").value(), std::nullopt);
  EXPECT_EQ(Named("raid1-2006").spindles, 2U);
  EXPECT_EQ(PositionTime(Named("ssd"), 0, kFar, kStart), Nanoseconds(0));
  const Shape own = Named("hdd,rate=80,seek=9.5,rpm=5400,spindles=3,capacity=250");
  EXPECT_EQ(own.media_bytes_per_second, 80e6);
  EXPECT_EQ(own.seek_average, std::chrono::microseconds(9500));
  EXPECT_EQ(own.rpm, 5400);
  EXPECT_EQ(own.spindles, 3U);
  EXPECT_EQ(own.capacity_bytes, 250'000'000'000U);
  for (const char* wrong :
       {"", "tape", "hdd,", "hdd,rate", "hdd,rate=", "hdd,rate=0", "hdd,rate=1x", "hdd,rate=-1",
        "hdd,rate=nan", "hdd,spindles=1.5", "hdd,colour=1", "none,rate=1"}) {
    const auto parsed = ParseShape(wrong);
    ASSERT_FALSE(parsed) << wrong;
    EXPECT_NE(parsed.error().find("there are: "), std::string::npos) << parsed.error();
    EXPECT_EQ(parsed.error().find('\n'), std::string::npos);
  }
}

}  // namespace
}  // namespace pollux::disk
