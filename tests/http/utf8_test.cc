#include "core/http/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace pollux::http {
namespace {

std::string Encode(uint32_t point) {
  std::string text;
  if (point < 0x80) return std::string(1, static_cast<char>(point));
  const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  const uint32_t lead = more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0;
  text += static_cast<char>(lead | point >> 6 * more);
  for (int i = more - 1; i >= 0; --i) text += static_cast<char>(0x80 | (point >> 6 * i & 0x3f));
  return text;
}

TEST(Utf8Test, EveryCodePointIsWellFormedAndEverySurrogateIsNot) {
  for (uint32_t point = 0; point < 0x110000; ++point) {
    const std::string text = Encode(point);
    const bool surrogate = point >= 0xd800 && point <= 0xdfff;
    ASSERT_EQ(Utf8SequenceLength(text + "x"), surrogate ? 0 : text.size()) << point;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      ASSERT_EQ(Utf8SequenceLength(text.substr(0, cut)), 0u) << point;
      ASSERT_EQ(Utf8SequenceLength(text.substr(0, cut) + "x"), 0u) << point;
    }
  }
}

TEST(Utf8Test, WhatIsNoSequenceIsNone) {
  for (const char* text : {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",
                           "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
                           "\xf5\x80\x80\x80", "\xff", "\xfe", "\xc3\xc3", "\xe2\x82\xc0"}) {
    EXPECT_EQ(Utf8SequenceLength(text), 0u) << testing::PrintToString(text);
  }
}

}  // namespace
}  // namespace pollux::http
