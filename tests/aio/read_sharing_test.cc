// Several readers at one place of one file, and readers that go away while their read is under way.
#include "core/aio/read_engine.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <memory>

#include "tests/aio/read_engine_fixture.h"

namespace pollux {
namespace {

using ReadSharingTest = ReadEngineTest;

// --- Sharing.

TEST_F(ReadSharingTest, TwoReadersAtTheSamePlaceOfTheSameFileShareOneRead) {
  MakeEngine(4);
  const PatternFile file(dir_, 2 * kChunk);
  auto first = MakeReader(engine_->Open(file.Open(aio_.kernel())));
  auto second = MakeReader(engine_->Open(file.Open(aio_.kernel())));
  ASSERT_EQ(first->AskChunk(1), 0);
  ASSERT_EQ(second->AskChunk(1), 0);
  EXPECT_EQ(first->held[0], second->held[0]);
  Settle();
  EXPECT_EQ(aio_.in_flight().size(), 1u);
  EXPECT_EQ(aio_.stats().reads_shared, 1u);
  aio_.CompleteAll();
  EXPECT_EQ(first->told.size(), 1u);
  EXPECT_EQ(second->told.size(), 1u);

  // Ready, and even while one of them sends it: a third needs no read either.
  engine_->MarkSending(*first->held[0]);
  auto third = MakeReader(engine_->Open(file.Open(aio_.kernel())));
  ASSERT_EQ(third->AskChunk(1), 0);
  EXPECT_EQ(third->held[0], first->held[0]);
  first.reset();
  second.reset();
  EXPECT_TRUE(Holds(*third->held[0]));  // stays until the last has sent it
  third.reset();
  EXPECT_EQ(Count(ChunkState::kFree), 4u);
  EXPECT_EQ(aio_.stats().reads_completed, 1u);
}

TEST_F(ReadSharingTest, AReplacedFileNeverMixesWithWhatItReplaced) {
  MakeEngine(4);
  auto before = OpenFileOf(kChunk, 1);
  std::filesystem::remove(dir_.path() + "/file");
  auto after = OpenFileOf(kChunk, 2);
  ASSERT_NE(before, after);
  auto old_reader = MakeReader(before);
  auto new_reader = MakeReader(after);
  ASSERT_EQ(old_reader->AskChunk(0), 0);
  ASSERT_EQ(new_reader->AskChunk(0), 0);
  EXPECT_NE(old_reader->held[0], new_reader->held[0]);
  Settle();
  ASSERT_EQ(aio_.in_flight().size(), 2u);
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*old_reader->held[0], 1));  // though its path leads elsewhere by now
  EXPECT_TRUE(Holds(*new_reader->held[0], 2));
}

TEST_F(ReadSharingTest, ARewrittenFileOfTheSameSizeHasReadsOfItsOwn) {
  MakeEngine(4);
  const PatternFile file(dir_, kChunk);
  auto open = file.Open(aio_.kernel());
  auto rewritten = file.Open(aio_.kernel());
  rewritten->key.mtime_ns += 1;
  EXPECT_NE(engine_->Open(open), engine_->Open(rewritten));
}

TEST_F(ReadSharingTest, AChunkThatDoesNotCoverTheRangeIsNotUsedForIt) {
  MakeEngine(4);
  auto reads = OpenFileOf(2 * kChunk);
  auto narrow = MakeReader(reads);
  ASSERT_EQ(narrow->Ask(8192, 8193), 0);
  auto wide = MakeReader(reads);
  ASSERT_EQ(wide->AskChunk(0), 0);
  EXPECT_NE(narrow->held[0], wide->held[0]);
  auto inside = MakeReader(reads);
  ASSERT_EQ(inside->Ask(20000, 30000), 0);  // the wide one covers it
  EXPECT_EQ(inside->held[0], wide->held[0]);
  auto other = MakeReader(reads);
  ASSERT_EQ(other->Ask(8192, 9000), 0);  // one of the two does, whichever
  EXPECT_LE(other->held[0]->begin, 8192u);
  EXPECT_GE(other->held[0]->end, 9000u);
  EXPECT_EQ(aio_.stats().reads_shared, 2u);
  Settle();
  EXPECT_EQ(aio_.in_flight().size(), 2u);
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*narrow->held[0]));
  EXPECT_TRUE(Holds(*wide->held[0]));
}

TEST_F(ReadSharingTest, AFailedReadIsNotShared) {
  MakeEngine(4);
  auto reads = OpenFileOf(kChunk);
  auto unlucky = MakeReader(reads);
  ASSERT_EQ(unlucky->AskChunk(0), 0);
  Settle();
  aio_.Complete(0, -EIO);
  Settle();
  auto next = MakeReader(reads);
  ASSERT_EQ(next->AskChunk(0), 0);  // while the first still holds the failed one
  EXPECT_NE(next->held[0], unlucky->held[0]);
  CompleteReads();
  EXPECT_TRUE(Holds(*next->held[0]));
}

TEST_F(ReadSharingTest, AReaderMayLetGoOfEverythingFromInsideTheNews) {
  MakeEngine(4);
  auto reads = OpenFileOf(2 * kChunk);
  auto first = MakeReader(reads);
  auto second = MakeReader(reads);
  auto third = MakeReader(reads);
  for (auto* reader : {first.get(), second.get(), third.get()}) {
    ASSERT_EQ(reader->AskChunk(0), 0);
    ASSERT_EQ(reader->AskChunk(1), 0);
  }
  first->on_chunk = [&] { second.reset(); };  // ends another, which then is not told
  CompleteReads();
  EXPECT_EQ(first->told.size(), 2u);
  EXPECT_EQ(third->told.size(), 2u);
  first.reset();
  third->DropChunks(0);
  EXPECT_EQ(Count(ChunkState::kFree), 4u);
}

// --- Readers that go away.

TEST_F(ReadSharingTest, AReadOutlivesItsReaderAndIsThenFreed) {
  MakeEngine(2);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  reader.reset();
  EXPECT_EQ(Count(ChunkState::kReading), 1u);  // an iocb aims at it
  EXPECT_EQ(aio_.stats().reads_in_flight, 1u);
  aio_.CompleteFromFile();
  aio_.Turn();
  EXPECT_EQ(Count(ChunkState::kFree), 2u);
  EXPECT_EQ(aio_.stats().reads_in_flight, 0u);
}

TEST_F(ReadSharingTest, MemoryThatAReadAimsAtIsNotGivenToAnother) {
  MakeEngine(1);
  auto reads = OpenFileOf(2 * kChunk);
  auto gone = MakeReader(reads);
  ASSERT_EQ(gone->AskChunk(0), 0);
  Settle();
  gone.reset();
  auto next = MakeReader(reads);
  EXPECT_EQ(next->AskChunk(1), ENOBUFS);
  next->WantChunk(1);
  Settle();
  EXPECT_EQ(next->turns, 0);
  aio_.CompleteFromFile();
  Settle();
  EXPECT_EQ(next->turns, 1);
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*next->held[0]));
}

TEST_F(ReadSharingTest, NobodyWantsTheRestOfAShortReadThatNobodyWaitsFor) {
  MakeEngine(1);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  reader.reset();
  aio_.CompleteFromFile(0, 8192);
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
  EXPECT_EQ(aio_.stats().failed_reads, 0u);  // given up, which is no failure
  EXPECT_EQ(aio_.stats().short_reads, 0u);
}

TEST_F(ReadSharingTest, AReadThatLostItsReaderServesTheNextOne) {
  MakeEngine(1);
  auto reads = OpenFileOf(kChunk);
  auto gone = MakeReader(reads);
  ASSERT_EQ(gone->AskChunk(0), 0);
  Settle();
  gone.reset();
  auto next = MakeReader(reads);
  ASSERT_EQ(next->AskChunk(0), 0);
  aio_.CompleteFromFile(0, 8192);  // short: somebody wants the rest again
  CompleteReads();
  EXPECT_TRUE(Holds(*next->held[0]));
}

TEST_F(ReadSharingTest, AReaderMayGoWhileItsFileIsBeingOpened) {
  MakeEngine(2);
  auto reader = MakeReader(OpenFileOf(2 * kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  ASSERT_EQ(reader->AskChunk(1), 0);
  reader.reset();
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(Count(ChunkState::kFree), 2u);
}

TEST_F(ReadSharingTest, TheEndWaitsForReadsBeforeTheirMemoryGoes) {
  // io_destroy of the scripted kernel stores into what is in flight, as a device would.
  for (const bool shm : {false, true}) {
    MakeEngine(4, 8, shm);
    auto reads = OpenFileOf(4 * kChunk);
    auto reader = MakeReader(reads);
    for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(reader->AskChunk(i), 0);
    Settle();
    ASSERT_EQ(aio_.in_flight().size(), 4u);
    reader.reset();
    reads.reset();
    engine_.reset();
    EXPECT_EQ(aio_.kernel().contexts, 0u);
  }
}

}  // namespace
}  // namespace pollux
