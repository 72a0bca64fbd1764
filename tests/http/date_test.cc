#include "core/http/date.h"

#include <gtest/gtest.h>

#include <ctime>
#include <limits>
#include <random>
#include <string>

namespace pollux::http {
namespace {

constexpr int64_t kExample = 784111777;  // of RFC 9110 §5.6.7
constexpr int64_t kNow = 1750000000;     // June 2025

// The same by the C library.
std::string ByStrftime(int64_t seconds, const char* format) {
  const time_t time = seconds;
  tm parts = {};
  gmtime_r(&time, &parts);
  char text[100];
  return std::string(text, strftime(text, sizeof(text), format, &parts));
}

TEST(DateTest, ExampleIsWrittenAsImfFixdate) {
  EXPECT_EQ(FormatDate(kExample), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(FormatDate(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(FormatDate(-1), "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST(DateTest, AbsurdTimesAreClampedToFourDigitYears) {
  EXPECT_EQ(FormatDate(std::numeric_limits<int64_t>::max()), "Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_EQ(FormatDate(std::numeric_limits<int64_t>::min()), "Sat, 01 Jan 0000 00:00:00 GMT");
}

TEST(DateTest, ExampleIsReadInAllThreeForms) {
  for (const char* text : {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994"}) {
    EXPECT_EQ(ParseDate(text, kNow), kExample) << text;
  }
}

TEST(DateTest, AsctimeDayHasTwoPlaces) {
  EXPECT_EQ(ParseDate("Wed Nov 16 08:49:37 1994", kNow), kExample + 10 * 86400);
  EXPECT_EQ(ParseDate("Sun Nov 06 08:49:37 1994", kNow), kExample);
  EXPECT_FALSE(ParseDate("Sun Nov 6 08:49:37 1994", kNow));
}

TEST(DateTest, WrongDayOfTheWeekIsTolerated) {
  EXPECT_EQ(ParseDate("Mon, 06 Nov 1994 08:49:37 GMT", kNow), kExample);
  EXPECT_FALSE(ParseDate("Xyz, 06 Nov 1994 08:49:37 GMT", kNow));
}

TEST(DateTest, WhatIsNoDateIsNone) {
  for (const char* text : {"",
                           " ",
                           "0",
                           "784111777",
                           "now",
                           "Sun, 06 Nov 1994 08:49:37",
                           "Sun, 06 Nov 1994 08:49:37 UTC",
                           "Sun, 06 Nov 1994 08:49:37 gmt",
                           "Sun, 06 Nov 1994 08:49:37 GMT ",
                           " Sun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 08:49:37 +0000",
                           "sun, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06 nov 1994 08:49:37 GMT",
                           "Sun,06 Nov 1994 08:49:37 GMT",
                           "Sun, 6 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov 94 08:49:37 GMT",
                           "Sun, 06 Nov 19940 08:49:37 GMT",
                           "Sun, 00 Nov 1994 08:49:37 GMT",
                           "Sun, 31 Nov 1994 08:49:37 GMT",
                           "Sun, 32 Dec 1994 08:49:37 GMT",
                           "Sun, 06 Nov 1994 24:00:00 GMT",
                           "Sun, 06 Nov 1994 08:60:37 GMT",
                           "Sun, 06 Nov 1994 08:49:61 GMT",
                           "Sun, 06 Nov 1994 8:49:37 GMT",
                           "Sun, 06 Nov 1994 08:49 GMT",
                           "Sun, -6 Nov 1994 08:49:37 GMT",
                           "Sun, 06 Nov -994 08:49:37 GMT",
                           "Sunday, 06 Nov 1994 08:49:37 GMT",
                           "Sun, 06-Nov-94 08:49:37 GMT",
                           "Sunday, 06-Nov-1994 08:49:37 GMT",
                           "Sun Nov  6 08:49:37 1994 GMT",
                           "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT"}) {
    EXPECT_FALSE(ParseDate(text, kNow)) << text;
  }
}

TEST(DateTest, LeapDaysAreOfLeapYears) {
  EXPECT_TRUE(ParseDate("Thu, 29 Feb 2024 00:00:00 GMT", kNow));
  EXPECT_TRUE(ParseDate("Tue, 29 Feb 2000 00:00:00 GMT", kNow));
  EXPECT_FALSE(ParseDate("Wed, 29 Feb 2023 00:00:00 GMT", kNow));
  EXPECT_FALSE(ParseDate("Thu, 29 Feb 1900 00:00:00 GMT", kNow));
  EXPECT_TRUE(ParseDate("Thursday, 29-Feb-24 00:00:00 GMT", kNow));
  EXPECT_FALSE(ParseDate("Wednesday, 29-Feb-23 00:00:00 GMT", kNow));
}

TEST(DateTest, LeapSecondIsTheNextMinute) {
  EXPECT_EQ(ParseDate("Sat, 31 Dec 2016 23:59:60 GMT", kNow),
            ParseDate("Sun, 01 Jan 2017 00:00:00 GMT", kNow));
}

TEST(DateTest, TwoDigitYearIsAtMostFiftyYearsAhead) {
  auto year_of = [](const std::string& digits, int64_t now) {
    const auto date = ParseDate("Sunday, 01-Jan-" + digits + " 00:00:00 GMT", now);
    return date ? FormatDate(*date).substr(12, 4) : "none";
  };
  EXPECT_EQ(year_of("25", kNow), "2025");
  EXPECT_EQ(year_of("75", kNow), "2075");  // in June 2025 the first of January is within 50 years
  EXPECT_EQ(year_of("76", kNow), "1976");
  EXPECT_EQ(year_of("99", kNow), "1999");
  EXPECT_EQ(year_of("00", kNow), "2000");
  const int64_t in_2080 = *ParseDate("Mon, 01 Jul 2080 00:00:00 GMT", kNow);
  EXPECT_EQ(year_of("05", in_2080), "2105");
  EXPECT_EQ(year_of("30", in_2080), "2130");
  EXPECT_EQ(year_of("31", in_2080), "2031");
}

TEST(DateTest, TwoDigitYearsAreReadWhateverTheClockSays) {
  for (const int64_t now :
       {std::numeric_limits<int64_t>::min(), int64_t{0}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_TRUE(ParseDate("Sunday, 06-Nov-94 08:49:37 GMT", now)) << now;
  }
}

TEST(DateTest, EveryDayOfFourCenturiesComesBackInAllForms) {
  constexpr int64_t kDay = 86400;
  for (int64_t day = -146097 / 2; day < 146097 / 2; ++day) {
    const int64_t seconds = day * kDay + (day * 7919 % kDay + kDay) % kDay;
    const std::string text = FormatDate(seconds);
    ASSERT_EQ(text, ByStrftime(seconds, "%a, %d %b %Y %H:%M:%S GMT"));
    ASSERT_EQ(ParseDate(text, kNow), seconds) << text;
    const std::string asctime = ByStrftime(seconds, "%a %b %e %H:%M:%S %Y");
    ASSERT_EQ(ParseDate(asctime, kNow), seconds) << asctime;
    // Seen from the same day, two digits of the year are enough.
    const std::string rfc850 = ByStrftime(seconds, "%A, %d-%b-%y %H:%M:%S GMT");
    ASSERT_EQ(ParseDate(rfc850, seconds), seconds) << rfc850;
  }
}

TEST(DateTest, RandomSecondsComeBack) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const int64_t seconds = static_cast<int64_t>(random() % 253402300800);  // to the year 9999
    ASSERT_EQ(ParseDate(FormatDate(seconds), kNow), seconds);
  }
}

TEST(FormatIsoDateTest, IsRfc3339) {
  EXPECT_EQ(FormatIsoDate(784111777), "1994-11-06T08:49:37Z");
  EXPECT_EQ(FormatIsoDate(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(FormatIsoDate(-1), "1969-12-31T23:59:59Z");
  EXPECT_EQ(FormatIsoDate(std::numeric_limits<int64_t>::max()), "9999-12-31T23:59:59Z");
  EXPECT_EQ(FormatIsoDate(std::numeric_limits<int64_t>::min()), "0000-01-01T00:00:00Z");
}

}  // namespace
}  // namespace pollux::http
