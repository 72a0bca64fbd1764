#include "core/http/name_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace pollux::http {
namespace {

TEST(NameOrderTest, IsWhatAReaderExpects) {
  const std::vector<std::string> expected = {"",
                                             "!",
                                             "-",
                                             "0",
                                             "00",
                                             "1",
                                             "2",
                                             "10",
                                             "99999999999999999999999998",
                                             "99999999999999999999999999",
                                             "_",
                                             "A",
                                             "a",
                                             "a 1",
                                             "a-1",
                                             "a1",
                                             "a1b",
                                             "a2",
                                             "a010",
                                             "a10",
                                             "a10b",
                                             "B",
                                             "b",
                                             "part 2 of 10",
                                             "part 10 of 10",
                                             "Z",
                                             "z",
                                             "\x7f",
                                             "\xc3\x84",
                                             "\xc3\xa4",
                                             "\xff"};
  std::vector<std::string> names(expected.rbegin(), expected.rend());
  std::sort(names.begin(), names.end(), NameBefore);
  EXPECT_EQ(names, expected);
}

// std::sort does anything at all with an order that is none.
TEST(NameOrderTest, IsAStrictTotalOrderOfAllShortNames) {
  std::vector<std::string> names = {""};
  for (size_t length = 0; length < 3; ++length) {
    const size_t known = names.size();
    for (size_t i = 0; i < known; ++i) {
      if (names[i].size() != length) continue;
      for (const char c : {'0', '1', '9', '/', ':', 'a', 'A', '\xff'})
        names.push_back(names[i] + c);
    }
  }
  std::vector<std::string> sorted = names;
  std::sort(sorted.begin(), sorted.end(), NameBefore);
  for (size_t i = 0; i < sorted.size(); ++i) {
    ASSERT_FALSE(NameBefore(sorted[i], sorted[i])) << sorted[i];
    for (size_t j = i + 1; j < sorted.size(); ++j) {
      ASSERT_TRUE(NameBefore(sorted[i], sorted[j])) << sorted[i] << " " << sorted[j];
      ASSERT_FALSE(NameBefore(sorted[j], sorted[i])) << sorted[j] << " " << sorted[i];
    }
  }
}

}  // namespace
}  // namespace pollux::http
