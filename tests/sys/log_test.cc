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

// 0x9b begins a sequence for a terminal as ESC [ does, alone or as the character of that number.
TEST_F(LoggerTest, BytesAboveAsciiAreEscaped) {
  ExpectWrites(2, 1);
  Logger log(kernel_, 2, spdlog::level::info);
  log.Warn("opening \"{}\"", "\xff\x9b\x33\x31m\xc2\x9b\x33\x31m\xc3\xa4");
  EXPECT_EQ(lines_, std::vector<std::string>{"2006-11-14T21:24:16.987Z warning opening "
                                             "\"\\xff\\x9b31m\\xc2\\x9b31m\\xc3\\xa4\"\n"});
}

// --- Lines that nobody takes

class LostLinesTest : public LoggerTest {
 protected:
  LostLinesTest() {
    ON_CALL(nice_, clock_gettime(CLOCK_REALTIME)).WillByDefault([this](clockid_t) {
      return timespec{second_, 0};
    });
    ON_CALL(nice_, write).WillByDefault([this](int, const void* buffer, size_t count) {
      return Write(std::string(static_cast<const char*>(buffer), count));
    });
  }
  Result<size_t> Write(const std::string& line) {
    if (error_ != 0) return Err(error_, "write");
    if (taken_max_ < line.size()) return taken_max_;
    lines_.push_back(line.substr(line.find('Z') + 2));
    return line.size();
  }

  ::testing::NiceMock<MockKernel> nice_;
  time_t second_ = 0;
  int error_ = 0;
  size_t taken_max_ = SIZE_MAX;
};

TEST_F(LostLinesTest, ALineThatCannotBeWrittenIsLostAndCountedOnceItFlowsAgain) {
  for (const int code : {EAGAIN, ENOSPC, EPIPE, EIO, EDQUOT, EFBIG, EINTR, EBADF}) {
    lines_.clear();
    Logger log(nice_, 2, spdlog::level::info);
    error_ = code;
    log.Info("one");
    log.Info("two");
    EXPECT_EQ(log.lost_lines(), 2u);
    error_ = 0;
    log.Info("three");
    log.Info("four");
    EXPECT_EQ(lines_, (std::vector<std::string>{
                          "warning 2 lines of this log were lost: they could not be written\n",
                          "info three\n", "info four\n"}))
        << code;
  }
}

TEST_F(LostLinesTest, AShortWriteLosesTheLine) {
  Logger log(nice_, 2, spdlog::level::info);
  taken_max_ = 3;
  log.Info("one");
  EXPECT_EQ(log.lost_lines(), 1u);
}

TEST_F(LostLinesTest, ALineIsCutWhereAPipeWouldTearIt) {
  Logger log(nice_, 2, spdlog::level::info);
  const size_t others = std::string("1970-01-01T00:00:00.000Z info \n").size();
  const std::string longest(kLogLineBytesMax - others, 'x');
  log.Info("{}", longest);
  log.Info("{}", longest + "y");
  ASSERT_EQ(lines_.size(), 2u);
  EXPECT_EQ(lines_[0], "info " + longest + "\n");
  EXPECT_EQ(lines_[1], "info " + longest.substr(3) + "...\n");
}

// --- Lines that repeat themselves

TEST_F(LostLinesTest, RepeatedLinesAreLeftOutAndCountedInALaterSecond) {
  Logger log(nice_, 2, spdlog::level::info);
  const auto repeat = [&](int from, int to) {
    for (int i = from; i < to; ++i) log.Error("openat: EIO while opening \"{}\"", i);
  };
  repeat(0, Logger::kRepeatsMax);
  EXPECT_EQ(lines_.size(), size_t{Logger::kRepeatsMax});
  repeat(Logger::kRepeatsMax, 500);
  log.Info("something else");
  EXPECT_EQ(lines_.size(), size_t{Logger::kRepeatsMax} + 1);  // others are not in the way
  second_ = 1;
  lines_.clear();
  repeat(500, 501);
  EXPECT_EQ(lines_,
            (std::vector<std::string>{
                "error 480 lines like this one were left out: openat: EIO while opening \"499\"\n",
                "error openat: EIO while opening \"500\"\n"}));
  // A new second, a new count; told of once.
  lines_.clear();
  repeat(0, Logger::kRepeatsMax - 1);
  EXPECT_EQ(lines_.size(), size_t{Logger::kRepeatsMax} - 1);
}

TEST_F(LostLinesTest, WhatWasLeftOutIsToldAtTheEnd) {
  {
    Logger log(nice_, 2, spdlog::level::info);
    for (int i = 0; i < Logger::kRepeatsMax + 7; ++i) log.Warn("again {}", i);
    lines_.clear();
  }
  EXPECT_EQ(lines_,
            std::vector<std::string>{"warning 7 lines like this one were left out: again 26\n"});
}

TEST_F(LostLinesTest, WhoAskedForDebugLinesGetsThemAll) {
  Logger log(nice_, 2, spdlog::level::debug);
  for (int i = 0; i < 10 * Logger::kRepeatsMax; ++i) log.Debug("{}", i);
  EXPECT_EQ(lines_.size(), size_t{10 * Logger::kRepeatsMax});
}

}  // namespace
}  // namespace pollux
