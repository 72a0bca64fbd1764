#include "core/server/folder_names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/http/name_order.h"

namespace pollux {
namespace {

std::vector<std::string> Drain(NameMerge& merge) {
  std::vector<std::string> names;
  for (; !merge.empty(); merge.Pop()) {
    names.push_back(std::string(merge.top().name) + (merge.top().folder ? "/" : ""));
  }
  return names;
}

NameBlock Block(const std::vector<std::pair<std::string, bool>>& names) {
  NameBlock block;
  for (const auto& [name, folder] : names) block.Add(name, folder);
  block.Sort();
  return block;
}

TEST(FolderNamesTest, FoldersComeFirstAndEachKindInOrder) {
  NameMerge merge;
  merge.Add(Block({{"b", false}, {"z", true}, {"a10", false}, {"a9", false}}));
  EXPECT_EQ(Drain(merge), (std::vector<std::string>{"z/", "a9", "a10", "b"}));
}

TEST(FolderNamesTest, BlocksAreMerged) {
  NameMerge merge;
  merge.Add(Block({{"c", false}, {"a", true}, {"e", false}}));
  merge.Add(Block({}));
  merge.Add(Block({{"b", true}, {"d", false}}));
  EXPECT_EQ(Drain(merge), (std::vector<std::string>{"a/", "b/", "c", "d", "e"}));
}

TEST(FolderNamesTest, ABlockIsGoneWithItsLastName) {
  NameMerge merge;
  merge.Add(Block({{"a", false}, {"b", false}}));
  merge.Add(Block({{"c", false}}));
  EXPECT_EQ(merge.blocks(), 2u);
  merge.Pop();
  EXPECT_EQ(merge.blocks(), 2u);
  merge.Pop();
  EXPECT_EQ(merge.blocks(), 1u);
  merge.Pop();
  EXPECT_EQ(merge.blocks(), 0u);
  EXPECT_TRUE(merge.empty());
}

TEST(FolderNamesTest, AnEmptiedMergeTakesNewBlocks) {
  NameMerge merge;
  for (const char* name : {"b", "a"}) {
    merge.Add(Block({{name, false}}));
    EXPECT_EQ(Drain(merge), std::vector<std::string>{name});
  }
}

TEST(FolderNamesTest, NamesOfAnyLengthAndAnyByteAreKept) {
  const std::string bytes("\xff\n\x01 ", 4);
  const std::string long_name(1024, 'x');  // FUSE allows it
  NameMerge merge;
  merge.Add(Block({{long_name, false}, {bytes, false}, {std::string(255, '\xfe'), false}}));
  EXPECT_EQ(Drain(merge), (std::vector<std::string>{long_name, std::string(255, '\xfe'), bytes}));
}

TEST(FolderNamesTest, ManyBlocksOfManyNamesAreAsSortedAtOnce) {
  std::mt19937 random(1);
  std::vector<std::string> all;
  NameMerge merge;
  for (int block = 0; block < 50; ++block) {
    NameBlock names;
    for (unsigned i = 0; i < random() % 200; ++i) {
      all.push_back("name " + std::to_string(random() % 100000));
      names.Add(all.back(), false);
    }
    names.Sort();
    merge.Add(std::move(names));
  }
  std::stable_sort(all.begin(), all.end(), http::NameBefore);
  EXPECT_EQ(Drain(merge), all);
}

}  // namespace
}  // namespace pollux
