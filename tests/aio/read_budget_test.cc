// Memory that does not suffice for all: who waits, who gives way, and how far ahead anybody reads.
#include "core/aio/read_engine.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

#include "tests/aio/read_engine_fixture.h"

namespace pollux {
namespace {

class ReadBudgetTest : public ReadEngineTest {
 protected:
  // An engine of so many chunks, and a file for its readers.
  void Begin(uint32_t chunks, unsigned depth = 32, bool shm = false) {
    MakeEngine(chunks, depth, shm);
    reads_ = OpenFileOf(8 * kChunk);
  }
  std::unique_ptr<TestReader> MakeReader() { return ReadEngineTest::MakeReader(reads_); }
  // One that holds these chunks, read.
  std::unique_ptr<TestReader> ReaderOf(std::initializer_list<uint64_t> chunks) {
    auto reader = MakeReader();
    for (const uint64_t chunk : chunks) EXPECT_EQ(reader->AskChunk(chunk), 0);
    CompleteReads();
    return reader;
  }

  // One that has asked for chunk 0, and one that stands in line for chunk 1.
  std::pair<std::unique_ptr<TestReader>, std::unique_ptr<TestReader>> HolderAndWaiting() {
    auto holder = MakeReader();
    holder->WantChunk(0);
    auto waiting = MakeReader();
    waiting->WantChunk(1);
    return {std::move(holder), std::move(waiting)};
  }

  std::shared_ptr<FileReads> reads_;
};

// --- The budget.

TEST_F(ReadBudgetTest, OneChunkServesManyReadersInTheOrderInWhichTheyAsked) {
  Begin(1);
  std::vector<std::unique_ptr<TestReader>> readers;
  std::vector<size_t> order;
  for (size_t i = 0; i < 8; ++i) {
    readers.push_back(MakeReader());
    readers[i]->on_turn = [&order, i] { order.push_back(i); };
    readers[i]->WantChunk(i);
  }
  for (size_t i = 0; i < 8; ++i) {
    Settle();
    ASSERT_EQ(readers[i]->held.size(), 1u) << i;
    aio_.CompleteAll();
    EXPECT_TRUE(Holds(*readers[i]->held[0]));
    readers[i]->Release();
  }
  EXPECT_EQ(order, (std::vector<size_t>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(aio_.stats().chunk_bytes_max, kChunk);
}

TEST_F(ReadBudgetTest, ANewcomerDoesNotPassTheLine) {
  Begin(1);
  auto [holder, waiting] = HolderAndWaiting();
  CompleteReads();
  holder->Release();  // memory is free, and the one in line has not been served yet
  auto newcomer = MakeReader();
  EXPECT_EQ(newcomer->AskChunk(2), ENOBUFS);
  EXPECT_EQ(holder->AskChunk(3, Need::kAhead), ENOBUFS);
  Settle();
  EXPECT_EQ(waiting->held.size(), 1u);
}

TEST_F(ReadBudgetTest, NeitherDoesOneThatAsksFromInsideAnothersTurn) {
  Begin(2);
  auto holder = MakeReader();
  holder->WantChunk(0);
  ASSERT_EQ(holder->AskChunk(1), 0);
  auto first = MakeReader();
  auto second = MakeReader();
  auto sly = MakeReader();
  first->WantChunk(2);
  second->WantChunk(3);
  int answer = 0;
  first->on_turn = [&] { answer = sly->AskChunk(4); };
  CompleteReads();
  holder->DropChunks(0);
  Settle();
  EXPECT_EQ(answer, ENOBUFS);
  EXPECT_EQ(first->held.size(), 1u);
  EXPECT_EQ(second->held.size(), 1u);
}

TEST_F(ReadBudgetTest, WhatIsReadAlreadyNeedsNoMemoryAndNoTurn) {
  Begin(1);
  auto [holder, waiting] = HolderAndWaiting();
  auto sharer = MakeReader();
  EXPECT_EQ(sharer->AskChunk(0), 0);
}

TEST_F(ReadBudgetTest, AReaderThatEndsLeavesTheLine) {
  Begin(1);
  auto holder = MakeReader();
  holder->WantChunk(0);
  auto gone = MakeReader();
  gone->WantChunk(1);
  auto next = MakeReader();
  next->WantChunk(2);
  gone.reset();
  CompleteReads();
  holder->Release();
  Settle();
  EXPECT_EQ(next->held.size(), 1u);
}

TEST_F(ReadBudgetTest, WhenAllMemoryIsLostThoseInLineAreToldSo) {
  Begin(1, 8, true);
  auto [holder, waiting] = HolderAndWaiting();
  CompleteReads();
  engine_->MarkSending(*holder->held[0]);
  aio_.kernel().fallocate_error = EOPNOTSUPP;  // a --shm-dir that cannot punch
  holder->Release();
  Settle();
  EXPECT_EQ(aio_.stats().chunks_lost, 1u);
  EXPECT_EQ(waiting->turns, 1);
  EXPECT_EQ(waiting->error, ENOMEM);
  EXPECT_EQ(holder->AskChunk(2), ENOMEM);
}

// --- Readers whose sockets stand still.

TEST_F(ReadBudgetTest, AfterTheGraceABlockedReaderKeepsOneChunk) {
  Begin(8);
  auto blocked = ReaderOf({0, 1, 2, 3});
  engine_->SetBlocked(*blocked);
  aio_.Pass(ReadEngine::kBlockedGrace - std::chrono::milliseconds(10));
  EXPECT_EQ(blocked->held.size(), 4u);
  aio_.Pass(std::chrono::milliseconds(20));
  EXPECT_EQ(blocked->held.size(), 1u);
  EXPECT_EQ(blocked->held[0]->begin, 0u);  // the one it is sending
  EXPECT_EQ(Count(ChunkState::kFree), 7u);
}

TEST_F(ReadBudgetTest, AReaderThatMovesInTimeKeepsEverything) {
  Begin(8);
  auto reader = ReaderOf({0, 1, 2, 3});
  for (int i = 0; i < 5; ++i) {
    engine_->SetBlocked(*reader);
    aio_.Pass(ReadEngine::kBlockedGrace - std::chrono::milliseconds(10));
    engine_->SetUnblocked(*reader);
  }
  aio_.Pass(2 * ReadEngine::kBlockedGrace);
  EXPECT_EQ(reader->held.size(), 4u);
}

TEST_F(ReadBudgetTest, EachBlockedReaderHasItsOwnGrace) {
  Begin(8);
  auto early = MakeReader();
  auto late = MakeReader();
  for (uint64_t i = 0; i < 2; ++i) {
    ASSERT_EQ(early->AskChunk(i), 0);
    ASSERT_EQ(late->AskChunk(4 + i), 0);
  }
  CompleteReads();
  engine_->SetBlocked(*early);
  aio_.Pass(ReadEngine::kBlockedGrace / 2);
  engine_->SetBlocked(*late);
  aio_.Pass(ReadEngine::kBlockedGrace / 2 + std::chrono::milliseconds(5));
  EXPECT_EQ(early->held.size(), 1u);
  EXPECT_EQ(late->held.size(), 2u);
  aio_.Pass(ReadEngine::kBlockedGrace / 2 + std::chrono::milliseconds(5));
  EXPECT_EQ(late->held.size(), 1u);
}

TEST_F(ReadBudgetTest, UnderPressureTheLongestBlockedGivesWayFirst) {
  Begin(2);
  auto longer = MakeReader();
  auto shorter = MakeReader();
  ASSERT_EQ(longer->AskChunk(0), 0);
  ASSERT_EQ(shorter->AskChunk(1), 0);
  CompleteReads();
  engine_->SetBlocked(*longer);
  engine_->SetBlocked(*shorter);
  auto needy = MakeReader();
  ASSERT_EQ(needy->AskChunk(2), 0);
  EXPECT_EQ(longer->held.size(), 0u);
  EXPECT_EQ(shorter->held.size(), 1u);
}

TEST_F(ReadBudgetTest, ReadAheadTakesFromThoseBlockedForLongOnly) {
  Begin(2);
  auto blocked = ReaderOf({0, 1});
  engine_->SetBlocked(*blocked);
  auto ahead = MakeReader();
  EXPECT_EQ(ahead->AskChunk(2, Need::kAhead), ENOBUFS);
  EXPECT_EQ(blocked->held.size(), 2u);
  aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
  EXPECT_EQ(ahead->AskChunk(2, Need::kAhead), 0);
  EXPECT_EQ(ahead->AskChunk(3, Need::kAhead), 0);
  EXPECT_EQ(blocked->held.size(), 0u);
}

TEST_F(ReadBudgetTest, NobodyLosesItsOwnChunkToItsOwnRequest) {
  Begin(1);
  auto reader = ReaderOf({0});
  engine_->SetBlocked(*reader);
  EXPECT_EQ(reader->AskChunk(1, Need::kNow), ENOBUFS);
  aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
  // Its socket moves again: before the first byte goes out it reads ahead.
  EXPECT_EQ(reader->AskChunk(1, Need::kAhead), ENOBUFS);
  ASSERT_EQ(reader->held.size(), 1u);
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadBudgetTest, ThoseInLineAreServedWhenSomebodyBlocks) {
  Begin(1);
  auto [holder, waiting] = HolderAndWaiting();
  CompleteReads();
  EXPECT_EQ(waiting->held.size(), 0u);
  engine_->SetBlocked(*holder);
  Settle();
  EXPECT_EQ(holder->held.size(), 0u);
  EXPECT_EQ(waiting->held.size(), 1u);
}

TEST_F(ReadBudgetTest, AChunkThatIsSharedStaysWithThoseWhoMove) {
  Begin(1);
  auto blocked = MakeReader();
  auto moving = MakeReader();
  ASSERT_EQ(blocked->AskChunk(0), 0);
  ASSERT_EQ(moving->AskChunk(0), 0);
  CompleteReads();
  engine_->SetBlocked(*blocked);
  auto needy = MakeReader();
  EXPECT_EQ(needy->AskChunk(1), ENOBUFS);
  EXPECT_TRUE(Holds(*moving->held[0]));
}

// --- How far ahead.

// Two spindles with as many reads each would toss for the next one, so their number is odd; and of
// large chunks a few suffice, but among many streams most of the time would go to seeks.
TEST_F(ReadBudgetTest, AnOddNumberOfReadsIsInFlightAndFewerOfEachAmongSeveral) {
  struct {
    uint64_t chunk_bytes;
    std::vector<unsigned> reads;  // of one stream, of each of two, of three, ...
  } const cases[] = {{kChunk, {7, 7, 5, 5, 5, 5, 5, 5, 5}}, {1_MiB, {7, 7, 3, 3, 3, 3, 5, 5, 5}}};
  for (const auto& expected : cases) {
    MakeEngine(1024, 32, false, expected.chunk_bytes);
    reads_ = OpenFileOf(8 * kChunk);
    std::vector<std::unique_ptr<TestReader>> readers;
    for (const unsigned reads : expected.reads) {
      readers.push_back(MakeReader());
      EXPECT_EQ(engine_->window().reads, reads) << readers.size() << " of " << expected.chunk_bytes;
      EXPECT_EQ(engine_->window().chunks, ReadEngine::kChunksMax);
    }
    readers.clear();
    reads_.reset();
  }
}

TEST_F(ReadBudgetTest, WhereMemoryIsScarceAllOfItReadsAhead) {
  Begin(60);
  std::vector<std::unique_ptr<TestReader>> readers;
  for (unsigned streams = 1; streams <= 60; ++streams) {
    readers.push_back(MakeReader());
    const ReadEngine::Window window = engine_->window();
    EXPECT_EQ(window.chunks, std::min(60 / streams, ReadEngine::kChunksMax)) << streams;
    if (streams > ReadEngine::kFewStreams) {
      EXPECT_EQ(window.reads, std::min(60 / streams, ReadEngine::kReadsOfMany)) << streams;
    }
  }
}

TEST_F(ReadBudgetTest, AllWindowsTogetherFitIntoTheBudget) {
  Begin(24);
  std::vector<std::unique_ptr<TestReader>> readers;
  for (unsigned streams = 1; streams <= 24; ++streams) {
    readers.push_back(MakeReader());
    EXPECT_LE(engine_->window().chunks * streams, 24u) << streams;
  }
  for (unsigned streams = 25; streams <= 30; ++streams) {
    readers.push_back(MakeReader());
    EXPECT_EQ(engine_->window().chunks, 1u);
  }
}

TEST_F(ReadBudgetTest, BlockedReadersDoNotNarrowTheWindowOfOthers) {
  Begin(8);
  auto moving = MakeReader();
  const unsigned alone = engine_->window().chunks;
  std::vector<std::unique_ptr<TestReader>> blocked;
  for (uint64_t i = 0; i < 7; ++i) {
    blocked.push_back(MakeReader());
    ASSERT_EQ(blocked.back()->AskChunk(i), 0);
  }
  CompleteReads();
  EXPECT_LT(engine_->window().chunks, alone);
  for (auto& reader : blocked) engine_->SetBlocked(*reader);
  EXPECT_EQ(engine_->window().chunks, alone);
}

}  // namespace
}  // namespace pollux
