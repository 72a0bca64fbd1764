#include "core/server/unsent.h"

#include <gtest/gtest.h>

namespace pollux {
namespace {

TEST(UnsentShareTest, FewAnswersHaveAllThatOneMayHave) {
  EXPECT_EQ(UnsentShare(0, 128_MiB, 256_KiB), 256_KiB);
  EXPECT_EQ(UnsentShare(1, 128_MiB, 256_KiB), 256_KiB);
  EXPECT_EQ(UnsentShare(512, 128_MiB, 256_KiB), 256_KiB);
}

TEST(UnsentShareTest, MoreDivideTheTotal) {
  EXPECT_EQ(UnsentShare(513, 128_MiB, 256_KiB), 128_KiB);
  EXPECT_EQ(UnsentShare(1024, 128_MiB, 256_KiB), 128_KiB);
  EXPECT_EQ(UnsentShare(1025, 128_MiB, 256_KiB), 64_KiB);
}

TEST(UnsentShareTest, EachHasTheLeastThatIsUseful) {
  EXPECT_EQ(UnsentShare(100'000, 128_MiB, 256_KiB), kUnsentBytesMin);
  EXPECT_EQ(UnsentShare(2, 0, 256_KiB), kUnsentBytesMin);
}

TEST(UnsentShareTest, NoneHasMoreThanItsOwnLimit) {
  EXPECT_EQ(UnsentShare(1, 128_MiB, 4_KiB), 4_KiB);
  EXPECT_EQ(UnsentShare(100'000, 128_MiB, 4_KiB), 4_KiB);
}

TEST(UnsentShareTest, NineThousandSlowClientsStayFarBelowAGibibyte) {
  uint64_t sum = 0;
  for (size_t sending = 1; sending <= 9000; ++sending) {
    sum += UnsentShare(sending, kUnsentTotalBytes, 256_KiB);
  }
  EXPECT_LT(sum, 400_MiB);
}

}  // namespace
}  // namespace pollux
