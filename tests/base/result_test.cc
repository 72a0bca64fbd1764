#include "core/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

#include "core/base/check.h"

namespace pollux {
namespace {

TEST(ResultTest, HoldsAValueOrTheErrnoAndWhatMetIt) {
  Result<int> good = 7;
  ASSERT_TRUE(good);
  EXPECT_EQ(*good, 7);
  Result<int> bad = Err(EMFILE, "accept4");
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, EMFILE);
  EXPECT_STREQ(bad.error().operation, "accept4");
}

TEST(ResultTest, StatusIsGoodUnlessItHasAnError) {
  EXPECT_TRUE(Status());
  Status bad = Err(EIO, "fsync");
  EXPECT_FALSE(bad);
}

TEST(ResultTest, CarriesWhatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> made = std::make_unique<int>(3);
  Result<std::unique_ptr<int>> moved = std::move(made);
  ASSERT_TRUE(moved);
  EXPECT_EQ(**moved, 3);
}

TEST(ResultTest, AnErrorIsPassedOnUnchanged) {
  const Result<int> inner = Err(ENOENT, "openat2");
  Result<std::string> outer = Err(inner.error());
  EXPECT_EQ(outer.error().code, ENOENT);
  EXPECT_STREQ(outer.error().operation, "openat2");
}

TEST(ResultTest, ErrorsAreEqualByErrnoWhateverMetThem) {
  EXPECT_EQ((Error{EAGAIN, "recv"}), (Error{EAGAIN, "send"}));
  EXPECT_FALSE((Error{EAGAIN, "recv"} == Error{EINTR, "recv"}));
}

TEST(ResultTest, ErrorTextNamesOperationErrnoAndMeaning) {
  EXPECT_EQ(ToString(Error{EMFILE, "accept4"}), "accept4: EMFILE (Too many open files)");
}

TEST(ResultTest, AnErrnoWithoutANameIsGivenAsANumber) {
  EXPECT_EQ(ErrnoName(99999), "errno 99999");
  EXPECT_EQ(ToString(Error{99999, "ioctl"}), "ioctl: errno 99999");
}

TEST(CheckDeathTest, SaysWhatWasImpossibleAndWhere) {
  const int fd = 3;
  EXPECT_DEATH(CHECK(fd < 0), "pollux: CHECK failed: fd < 0 at .*result_test.cc:[0-9]+");
}

TEST(CheckTest, EvaluatesItsConditionOnce) {
  int calls = 0;
  CHECK(++calls > 0);
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace pollux
