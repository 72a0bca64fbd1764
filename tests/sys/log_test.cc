#include "core/sys/log.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <vector>

#include "fakes/mock_kernel.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::Return;
using ::testing::StrictMock;

class LoggerTest : public ::testing::Test {
 protected:
  void ExpectWrites(int fd, int times) {
    EXPECT_CALL(kernel_, write(fd, _, _))
        .Times(times)
        .WillRepeatedly([this](int, const void* buffer, size_t count) -> Result<size_t> {
          lines_.emplace_back(static_cast<const char*>(buffer), count);
          return count;
        });
    // 2006-11-14 21:24:16.987 UTC
    EXPECT_CALL(kernel_, clock_gettime(CLOCK_REALTIME))
        .Times(times)
        .WillRepeatedly(Return(timespec{1163539456, 987'654'321}));
  }

  StrictMock<MockKernel> kernel_;
  std::vector<std::string> lines_;
};

TEST_F(LoggerTest, LineIsTimeLevelAndMessageInOneWrite) {
  ExpectWrites(2, 1);
  Logger log(kernel_, 2, spdlog::level::info);
  log.Warn("accept4: {} for {} ms", "EMFILE", 100);
  EXPECT_EQ(lines_, std::vector<std::string>{
                        "2006-11-14T21:24:16.987Z warning accept4: EMFILE for 100 ms\n"});
}

TEST_F(LoggerTest, EachLevelSaysItsName) {
  ExpectWrites(5, 4);
  Logger log(kernel_, 5, spdlog::level::debug);
  log.Debug("a");
  log.Info("b");
  log.Warn("c");
  log.Error("d");
  ASSERT_EQ(lines_.size(), 4u);
  EXPECT_EQ(lines_[0], "2006-11-14T21:24:16.987Z debug a\n");
  EXPECT_EQ(lines_[1], "2006-11-14T21:24:16.987Z info b\n");
  EXPECT_EQ(lines_[3], "2006-11-14T21:24:16.987Z error d\n");
}

// StrictMock: neither the clock nor the descriptor is touched.
TEST_F(LoggerTest, WhatIsBelowTheLevelCostsNoCall) {
  Logger log(kernel_, 2, spdlog::level::warn);
  log.Info("not wanted");
  log.Debug("not wanted");
}

TEST_F(LoggerTest, MessageIsNotTakenForAFormat) {
  ExpectWrites(2, 1);
  Logger log(kernel_, 2, spdlog::level::info);
  log.Info("{}", "GET /{x}%s");
  EXPECT_EQ(lines_.at(0), "2006-11-14T21:24:16.987Z info GET /{x}%s\n");
}

TEST_F(LoggerTest, NoByteOfAMessageEndsTheLineOrTalksToATerminal) {
  ExpectWrites(2, 1);
  Logger log(kernel_, 2, spdlog::level::info);
  log.Info("opening \"{}\"", "x\n2026 error FORGED\x1b[31m\x7f");
  EXPECT_EQ(lines_, std::vector<std::string>{"2006-11-14T21:24:16.987Z info opening "
                                             "\"x\\x0a2026 error FORGED\\x1b[31m\\x7f\"\n"});
}

TEST_F(LoggerTest, AWriteThatFailsOrIsShortIsNotRepeated) {
  EXPECT_CALL(kernel_, clock_gettime(CLOCK_REALTIME)).WillRepeatedly(Return(timespec{0, 0}));
  EXPECT_CALL(kernel_, write(2, _, _))
      .WillOnce(Return(Err(EAGAIN, "write")))  // a pipe that nobody reads
      .WillOnce(Return(Err(ENOSPC, "write")))
      .WillOnce(Return(Result<size_t>(3)));
  Logger log(kernel_, 2, spdlog::level::info);
  log.Info("one");
  log.Info("two");
  log.Info("three");
}

}  // namespace
}  // namespace pollux
