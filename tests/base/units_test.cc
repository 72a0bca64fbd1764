#include "core/base/units.h"

#include <gtest/gtest.h>

namespace pollux {
namespace {

TEST(UnitsTest, BinaryPrefixesCountInPowersOf1024) {
  EXPECT_EQ(1_KiB, 1024u);
  EXPECT_EQ(512_KiB, 524'288u);
  EXPECT_EQ(3_MiB, 3'145'728u);
  EXPECT_EQ(8_GiB, 8'589'934'592u);  // more than 32 bits hold
}

TEST(UnitsTest, AlignDownAndUpKeepWhatIsAligned) {
  for (uint64_t aligned : {uint64_t{0}, 4_KiB, 8_GiB}) {
    EXPECT_EQ(AlignDown(aligned, 4096), aligned);
    EXPECT_EQ(AlignUp(aligned, 4096), aligned);
  }
}

TEST(UnitsTest, AlignDownAndUpMeetTheNearestMultiples) {
  EXPECT_EQ(AlignDown(1, 4096), 0u);
  EXPECT_EQ(AlignUp(1, 4096), 4096u);
  EXPECT_EQ(AlignDown(8191, 4096), 4096u);
  EXPECT_EQ(AlignUp(8191, 4096), 8192u);
  EXPECT_EQ(AlignUp(5_GiB + 1, 512), 5_GiB + 512);
}

}  // namespace
}  // namespace pollux
