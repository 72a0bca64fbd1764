// Goal: connections cannot take what files need, and who finds no descriptor for a file gets it
// when another one is closed, in the order of asking. Method: the budget alone; then FileOpener on
// a real loop, with a budget of one or two files and openat2(2) answered by a mock.
#include "core/aio/descriptor_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/aio/open_file.h"
#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/world.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::ElementsAre;
using ::testing::NiceMock;
using ::testing::Return;

TEST(DescriptorBudgetTest, ConnectionsLeaveAReserveForFiles) {
  for (const size_t descriptors : {0u, 1u, 3u, 8u, 16u, 40u, 1000u, 20'000u}) {
    DescriptorBudget budget(descriptors);
    size_t connections = 0;
    for (; budget.RoomForConnection(); ++connections) budget.AddConnection();
    EXPECT_EQ(connections, budget.connections_max()) << descriptors;
    EXPECT_GE(connections, 1u) << descriptors;
    EXPECT_TRUE(budget.TakeFile()) << descriptors;
    if (descriptors > 3) {
      EXPECT_LE(connections + DescriptorBudget::kPerFile, descriptors);
    }
  }
}

// What is asked for on a machine whose hard limit is 20,000: 18,000 connections, most of them idle.
TEST(DescriptorBudgetTest, TheReserveIsASmallShare) {
  EXPECT_GE(DescriptorBudget(20'000 - 40).connections_max(), 18'700u);
}

TEST(DescriptorBudgetTest, FilesMayTakeWhatConnectionsLeave) {
  DescriptorBudget budget(100);
  size_t files = 0;
  for (; budget.TakeFile(); ++files) {
  }
  EXPECT_EQ(files, 50u);
  EXPECT_FALSE(budget.RoomForConnection());
  budget.ReturnFile();
  EXPECT_TRUE(budget.TakeFile());
}

TEST(DescriptorBudgetTest, OneFileIsAlwaysPossible) {
  DescriptorBudget budget(10);
  for (int i = 0; i < 20; ++i) budget.AddConnection();
  EXPECT_TRUE(budget.TakeFile());
  EXPECT_FALSE(budget.TakeFile());
}

TEST(DescriptorBudgetTest, SoManyAreNeededAndNotOneLess) {
  for (const uint64_t connections :
       {1u, 2u, 7u, 8u, 15u, 100u, 119u, 120u, 121u, 10'000u, 12'345u}) {
    const uint64_t needed = DescriptorBudget::NeededFor(connections);
    EXPECT_GE(DescriptorBudget(needed).connections_max(), connections) << connections;
    if (connections < DescriptorBudget::kReserveMin) continue;  // a small pool keeps only half
    EXPECT_LE(DescriptorBudget(needed - 3).connections_max(), connections) << connections;
  }
}

TEST(DescriptorBudgetTest, EachReturnIsTold) {
  DescriptorBudget budget(100);
  int for_files = 0, for_connections = 0;
  budget.SetOnFreed([&] { ++for_files; }, [&] { ++for_connections; });
  budget.AddConnection();
  EXPECT_TRUE(budget.TakeFile());
  EXPECT_EQ(for_files + for_connections, 0);
  budget.RemoveConnection();
  { const FilePermit permit(budget); }
  EXPECT_EQ(for_files, 2);
  EXPECT_EQ(for_connections, 2);
}

TEST(FilePermitTest, IsReturnedOnceHoweverItIsMoved) {
  DescriptorBudget budget(100);
  ASSERT_TRUE(budget.TakeFile());
  {
    FilePermit first(budget);
    FilePermit second(std::move(first));
    FilePermit third;
    third = std::move(second);
    EXPECT_EQ(budget.files(), 1u);
  }
  EXPECT_EQ(budget.files(), 0u);
}

// --- FileOpener

class WaitingOpensTest : public ::testing::Test {
 protected:
  explicit WaitingOpensTest(size_t descriptors = 2 * DescriptorBudget::kPerFile)
      : budget_(descriptors) {
    opener_.LimitTo(world_.loop(), budget_);
    budget_.SetOnFreed([this] { opener_.OnFreed(); }, [] {});
    ON_CALL(kernel_, openat2).WillByDefault([this](int, const char* path, const open_how&) {
      return Answer(path);
    });
    ON_CALL(kernel_, fstat).WillByDefault([this](int fd, struct stat* out) {
      *out = {};
      out->st_mode = mode_;
      out->st_ino = same_ ? 1 : static_cast<ino_t>(fd);
      out->st_size = size_;
      return Status();
    });
  }
  ~WaitingOpensTest() override { budget_.SetOnFreed({}, {}); }

  static MockKernel& Prepared(MockKernel& mock, Kernel& kernel) {
    mock.DelegateTo(kernel);
    return mock;
  }
  // A name that begins with e is an error, one that begins with w goes to a worker first.
  Result<int> Answer(const std::string& path) {
    if (path[0] == 'e') return Err(ENOENT, "openat2");
    if (path[0] == 'w' && std::exchange(cold_, false)) return Err(EAGAIN, "openat2");
    return linux_.eventfd(0, 0);  // any descriptor
  }
  void Open(const std::string& path) {
    opener_.Open(path, [this, path](Result<std::shared_ptr<OpenFile>> file) {
      answered_.push_back(path);
      if (file) open_.push_back(std::move(*file));
    });
  }
  void Turn() { ASSERT_TRUE(world_.loop().RunOnce()); }

  LinuxKernel linux_;
  NiceMock<MockKernel> kernel_;
  DescriptorBudget budget_;  // for two files, unless the test says otherwise
  AioWorld world_{Prepared(kernel_, linux_), CoordinationKind::kEventfd};
  FileOpener opener_{kernel_, world_.workers(), 70};
  bool cold_ = true;
  bool same_ = false;  // every path is the same file
  mode_t mode_ = S_IFREG;
  off_t size_ = 0;
  std::vector<std::string> answered_;
  std::vector<std::shared_ptr<OpenFile>> open_;
};

TEST_F(WaitingOpensTest, WhoFindsNoRoomIsAnsweredWhenAFileIsClosedInTheOrderOfAsking) {
  for (const char* path : {"1", "2", "3", "4", "5"}) Open(path);
  EXPECT_THAT(answered_, ElementsAre("1", "2"));
  EXPECT_EQ(opener_.waiting(), 3u);
  open_.erase(open_.begin());
  EXPECT_THAT(answered_, ElementsAre("1", "2"));  // not from within whatever closed it
  Turn();
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3"));
  open_.clear();
  Open("6");  // comes after those who wait, though there is room
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3"));
  Turn();
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3", "4", "5"));
  open_.clear();
  Turn();
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3", "4", "5", "6"));
  EXPECT_EQ(opener_.waiting(), 0u);
}

TEST_F(WaitingOpensTest, ThousandsWhoWaitAreNotAnsweredInOneTurn) {
  same_ = true;
  budget_.TakeFile();
  Open("1");
  constexpr size_t kWaiting = 1000;
  for (size_t i = 0; i < kWaiting; ++i) Open("1");
  EXPECT_EQ(answered_.size(), 1u);
  budget_.ReturnFile();  // from now on there is room for each of them, one after the other
  for (size_t before = 1; before <= kWaiting; before = answered_.size()) {
    Turn();
    ASSERT_GT(answered_.size(), before);  // nobody else has to free anything
    ASSERT_LE(answered_.size(), before + FileOpener::kOpensPerTurn);
  }
  EXPECT_EQ(opener_.waiting(), 0u);
  EXPECT_EQ(budget_.files(), 1u);
}

TEST_F(WaitingOpensTest, WhatCannotBeOpenedTakesNobodysPlace) {
  for (const char* path : {"e1", "e2", "e3", "1", "2", "e4"}) Open(path);
  EXPECT_THAT(answered_, ElementsAre("e1", "e2", "e3", "1", "2"));
  open_.clear();
  Turn();
  EXPECT_EQ(answered_.back(), "e4");
  EXPECT_EQ(budget_.files(), 0u);
}

TEST_F(WaitingOpensTest, AnOpenOnAWorkerHoldsItsPlaceFromTheBeginning) {
  Open("w");
  Open("2");
  Open("3");
  EXPECT_THAT(answered_, ElementsAre("2"));
  EXPECT_EQ(opener_.waiting(), 1u);
  EXPECT_TRUE(world_.RunUntil([&] { return answered_.size() == 2; }));
  EXPECT_EQ(answered_.back(), "w");
  EXPECT_EQ(budget_.files(), 2u);
}

TEST_F(WaitingOpensTest, WhoOpensWhatIsOpenAlreadySharesIt) {
  same_ = true;
  for (const char* path : {"1", "2", "w", "3", "4", "5"}) Open(path);
  EXPECT_TRUE(world_.RunUntil([&] { return answered_.size() == 6; }));
  EXPECT_EQ(budget_.files(), 1u);
  for (const auto& file : open_) EXPECT_EQ(file, open_[0]);
  const std::shared_ptr<OpenFile> last = open_[0];
  open_.clear();
  same_ = false;  // replaced
  Open("6");
  EXPECT_NE(open_[0], last);
}

TEST_F(WaitingOpensTest, AFileThatIsNotOpenAnyMoreIsNotShared) {
  same_ = true;
  for (int i = 0; i < 100; ++i) {
    Open("1");
    EXPECT_EQ(budget_.files(), 1u);
    open_.clear();
    EXPECT_EQ(budget_.files(), 0u);
  }
}

// Reading a folder moves the position of its descriptor.
TEST_F(WaitingOpensTest, FoldersAreNotShared) {
  same_ = true;
  mode_ = S_IFDIR;
  Open("1");
  Open("2");
  EXPECT_NE(open_[0], open_[1]);
}

// Eight files, of which one is not for those that last.
class LastingOpensTest : public WaitingOpensTest {
 protected:
  LastingOpensTest() : WaitingOpensTest(8 * DescriptorBudget::kPerFile) {}
  void OpenLarge(const std::string& path) {
    size_ = FileOpener::kBriefBytes + 1;
    Open(path);
    size_ = 0;
  }
};

TEST_F(LastingOpensTest, WhoIsSentLargeFilesLeavesRoomForSmallOnes) {
  for (const char* path : {"1", "2", "3", "4", "5", "6", "7", "8", "9"}) OpenLarge(path);
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3", "4", "5", "6", "7"));
  EXPECT_EQ(budget_.files(), 7u);  // what waits holds nothing
  EXPECT_EQ(opener_.waiting(), 2u);
  for (int i = 0; i < 3; ++i) {
    Open("small");
    EXPECT_EQ(answered_.back(), "small");
    open_.pop_back();
  }
  Open("e");
  EXPECT_EQ(answered_.back(), "e");
  size_ = FileOpener::kBriefBytes + 1;
  open_.erase(open_.begin());
  Turn();
  EXPECT_EQ(answered_.back(), "8");
  EXPECT_EQ(opener_.waiting(), 1u);
  open_.clear();
  OpenLarge("a");  // comes after the one that waits
  EXPECT_EQ(answered_.back(), "8");
  size_ = FileOpener::kBriefBytes + 1;
  Turn();
  EXPECT_EQ(answered_[answered_.size() - 2], "9");
  EXPECT_EQ(answered_.back(), "a");
  EXPECT_EQ(opener_.waiting(), 0u);
}

TEST_F(LastingOpensTest, OneThatIsOpenAlreadyNeedsNoRoom) {
  same_ = true;
  for (int i = 0; i < 20; ++i) OpenLarge("1");
  EXPECT_EQ(answered_.size(), 20u);
  open_.clear();
  EXPECT_EQ(budget_.files(), 0u);
  EXPECT_TRUE(budget_.RoomForLasting());
}

TEST_F(LastingOpensTest, FoldersLast) {
  mode_ = S_IFDIR;
  for (int i = 0; i < 8; ++i) Open("1");
  EXPECT_EQ(answered_.size(), 7u);
}

TEST_F(LastingOpensTest, OnlyLastingFilesThatAreKeptMakeRoomForAnother) {
  std::vector<bool> asked;
  opener_.SetEvictor([&](bool lasting) {
    asked.push_back(lasting);
    open_.pop_back();
    return true;
  });
  for (int i = 0; i < 8; ++i) OpenLarge(std::to_string(i));
  EXPECT_EQ(answered_.size(), 8u);
  EXPECT_EQ(asked, std::vector<bool>{true});
  for (int i = 0; i < 2; ++i) Open("small");
  EXPECT_EQ(asked, (std::vector<bool>{true, false}));
}

TEST_F(WaitingOpensTest, FilesThatAreOnlyKeptMakeRoom) {
  Open("1");
  Open("2");
  int asked = 0;
  opener_.SetEvictor([&](bool) {
    if (++asked == 2) open_.clear();  // the first is in use elsewhere: letting go frees nothing
    return asked < 4;
  });
  Open("3");
  EXPECT_EQ(asked, 2);
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3"));
  Open("4");
  EXPECT_EQ(asked, 2);
  Open("5");
  EXPECT_EQ(asked, 4);
  EXPECT_THAT(answered_, ElementsAre("1", "2", "3", "4"));
  EXPECT_EQ(opener_.waiting(), 1u);
}

}  // namespace
}  // namespace pollux
