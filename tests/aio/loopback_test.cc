// The helpers themselves: a checker that cannot see a wrong byte would pass every test below it.
#include "tests/aio/loopback.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/sys/linux_kernel.h"

namespace pollux {
namespace {

TEST(PatternTest, EachWordSaysWhereItBelongs) {
  const std::string bytes = Pattern(0, 24, 0x0102);
  EXPECT_EQ(bytes.substr(8, 8), std::string("\x08\0\0\0\0\0\x02\x01", 8));
}

TEST(PatternTest, AnyPartIsThatPartOfTheWhole) {
  const std::string whole = Pattern(0, 100, 7);
  for (uint64_t offset = 0; offset < 20; ++offset) {
    for (uint64_t length = 0; length < 40; ++length) {
      ASSERT_EQ(Pattern(offset, length, 7), whole.substr(offset, length))
          << offset << " " << length;
    }
  }
}

TEST(PatternTest, EverySingleWrongByteIsSeen) {
  for (size_t i = 0; i < 64; ++i) {
    std::string bytes = Pattern(5, 64);
    bytes[i] ^= 1;
    EXPECT_FALSE(HoldsPattern(bytes, 5)) << i;
    EXPECT_EQ(WrongBytes(bytes, 5), 1u) << i;
  }
  EXPECT_TRUE(HoldsPattern(Pattern(5, 64), 5));
}

TEST(PatternTest, BytesOfAnotherPlaceAreNamedByTheirOrigin) {
  std::string bytes = Pattern(4096, 4096, 3);
  bytes.replace(512, 8, Pattern(65536, 8, 4));
  const auto seen = HoldsPattern(bytes, 4096, 3);
  EXPECT_NE(std::string(seen.message()).find("reads as position 65536 of seed 4"),
            std::string::npos)
      << seen.message();
}

TEST(PatternFileTest, HoldsItsPattern) {
  LinuxKernel kernel;
  const TempDir dir;
  const PatternFile file(dir, 3'000'001, 9);
  const auto open = file.Open(kernel);
  EXPECT_EQ(open->size(), 3'000'001u);
  std::string bytes(open->size(), '\0');
  ASSERT_EQ(kernel.pread(open->fd.get(), bytes.data(), bytes.size(), 0), bytes.size());
  EXPECT_TRUE(HoldsPattern(bytes, 0, 9));
}

TEST(LoopbackTest, CarriesBytesAndEndsWhenTheNearEndIsLetGo) {
  LinuxKernel kernel;
  Loopback loopback(kernel);
  EXPECT_EQ(loopback.ReadSome(), "");
  ASSERT_EQ(kernel.send(loopback.socket()->get(), "bytes", 5, 0), 5u);
  EXPECT_EQ(loopback.ReadExactly(2), "by");
  loopback.CloseNear();
  EXPECT_EQ(loopback.ReadToEnd(), "tes");
}

TEST(LoopbackTest, ResetIsSeenByTheNearEnd) {
  LinuxKernel kernel;
  Loopback loopback(kernel);
  loopback.Reset();
  ASSERT_TRUE(loopback.WaitNear(POLLIN));
  char byte;
  const auto got = kernel.recv(loopback.socket()->get(), &byte, 1, 0);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, ECONNRESET);
}

}  // namespace
}  // namespace pollux
