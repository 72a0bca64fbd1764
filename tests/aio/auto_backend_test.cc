// `auto`: files that are cached in part, files that become cached on the way, cold ones that are
// too small to be read directly. What is cached is the test's to say, page by page.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/aio/played_transfer.h"

namespace pollux {
namespace {

class AutoTransferTest : public PlayedTransferTest {
 protected:
  static constexpr uint64_t kPopulateBelow = 4 * kChunk;
  using Ranges = std::vector<std::pair<uint64_t, uint64_t>>;  // begin, end

  AutoTransferTest() {
    AutoSending automatic{.residency = std::make_unique<Residency>(aio_.kernel())};
    automatic.populate_below = kPopulateBelow;
    MakeBackend(kCopy, 8, std::move(automatic));
    aio_.kernel().cached = [this](uint64_t at) {
      return std::any_of(cached_.begin(), cached_.end(), [at](const auto& range) {
        return at >= range.first && at < range.second;
      });
    };
  }

  // All of the file, or from `offset`, to a reader that reads at once.
  void Send(uint64_t size, uint64_t offset = 0) {
    const PatternFile file(dir_, size);
    Loopback loopback(aio_.kernel());
    auto transfer = Start(file.Open(aio_.kernel()), loopback, offset);
    std::string received;
    ASSERT_EQ(Finish(*transfer, loopback, received), 0);
    EXPECT_EQ(received.size(), size - offset);
    EXPECT_TRUE(HoldsPattern(received, offset));
    EXPECT_EQ(transfer->sent(), size - offset);
    EXPECT_EQ(aio_.stats().bytes_sent, size - offset);
    EXPECT_EQ(aio_.stats().fallbacks, 0u);
    EXPECT_EQ(FreeChunks(), 8u);
  }
  uint64_t SentCached() { return aio_.stats().bytes_sent_cached; }
  uint64_t ReadDirectly() { return aio_.stats().bytes_read; }

  Ranges cached_;
};

TEST_F(AutoTransferTest, ACachedFileIsSentFromThePageCacheAndNotEvenOpenedForMore) {
  cached_ = {{0, 10 * kChunk}};
  Send(9 * kChunk + 5);
  EXPECT_EQ(SentCached(), 9 * kChunk + 5);
  EXPECT_EQ(aio_.kernel().direct_opens, 0u);
  EXPECT_EQ(aio_.workers().inline_runs(), 0u);
}

TEST_F(AutoTransferTest, AColdFileIsReadDirectly) {
  Send(9 * kChunk + 5);
  EXPECT_EQ(SentCached(), 0u);
  EXPECT_EQ(ReadDirectly(), 9 * kChunk + 5);
}

TEST_F(AutoTransferTest, ARangeOfAColdFileOffEveryBoundaryIsReadDirectly) {
  Send(9 * kChunk + 5, 3 * kChunk + 4097);
  EXPECT_EQ(SentCached(), 0u);
}

TEST_F(AutoTransferTest, OfAFileThatIsCachedInPartEachPartGoesItsWay) {
  cached_ = {{0, 2 * kChunk}, {5 * kChunk, 7 * kChunk}};
  Send(12 * kChunk);
  EXPECT_EQ(SentCached(), 4 * kChunk);
  EXPECT_EQ(ReadDirectly(), 8 * kChunk);  // nothing that is cached is read again
}

TEST_F(AutoTransferTest, ColdThenCachedThenColdAgain) {
  cached_ = {{3 * kChunk, 9 * kChunk}};
  Send(12 * kChunk);
  EXPECT_EQ(SentCached(), 6 * kChunk);
  EXPECT_EQ(ReadDirectly(), 6 * kChunk);
}

TEST_F(AutoTransferTest, WhereCachedPagesBeginInsideAChunkTheChunkIsReadWhole) {
  cached_ = {{2 * kChunk + kChunk / 2, 12 * kChunk}};
  Send(12 * kChunk);
  EXPECT_EQ(ReadDirectly(), 3 * kChunk);
  EXPECT_EQ(SentCached(), 9 * kChunk);
}

TEST_F(AutoTransferTest, WhereCachedPagesEndInsideAChunkItsRestIsRead) {
  cached_ = {{0, 2 * kChunk + 3 * 4096}};
  Send(12 * kChunk);
  EXPECT_EQ(SentCached(), 2 * kChunk + 3 * 4096);
  EXPECT_EQ(ReadDirectly(), 10 * kChunk - 3 * 4096);
}

TEST_F(AutoTransferTest, WhatBecomesCachedOnTheWayIsNotReadFromThereOn) {
  const PatternFile file(dir_, 12 * kChunk);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  ASSERT_EQ(*transfer->Pump(kSlice), Transfer::Outcome::kWaiting);
  cached_ = {{4 * kChunk, 12 * kChunk}};  // another server reads it
  std::string received;
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_TRUE(HoldsPattern(received));
  EXPECT_EQ(ReadDirectly(), 4 * kChunk);
  EXPECT_EQ(SentCached(), 8 * kChunk);
}

TEST_F(AutoTransferTest, WhatIsBeingReadIsSentFromThereThoughItIsCachedByThen) {
  const PatternFile file(dir_, 12 * kChunk);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  ASSERT_EQ(*transfer->Pump(kSlice), Transfer::Outcome::kWaiting);
  cached_ = {{0, 12 * kChunk}};
  std::string received;
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_TRUE(HoldsPattern(received));
  EXPECT_GT(ReadDirectly(), 0u);
  EXPECT_EQ(ReadDirectly() + SentCached(), 12 * kChunk);  // nothing twice
}

// Pages of one answer can be gone before they are sent.
TEST_F(AutoTransferTest, LooksNoFartherAheadThanAMebibyte) {
  const PatternFile file(dir_, 2_MiB);
  uint64_t farthest = 0;
  aio_.kernel().cached = [&](uint64_t at) {
    farthest = std::max(farthest, at);
    return true;
  };
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  ASSERT_EQ(*transfer->Pump(4096), Transfer::Outcome::kYield);
  EXPECT_LT(farthest, 1_MiB);
}

TEST_F(AutoTransferTest, AsksOncePerMebibyteAndNotForEachSlice) {
  const PatternFile file(dir_, 2_MiB);
  uint64_t pages_asked_for = 0;
  aio_.kernel().cached = [&](uint64_t) { return ++pages_asked_for, true; };
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  for (int slice = 0; slice < 16; ++slice) {
    ASSERT_NE(*transfer->Pump(kSlice), Transfer::Outcome::kSocketFull);
    loopback.ReadExactly(kSlice);
  }
  EXPECT_EQ(transfer->sent(), 2_MiB);
  EXPECT_EQ(pages_asked_for, 2_MiB / 4096 + 2);  // each of two windows is confirmed by one byte
}

TEST_F(AutoTransferTest, WhatIsEvictedWhileTheSocketIsFullIsReadFromThereOn) {
  cached_ = {{0, 8_MiB}};
  const PatternFile file(dir_, 8_MiB);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  Fill(*transfer);
  const uint64_t sent = transfer->sent();
  cached_.clear();
  std::string received;
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_TRUE(HoldsPattern(received));
  EXPECT_EQ(SentCached(), sent);
  EXPECT_GE(ReadDirectly(), 8_MiB - sent);
}

TEST_F(AutoTransferTest, ASmallColdFileGoesThroughThePageCacheOnAWorker) {
  Send(kPopulateBelow - 1);
  EXPECT_EQ(SentCached(), 0u);
  EXPECT_EQ(ReadDirectly(), 0u);
  EXPECT_EQ(aio_.kernel().direct_opens, 0u);
  EXPECT_GE(aio_.workers().inline_runs(), 1u);
}

TEST_F(AutoTransferTest, OfASmallFileTheCachedBeginningDoesNotWaitForAWorker) {
  cached_ = {{0, kChunk}};
  Send(kPopulateBelow - 1);
  EXPECT_EQ(SentCached(), kChunk);
  EXPECT_EQ(ReadDirectly(), 0u);
  EXPECT_GE(aio_.workers().inline_runs(), 1u);
}

TEST_F(AutoTransferTest, AFileOfTheLimitIsNoSmallOne) {
  Send(kPopulateBelow);
  EXPECT_EQ(ReadDirectly(), kPopulateBelow);
}

// A small part of a large file does not make it a small file: the next part is likely to be asked
// for by a direct read as well.
TEST_F(AutoTransferTest, ASmallRangeOfALargeColdFileIsReadDirectly) {
  Send(12 * kChunk, 12 * kChunk - 100);
  EXPECT_EQ(ReadDirectly(), 4096u);
}

}  // namespace
}  // namespace pollux
