#include <gtest/gtest.h>

#include <limits>

#include "core/server/address.h"
#include "core/server/flag_values.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;

TEST(FlagValuesTest, SizesTakeKMG) {
  EXPECT_EQ(ParseSize("0"), 0u);
  EXPECT_EQ(ParseSize("1"), 1u);
  EXPECT_EQ(ParseSize("3K"), 3u << 10);
  EXPECT_EQ(ParseSize("3M"), 3u << 20);
  EXPECT_EQ(ParseSize("3G"), uint64_t{3} << 30);
}

TEST(FlagValuesTest, WhatIsNoSizeIsRefused) {
  for (const char* text : {"", "K", "1KB", "1 K", " 1", "1T", "+1", "-1", "0x10", "1e3"}) {
    EXPECT_EQ(ParseSize(text), std::nullopt) << text;
  }
}

TEST(FlagValuesTest, SizesThatOverflowAreRefused) {
  EXPECT_EQ(ParseSize("18446744073709551615"), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(ParseSize("18446744073709551616"), std::nullopt);
  EXPECT_EQ(ParseSize("17179869183G"), uint64_t{17179869183} << 30);
  EXPECT_EQ(ParseSize("17179869184G"), std::nullopt);
}

TEST(FlagValuesTest, TimesNeedTheirUnit) {
  EXPECT_EQ(ParseDuration("1ms"), milliseconds(1));
  EXPECT_EQ(ParseDuration("2s"), milliseconds(2000));
  EXPECT_EQ(ParseDuration("3m"), milliseconds(180000));
  for (const char* text : {"", "1", "s", "1h", "1 s", "1S", "-1s", "1.5s"}) {
    EXPECT_EQ(ParseDuration(text), std::nullopt) << text;
  }
  // As nanoseconds in 64 bits.
  EXPECT_EQ(ParseDuration("9223372036854ms"), milliseconds(9223372036854));
  EXPECT_EQ(ParseDuration("9223372036855ms"), std::nullopt);
}

TEST(FlagValuesTest, FormattedValuesReadBack) {
  for (uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{1023}, uint64_t{1024}, uint64_t{1536},
                        uint64_t{1} << 20, uint64_t{5} << 30}) {
    EXPECT_EQ(ParseSize(FormatSize(size)), size);
  }
  EXPECT_EQ(FormatSize(512 * 1024), "512K");
  for (int time : {0, 1, 999, 1000, 1500, 60000, 90000}) {
    EXPECT_EQ(ParseDuration(FormatDuration(milliseconds(time))), milliseconds(time));
  }
  EXPECT_EQ(FormatDuration(milliseconds(90000)), "90s");
}

TEST(SocketAddressTest, ReadsWhatItWrites) {
  for (const char* text :
       {"127.0.0.1:8080", "0.0.0.0:0", "[::1]:0", "[::]:65535", "[2001:db8::7]:443"}) {
    const auto address = SocketAddress::Parse(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(address->ToString(), text);
  }
}

TEST(SocketAddressTest, RefusesWhatIsNoAddress) {
  for (const char* text : {"", ":", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "1.2.3:80",
                           "256.0.0.1:80", "127.0.0.1:65536", "127.0.0.1:+1", "::1:80", "[::1]",
                           "[::1:80", "[127.0.0.1]:80", "[]:80", "example.com:80", "[::1]80"}) {
    EXPECT_FALSE(SocketAddress::Parse(text).has_value()) << text;
  }
}

TEST(SocketAddressTest, KnowsItsPartsForTheSeam) {
  const auto v4 = *SocketAddress::Parse("10.1.2.3:80");
  EXPECT_EQ(v4.family(), AF_INET);
  EXPECT_EQ(v4.size(), sizeof(sockaddr_in));
  EXPECT_EQ(v4.Host(), "10.1.2.3");
  EXPECT_EQ(v4.port(), 80);
  const auto v6 = *SocketAddress::Parse("[::1]:81");
  EXPECT_EQ(v6.family(), AF_INET6);
  EXPECT_EQ(v6.size(), sizeof(sockaddr_in6));
  EXPECT_EQ(v6.Host(), "::1");
  EXPECT_EQ(v6.port(), 81);
}

}  // namespace
}  // namespace pollux
