// The life of a chunk: which transitions there are, which must never happen, and what the pool's
// books say after each. The memory is a fake that records what was asked of it.
#include "core/aio/chunk.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "core/aio/chunk_memory.h"

namespace pollux {
namespace {

constexpr uint64_t kChunkBytes = 4096;

// Outlives the memory that the pool owns.
struct MemoryLog {
  bool by_reference = true;
  int provide_error = 0;
  int retire_error = 0;
  std::vector<uint32_t> provided;  // indices of chunks, in order
  std::vector<uint32_t> retired;
};

class RecordingMemory final : public ChunkMemory {
 public:
  explicit RecordingMemory(MemoryLog& log) : log_(log) {}
  Status Provide(Chunk& chunk) override {
    if (log_.provide_error != 0) return Err(log_.provide_error, "provide");
    log_.provided.push_back(chunk.index);
    return {};
  }
  Status Retire(Chunk& chunk) override {
    log_.retired.push_back(chunk.index);
    if (log_.retire_error != 0) return Err(log_.retire_error, "retire");
    return {};
  }
  bool by_reference() const override { return log_.by_reference; }

 private:
  MemoryLog& log_;
};

class NobodyInParticular final : public ChunkUser {
  void OnChunk(Chunk&) override {}
};

class ChunkPoolTest : public ::testing::Test {
 protected:
  ChunkPool& Pool(uint32_t count) {
    pool_ = std::make_unique<ChunkPool>(std::make_unique<RecordingMemory>(log_), kChunkBytes, count,
                                        stats_);
    return *pool_;
  }
  // A chunk that a read has filled.
  Chunk& Ready(ChunkPool& pool) {
    Chunk& chunk = **pool.Take();
    chunk.end = chunk.read_end = chunk.filled = kChunkBytes;
    pool.SetReady(chunk);
    return chunk;
  }
  Chunk& Sending(ChunkPool& pool) {
    Chunk& chunk = Ready(pool);
    pool.SetSending(chunk);
    return chunk;
  }
  uint64_t Count(ChunkState state) const { return stats_.chunks[static_cast<int>(state)]; }

  MemoryLog log_;
  AioStats stats_;
  std::unique_ptr<ChunkPool> pool_;
};
using ChunkPoolDeathTest = ChunkPoolTest;

// --- What happens.

TEST_F(ChunkPoolTest, EveryChunkBeginsFreeAndCostsNoMemory) {
  ChunkPool& pool = Pool(7);
  EXPECT_EQ(Count(ChunkState::kFree), 7u);
  EXPECT_EQ(pool.free_count(), 7u);
  EXPECT_EQ(pool.size(), 7u);
  EXPECT_EQ(stats_.chunk_bytes, 0u);
  EXPECT_TRUE(log_.provided.empty());
}

TEST_F(ChunkPoolTest, TakingOneMakesItReadingWithMemory) {
  ChunkPool& pool = Pool(2);
  auto chunk = pool.Take();
  ASSERT_TRUE(chunk);
  EXPECT_EQ((*chunk)->state, ChunkState::kReading);
  EXPECT_FALSE((*chunk)->sendable());
  EXPECT_EQ(log_.provided, std::vector<uint32_t>{0});
  EXPECT_EQ(Count(ChunkState::kReading), 1u);
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
  EXPECT_EQ(pool.free_count(), 1u);
  EXPECT_EQ(stats_.chunk_bytes, kChunkBytes);
}

TEST_F(ChunkPoolTest, AChunkThatWasSentByReferenceIsRetiredBeforeItIsFree) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Ready(pool);
  EXPECT_EQ(chunk.state, ChunkState::kReady);
  EXPECT_TRUE(chunk.sendable());
  EXPECT_EQ(Count(ChunkState::kReady), 1u);
  pool.SetSending(chunk);
  EXPECT_EQ(chunk.state, ChunkState::kSending);
  EXPECT_TRUE(chunk.sendable());
  EXPECT_EQ(Count(ChunkState::kSending), 1u);
  EXPECT_TRUE(log_.retired.empty());  // a sharer may not have sent it yet
  ASSERT_TRUE(pool.Free(chunk));
  EXPECT_EQ(log_.retired, std::vector<uint32_t>{0});
  EXPECT_EQ(chunk.state, ChunkState::kFree);
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
  EXPECT_EQ(stats_.chunk_bytes, 0u);
}

TEST_F(ChunkPoolTest, AChunkThatWasSentByCopyIsFreeAtOnce) {
  log_.by_reference = false;
  ChunkPool& pool = Pool(1);
  ASSERT_TRUE(pool.Free(Sending(pool)));
  EXPECT_TRUE(log_.retired.empty());
  EXPECT_EQ(pool.free_count(), 1u);
}

TEST_F(ChunkPoolTest, AChunkOfWhichNoByteWentOutNeedsNoRetiring) {
  ChunkPool& pool = Pool(1);
  ASSERT_TRUE(pool.Free(Ready(pool)));
  EXPECT_TRUE(log_.retired.empty());
  EXPECT_EQ(pool.free_count(), 1u);
}

TEST_F(ChunkPoolTest, AFailedReadGoesToRetiredAndIsNeverSendable) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  pool.SetFailed(chunk, Error{EIO, "read"});
  EXPECT_EQ(chunk.state, ChunkState::kRetired);
  EXPECT_TRUE(chunk.failed());
  EXPECT_FALSE(chunk.sendable());
  EXPECT_EQ(Count(ChunkState::kRetired), 1u);
  ASSERT_TRUE(pool.Free(chunk));
  EXPECT_TRUE(log_.retired.empty());  // no socket ever saw its pages
  EXPECT_FALSE((*pool.Take())->failed());
}

TEST_F(ChunkPoolTest, ASecondSharerMaySendWhatIsSendingAlready) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Sending(pool);
  pool.SetSending(chunk);
  EXPECT_EQ(chunk.state, ChunkState::kSending);
  EXPECT_EQ(Count(ChunkState::kSending), 1u);
}

TEST_F(ChunkPoolTest, AFreedChunkRemembersNothingOfItsFile) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  chunk.begin = 100 * kChunkBytes;
  chunk.end = chunk.read_end = 101 * kChunkBytes;
  chunk.filled = kChunkBytes;
  pool.SetReady(chunk);
  ASSERT_TRUE(pool.Free(chunk));
  Chunk& again = **pool.Take();
  ASSERT_EQ(&again, &chunk);
  EXPECT_EQ(again.filled, 0u);
  EXPECT_EQ(again.begin, 0u);
  EXPECT_EQ(again.end, 0u);
  EXPECT_EQ(again.file, nullptr);
}

TEST_F(ChunkPoolTest, AReadMakesTheMemoryWarm) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  EXPECT_FALSE(chunk.warm);
  chunk.end = chunk.filled = 1;
  pool.SetReady(chunk);
  EXPECT_TRUE(chunk.warm);
}

// --- The budget.

TEST_F(ChunkPoolTest, MoreThanTheBudgetIsRefused) {
  ChunkPool& pool = Pool(3);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.Take());
  auto fourth = pool.Take();
  ASSERT_FALSE(fourth);
  EXPECT_EQ(fourth.error().code, ENOBUFS);
  EXPECT_EQ(stats_.chunk_bytes, 3 * kChunkBytes);
  EXPECT_EQ(stats_.chunk_bytes_max, 3 * kChunkBytes);
}

TEST_F(ChunkPoolTest, TheMostThatWasEverInUseIsRemembered) {
  ChunkPool& pool = Pool(4);
  Chunk& first = Sending(pool);
  Chunk& second = Sending(pool);
  ASSERT_TRUE(pool.Free(first));
  ASSERT_TRUE(pool.Free(second));
  ASSERT_TRUE(pool.Take());
  EXPECT_EQ(stats_.chunk_bytes, kChunkBytes);
  EXPECT_EQ(stats_.chunk_bytes_max, 2 * kChunkBytes);
}

TEST_F(ChunkPoolTest, TheLastFreedIsTheFirstTaken) {
  ChunkPool& pool = Pool(8);
  Chunk& first = Sending(pool);
  Chunk& second = Sending(pool);
  ASSERT_TRUE(pool.Free(first));
  ASSERT_TRUE(pool.Free(second));
  EXPECT_EQ(*pool.Take(), &second);
  EXPECT_EQ(*pool.Take(), &first);
  EXPECT_EQ((*pool.Take())->index, 2u);  // a new one only when there is no used one
}

// --- Memory that cannot be had, or not be had again.

TEST_F(ChunkPoolTest, MemoryThatCannotBeProvidedIsAnErrorAndLosesNoChunk) {
  ChunkPool& pool = Pool(1);
  log_.provide_error = ENOSPC;
  auto refused = pool.Take();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ENOSPC);
  EXPECT_EQ(pool.free_count(), 1u);
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
  EXPECT_EQ(stats_.chunk_bytes, 0u);
  log_.provide_error = 0;
  EXPECT_TRUE(pool.Take());
}

TEST_F(ChunkPoolTest, MemoryThatCannotBeRetiredIsNeverUsedAgain) {
  ChunkPool& pool = Pool(2);
  Chunk& lost = Sending(pool);
  log_.retire_error = ENOMEM;
  const Status freed = pool.Free(lost);
  ASSERT_FALSE(freed);
  EXPECT_EQ(freed.error().code, ENOMEM);
  EXPECT_EQ(lost.state, ChunkState::kRetired);
  EXPECT_EQ(pool.size(), 1u);
  EXPECT_EQ(stats_.chunk_bytes, kChunkBytes);  // still there, and still counted
  log_.retire_error = 0;

  // However often the pool goes round.
  for (int i = 0; i < 5; ++i) {
    auto chunk = pool.Take();
    ASSERT_TRUE(chunk);
    EXPECT_NE(*chunk, &lost);
    EXPECT_EQ(pool.Take().error().code, ENOBUFS);
    (*chunk)->end = (*chunk)->filled = 1;
    pool.SetReady(**chunk);
    pool.SetSending(**chunk);
    ASSERT_TRUE(pool.Free(**chunk));
  }
  EXPECT_EQ(Count(ChunkState::kRetired), 1u);
}

TEST_F(ChunkPoolTest, WhenEveryChunkIsLostWaitingForOneWouldBeForEver) {
  ChunkPool& pool = Pool(2);
  Chunk& first = Sending(pool);
  Chunk& second = Sending(pool);
  log_.retire_error = EOPNOTSUPP;
  ASSERT_FALSE(pool.Free(first));
  EXPECT_EQ(pool.Take().error().code, ENOBUFS);  // `second` will be freed
  ASSERT_FALSE(pool.Free(second));
  EXPECT_EQ(pool.size(), 0u);
  EXPECT_EQ(pool.Take().error().code, ENOMEM);
}

// --- What must not happen.

TEST_F(ChunkPoolDeathTest, ReadyIsForReadsThatDeliveredEverything) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  chunk.end = kChunkBytes;
  chunk.filled = kChunkBytes - 1;
  EXPECT_DEATH(pool.SetReady(chunk), "filled");
}

TEST_F(ChunkPoolDeathTest, OnlyAReadingChunkBecomesReady) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Ready(pool);
  EXPECT_DEATH(pool.SetReady(chunk), "kReading");
  pool.SetSending(chunk);
  EXPECT_DEATH(pool.SetReady(chunk), "kReading");
  ASSERT_TRUE(pool.Free(chunk));
  EXPECT_DEATH(pool.SetReady(chunk), "kReading");
}

TEST_F(ChunkPoolDeathTest, OnlyAReadingChunkFails) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Ready(pool);
  EXPECT_DEATH(pool.SetFailed(chunk, Error{EIO, "read"}), "kReading");
}

TEST_F(ChunkPoolDeathTest, AFailureHasAnErrno) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  EXPECT_DEATH(pool.SetFailed(chunk, Error{}), "code");
}

TEST_F(ChunkPoolDeathTest, WhatWasNotReadIsNotSent) {
  ChunkPool& pool = Pool(2);
  Chunk& reading = **pool.Take();
  EXPECT_DEATH(pool.SetSending(reading), "kReady");
  Chunk& failed = **pool.Take();
  pool.SetFailed(failed, Error{EIO, "read"});
  EXPECT_DEATH(pool.SetSending(failed), "kReady");
}

TEST_F(ChunkPoolDeathTest, AChunkThatAReadAimsAtIsNotFreed) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = **pool.Take();
  EXPECT_DEATH((void)pool.Free(chunk), "kReading");
}

TEST_F(ChunkPoolDeathTest, AChunkThatSomebodyUsesIsNotFreed) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Ready(pool);
  NobodyInParticular user;
  chunk.users.push_back(&user);
  EXPECT_DEATH((void)pool.Free(chunk), "users");
}

TEST_F(ChunkPoolDeathTest, AChunkIsNotFreedTwice) {
  ChunkPool& pool = Pool(1);
  Chunk& chunk = Ready(pool);
  ASSERT_TRUE(pool.Free(chunk));
  EXPECT_DEATH((void)pool.Free(chunk), "kFree");
}

TEST(ChunkStateTest, EveryStateHasItsName) {
  EXPECT_STREQ(ToString(ChunkState::kFree), "free");
  EXPECT_STREQ(ToString(ChunkState::kReading), "reading");
  EXPECT_STREQ(ToString(ChunkState::kReady), "ready");
  EXPECT_STREQ(ToString(ChunkState::kSending), "sending");
  EXPECT_STREQ(ToString(ChunkState::kRetired), "retired");
}

}  // namespace
}  // namespace pollux
