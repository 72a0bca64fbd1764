// Who reads what, when, and into which memory: with readers that do as they are told, real files
// and real memory, and an io_context that the test plays.
#include "core/aio/read_engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/aio/chunk_memory.h"
#include "tests/aio/loopback.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {
namespace {

using Need = ReadEngine::Need;
using Place = ReadEngine::Place;

constexpr uint64_t kChunk = 64_KiB;

// Asks for what it is told to ask for, and keeps a record of what it is told.
class TestReader final : public Reader {
 public:
  TestReader(ReadEngine& engine, std::shared_ptr<FileReads> reads)
      : engine_(engine), reads_(std::move(reads)) {
    engine_.AddStream();
  }
  ~TestReader() override {
    engine_.SetUnblocked(*this);
    DropChunks(0);
    engine_.RemoveStream();
  }
  TestReader(const TestReader&) = delete;
  TestReader& operator=(const TestReader&) = delete;

  // The errno, or 0 with the chunk at the end of `held`.
  int Ask(uint64_t position, uint64_t end, Need need = Need::kNow) {
    auto chunk = engine_.Request(reads_, position, end, *this, need);
    if (!chunk) return chunk.error().code;
    held.push_back(*chunk);
    return 0;
  }
  int AskChunk(uint64_t index, Need need = Need::kNow) {
    return Ask(index * kChunk, std::min((index + 1) * kChunk, reads_->file().size()), need);
  }
  // Asks for the chunk, and stands in line if there is no memory.
  void WantChunk(uint64_t index) {
    wanted_ = index;
    error = AskChunk(index);
    if (error == ENOBUFS) engine_.WaitForMemory(*this);
  }
  void Release() {
    engine_.Release(*held.front(), *this);
    held.pop_front();
  }

  void OnChunk(Chunk& chunk) override {
    told.push_back(&chunk);
    if (on_chunk) on_chunk();
  }
  void OnTurn() override {
    ++turns;
    error = AskChunk(wanted_, Need::kTurn);
    if (error == ENOBUFS) engine_.WaitForMemory(*this, Place::kFirst);
    if (on_turn) on_turn();
  }
  void DropChunks(size_t keep) override {
    while (held.size() > keep) {
      engine_.Release(*held.back(), *this);
      held.pop_back();
    }
  }
  size_t chunks_held() const override { return held.size(); }

  std::deque<Chunk*> held;
  std::vector<Chunk*> told;
  int turns = 0;
  int error = 0;  // of the last WantChunk or turn
  std::function<void()> on_chunk;
  std::function<void()> on_turn;

 private:
  ReadEngine& engine_;
  std::shared_ptr<FileReads> reads_;
  uint64_t wanted_ = 0;
};

class ReadEngineTest : public ::testing::Test {
 protected:
  ~ReadEngineTest() override { aio_.workers().Stop(); }

  void MakeEngine(uint32_t chunks, unsigned depth = 32, bool shm = false) {
    auto queue = AioQueue::Create(aio_.kernel(), aio_.loop(), aio_.workers(), depth, aio_.stats());
    auto memory = shm ? MakeShmMemory(aio_.kernel(), kChunk, chunks, Retire::kPunch, "")
                      : MakeCopyMemory(aio_.kernel(), kChunk, chunks);
    ASSERT_TRUE(queue && memory);
    auto pool = std::make_unique<ChunkPool>(std::move(*memory), kChunk, chunks, aio_.stats());
    engine_ = std::make_unique<ReadEngine>(aio_.loop(), aio_.workers(), std::move(*queue),
                                           std::move(pool), aio_.stats());
  }
  std::shared_ptr<FileReads> OpenFileOf(uint64_t size, uint16_t seed = 0,
                                        const std::string& name = "file") {
    const PatternFile file(dir_, size, seed, name);
    return engine_->Open(file.Open(aio_.kernel()));
  }
  std::unique_ptr<TestReader> MakeReader(const std::shared_ptr<FileReads>& reads) {
    return std::make_unique<TestReader>(*engine_, reads);
  }
  uint64_t Count(ChunkState state) { return aio_.stats().chunks[static_cast<int>(state)]; }
  // From the moment a reader asks until its read is in the kernel: the file is opened by a worker,
  // and the first read submitted by one.
  void Settle() { aio_.Turn(4); }

  static ::testing::AssertionResult Holds(const Chunk& chunk, uint16_t seed = 0) {
    if (!chunk.sendable()) return ::testing::AssertionFailure() << ToString(chunk.state);
    return HoldsPattern(std::span(chunk.memory, chunk.end - chunk.begin), chunk.begin, seed);
  }

  const TempDir dir_;
  ScriptedAio aio_;
  std::unique_ptr<ReadEngine> engine_;
};

// --- One read.

TEST_F(ReadEngineTest, AReadIsOfWholeBlocksAndItsTailIsClippedToTheFile) {
  MakeEngine(4);
  auto reads = OpenFileOf(kChunk + 1);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->Ask(kChunk, kChunk + 1), 0);
  Settle();
  ASSERT_EQ(aio_.in_flight().size(), 1u);
  const iocb& request = aio_.in_flight()[0].request;
  EXPECT_EQ(request.u.c.offset, static_cast<long long>(kChunk));
  EXPECT_EQ(request.u.c.nbytes, 4096u);
  aio_.CompleteFromFile();
  aio_.Turn();
  ASSERT_EQ(reader->told.size(), 1u);
  EXPECT_EQ(reader->held[0]->end, kChunk + 1);
  EXPECT_EQ(reader->held[0]->filled, 1u);
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, AnUnalignedRangeIsReadFromTheBlockInWhichItBegins) {
  MakeEngine(4);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->Ask(kChunk + 5000, kChunk + 9000), 0);
  Settle();
  const iocb& request = aio_.in_flight()[0].request;
  EXPECT_EQ(request.u.c.offset, static_cast<long long>(kChunk + 4096));
  EXPECT_EQ(request.u.c.nbytes, 8192u);
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, AChunkEndsAtAMultipleOfItsSizeWhereverItBegins) {
  MakeEngine(4);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->Ask(2 * kChunk - 1, 4 * kChunk), 0);
  EXPECT_EQ(reader->held[0]->begin, 2 * kChunk - 4096);
  EXPECT_EQ(reader->held[0]->end, 2 * kChunk);
  Settle();
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, AShortReadIsContinuedFromTheBlockInWhichItEnded) {
  MakeEngine(4);
  auto reads = OpenFileOf(kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  aio_.kernel().dioalign = 4096;
  const uint64_t block = reads->alignment();
  aio_.CompleteFromFile(0, 3 * block + 100);
  Settle();
  EXPECT_TRUE(reader->told.empty());
  ASSERT_EQ(aio_.in_flight().size(), 1u);
  const iocb& rest = aio_.in_flight()[0].request;
  EXPECT_EQ(rest.u.c.offset, static_cast<long long>(3 * block));
  EXPECT_EQ(rest.u.c.nbytes, kChunk - 3 * block);
  EXPECT_EQ(rest.u.c.buf, reader->held[0]->memory + 3 * block);
  EXPECT_EQ(aio_.stats().short_reads, 1u);
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, HoweverShortTheReadsAreTheBytesAreRight) {
  aio_.kernel().dioalign = 4096;
  MakeEngine(4);
  auto reads = OpenFileOf(kChunk - 7);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  unsigned rounds = 0;
  while (reader->told.empty()) {
    ASSERT_EQ(aio_.in_flight().size(), 1u);
    ASSERT_LT(++rounds, 100u);
    aio_.CompleteFromFile(0, 4096 + 13);  // a block and a bit
    Settle();
  }
  EXPECT_EQ(rounds, 16u);
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, AFileThatBecameShorterFailsAndIsNotWaitedFor) {
  aio_.kernel().dioalign = 4096;
  MakeEngine(4);
  for (const long res : {0L, 100L, 5000L}) {
    auto reads = OpenFileOf(kChunk, 1, "file" + std::to_string(res));
    auto reader = MakeReader(reads);
    ASSERT_EQ(reader->AskChunk(0), 0);
    Settle();
    aio_.Complete(0, res);
    Settle();
    if (res > 0) {  // some progress: the rest is asked for
      ASSERT_EQ(aio_.in_flight().size(), 1u);
      aio_.Complete(0, res % 4096);
      Settle();
    }
    ASSERT_EQ(reader->told.size(), 1u);
    EXPECT_EQ(reader->held[0]->error.code, ENODATA);
    EXPECT_FALSE(reader->held[0]->sendable());
    EXPECT_TRUE(aio_.in_flight().empty());
  }
}

TEST_F(ReadEngineTest, AFailedReadIsNeverSendable) {
  MakeEngine(4);
  auto reads = OpenFileOf(kChunk);
  for (const int code : {EIO, EFAULT, ENOMEM, EINVAL}) {
    auto reader = MakeReader(reads);
    ASSERT_EQ(reader->AskChunk(0), 0);
    Settle();
    aio_.Complete(0, -code);
    aio_.Turn();
    ASSERT_EQ(reader->told.size(), 1u);
    EXPECT_EQ(reader->held[0]->error.code, code);
    EXPECT_FALSE(reader->held[0]->sendable());
  }
  EXPECT_EQ(aio_.stats().failed_reads, 4u);
  EXPECT_EQ(Count(ChunkState::kFree), 4u);
}

TEST_F(ReadEngineTest, AReadThatFailsHalfWayFails) {
  aio_.kernel().dioalign = 4096;
  MakeEngine(4);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  aio_.CompleteFromFile(0, 8192);
  Settle();
  aio_.Complete(0, -EIO);
  Settle();
  EXPECT_EQ(reader->held[0]->error.code, EIO);
  EXPECT_FALSE(reader->held[0]->sendable());
}

// --- The descriptor for direct reads.

TEST_F(ReadEngineTest, AFileIsOpenedForDirectReadsOnceAndByAWorker) {
  MakeEngine(8);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  EXPECT_EQ(reads->direct(), FileReads::Direct::kOpening);
  EXPECT_EQ(aio_.workers().inline_runs(), 1u);
  ASSERT_EQ(reader->AskChunk(1), 0);  // waits for the same open
  Settle();
  ASSERT_EQ(reader->AskChunk(2), 0);
  Settle();
  EXPECT_EQ(aio_.kernel().direct_opens, 1u);
  EXPECT_EQ(aio_.in_flight().size(), 3u);
}

TEST_F(ReadEngineTest, AnInterruptedOpenIsRepeated) {
  aio_.kernel().direct_open_eintrs = 2;
  MakeEngine(8);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  EXPECT_EQ(aio_.kernel().direct_opens, 3u);
  EXPECT_EQ(aio_.in_flight().size(), 1u);
}

TEST_F(ReadEngineTest, WithoutDirectReadsThoseWhoWaitAreToldAndOthersRefused) {
  for (const int code : {EINVAL, ENOENT, EMFILE, EACCES}) {
    aio_.kernel().direct_open_error = code;
    MakeEngine(8);
    auto reads = OpenFileOf(4 * kChunk);
    auto reader = MakeReader(reads);
    ASSERT_EQ(reader->AskChunk(0), 0);
    Settle();
    ASSERT_EQ(reader->told.size(), 1u);
    EXPECT_EQ(reader->held[0]->error.code, EOPNOTSUPP);
    EXPECT_EQ(reader->AskChunk(1), EOPNOTSUPP);
    reader.reset();
    EXPECT_EQ(aio_.stats().chunk_bytes, 0u);
    reads.reset();
    engine_.reset();
  }
}

TEST_F(ReadEngineTest, AFileThatSaysItHasNoDirectReadsIsBelieved) {
  aio_.kernel().dioalign = 0;
  MakeEngine(8);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  EXPECT_EQ(reader->held[0]->error.code, EOPNOTSUPP);
}

TEST_F(ReadEngineTest, BlocksThatDoNotFitIntoAChunkAreNotReadIntoIt) {
  aio_.kernel().dioalign = 2 * kChunk;
  MakeEngine(8);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(1), 0);
  Settle();
  EXPECT_EQ(reader->held[0]->error.code, EOPNOTSUPP);
  EXPECT_EQ(reader->AskChunk(1), EOPNOTSUPP);
  EXPECT_TRUE(aio_.in_flight().empty());
}

TEST_F(ReadEngineTest, LargeBlocksAreReadWholeAndStayInTheirChunk) {
  aio_.kernel().dioalign = 16384;
  MakeEngine(8);
  auto reads = OpenFileOf(4 * kChunk);
  auto first = MakeReader(reads);
  ASSERT_EQ(first->AskChunk(0), 0);  // aligned already: it shows what the alignment is
  Settle();
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->Ask(kChunk + 5000, kChunk + 5001), 0);
  ASSERT_EQ(reader->Ask(2 * kChunk - 1, 2 * kChunk), 0);
  Settle();
  ASSERT_EQ(aio_.in_flight().size(), 3u);
  for (const auto& read : aio_.in_flight()) {
    EXPECT_EQ(read.request.u.c.offset % 16384, 0);
    EXPECT_EQ(read.request.u.c.nbytes % 16384, 0u);
  }
  for (const Chunk* chunk : reader->held) {
    EXPECT_GE(chunk->begin, kChunk);
    EXPECT_LE(chunk->read_end, 2 * kChunk);
  }
}

TEST_F(ReadEngineTest, WhatWasAskedForBeforeTheAlignmentWasKnownAndDoesNotFitIsRefused) {
  aio_.kernel().dioalign = 16384;
  MakeEngine(8);
  auto reader = MakeReader(OpenFileOf(4 * kChunk));
  ASSERT_EQ(reader->Ask(5000, 5001), 0);
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(reader->held[0]->error.code, EOPNOTSUPP);
}

// --- What may block the loop.

TEST_F(ReadEngineTest, UntilAReadOfARegionHasCompletedAWorkerSubmitsTheReadsOfIt) {
  MakeEngine(2);
  auto warm_up = OpenFileOf(2 * kChunk, 1, "warm-up");
  {
    auto reader = MakeReader(warm_up);
    ASSERT_EQ(reader->AskChunk(0), 0);
    ASSERT_EQ(reader->AskChunk(1), 0);
    Settle();
    aio_.CompleteAll();
  }
  // From here on every chunk's pages exist; only the file's extents are unknown.
  auto reads = OpenFileOf(4 * kChunk, 2, "cold");
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  ASSERT_EQ(reader->AskChunk(1), 0);
  const uint64_t jobs_before = aio_.workers().inline_runs();
  aio_.kernel().batches.clear();
  Settle();
  // One job carried both: the second would have waited on the loop for the first one's extents.
  EXPECT_EQ(aio_.workers().inline_runs(), jobs_before + 1);
  EXPECT_EQ(aio_.kernel().batches, std::vector<size_t>{2});

  aio_.CompleteAll();
  reader->DropChunks(0);
  ASSERT_EQ(reader->AskChunk(2), 0);  // known now: by the loop
  Settle();
  EXPECT_EQ(aio_.in_flight().size(), 1u);
  EXPECT_EQ(aio_.workers().inline_runs(), jobs_before + 1);
}

TEST_F(ReadEngineTest, PunchedMemoryIsFilledByAWorker) {
  MakeEngine(1, 8, true);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  aio_.CompleteAll();
  engine_->MarkSending(*reader->held[0]);
  reader->Release();
  const uint64_t jobs_before = aio_.workers().inline_runs();
  ASSERT_EQ(reader->AskChunk(1), 0);  // the file is known, but the pages have to be made
  Settle();
  EXPECT_EQ(aio_.workers().inline_runs(), jobs_before + 1);
  aio_.CompleteAll();
  EXPECT_TRUE(reader->held[0]->sendable());
}

// --- Sharing.

TEST_F(ReadEngineTest, TwoReadersAtTheSamePlaceOfTheSameFileShareOneRead) {
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

TEST_F(ReadEngineTest, AReplacedFileNeverMixesWithWhatItReplaced) {
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

TEST_F(ReadEngineTest, ARewrittenFileOfTheSameSizeHasReadsOfItsOwn) {
  MakeEngine(4);
  const PatternFile file(dir_, kChunk);
  auto open = file.Open(aio_.kernel());
  auto rewritten = file.Open(aio_.kernel());
  rewritten->key.mtime_ns += 1;
  EXPECT_NE(engine_->Open(open), engine_->Open(rewritten));
}

TEST_F(ReadEngineTest, AChunkThatDoesNotCoverTheRangeIsNotUsedForIt) {
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

TEST_F(ReadEngineTest, AFailedReadIsNotShared) {
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
  Settle();
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*next->held[0]));
}

TEST_F(ReadEngineTest, AReaderMayLetGoOfEverythingFromInsideTheNews) {
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
  Settle();
  aio_.CompleteAll();
  EXPECT_EQ(first->told.size(), 2u);
  EXPECT_EQ(third->told.size(), 2u);
  first.reset();
  third->DropChunks(0);
  EXPECT_EQ(Count(ChunkState::kFree), 4u);
}

// --- Readers that go away.

TEST_F(ReadEngineTest, AReadOutlivesItsReaderAndIsThenFreed) {
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

TEST_F(ReadEngineTest, MemoryThatAReadAimsAtIsNotGivenToAnother) {
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

TEST_F(ReadEngineTest, NobodyWantsTheRestOfAShortReadThatNobodyWaitsFor) {
  MakeEngine(1);
  auto reader = MakeReader(OpenFileOf(kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  reader.reset();
  aio_.CompleteFromFile(0, 8192);
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
}

TEST_F(ReadEngineTest, AReadThatLostItsReaderServesTheNextOne) {
  MakeEngine(1);
  auto reads = OpenFileOf(kChunk);
  auto gone = MakeReader(reads);
  ASSERT_EQ(gone->AskChunk(0), 0);
  Settle();
  gone.reset();
  auto next = MakeReader(reads);
  ASSERT_EQ(next->AskChunk(0), 0);
  aio_.CompleteFromFile(0, 8192);  // short: somebody wants the rest again
  Settle();
  aio_.CompleteAll();
  EXPECT_TRUE(Holds(*next->held[0]));
}

TEST_F(ReadEngineTest, AReaderMayGoWhileItsFileIsBeingOpened) {
  MakeEngine(2);
  auto reader = MakeReader(OpenFileOf(2 * kChunk));
  ASSERT_EQ(reader->AskChunk(0), 0);
  ASSERT_EQ(reader->AskChunk(1), 0);
  reader.reset();
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(Count(ChunkState::kFree), 2u);
}

TEST_F(ReadEngineTest, TheEndWaitsForReadsBeforeTheirMemoryGoes) {
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

// --- The budget.

TEST_F(ReadEngineTest, OneChunkServesManyReadersInTheOrderInWhichTheyAsked) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  std::vector<std::unique_ptr<TestReader>> readers;
  std::vector<size_t> order;
  for (size_t i = 0; i < 8; ++i) {
    readers.push_back(MakeReader(reads));
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

TEST_F(ReadEngineTest, ANewcomerDoesNotPassTheLine) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  auto waiting = MakeReader(reads);
  waiting->WantChunk(1);
  Settle();
  aio_.CompleteAll();
  holder->Release();  // memory is free, and the one in line has not been served yet
  auto newcomer = MakeReader(reads);
  EXPECT_EQ(newcomer->AskChunk(2), ENOBUFS);
  EXPECT_EQ(holder->AskChunk(3, Need::kAhead), ENOBUFS);
  Settle();
  EXPECT_EQ(waiting->held.size(), 1u);
}

TEST_F(ReadEngineTest, NeitherDoesOneThatAsksFromInsideAnothersTurn) {
  MakeEngine(2);
  auto reads = OpenFileOf(8 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  ASSERT_EQ(holder->AskChunk(1), 0);
  auto first = MakeReader(reads);
  auto second = MakeReader(reads);
  auto sly = MakeReader(reads);
  first->WantChunk(2);
  second->WantChunk(3);
  int answer = 0;
  first->on_turn = [&] { answer = sly->AskChunk(4); };
  Settle();
  aio_.CompleteAll();
  holder->DropChunks(0);
  Settle();
  EXPECT_EQ(answer, ENOBUFS);
  EXPECT_EQ(first->held.size(), 1u);
  EXPECT_EQ(second->held.size(), 1u);
}

TEST_F(ReadEngineTest, WhatIsReadAlreadyNeedsNoMemoryAndNoTurn) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  auto waiting = MakeReader(reads);
  waiting->WantChunk(1);
  auto sharer = MakeReader(reads);
  EXPECT_EQ(sharer->AskChunk(0), 0);
}

TEST_F(ReadEngineTest, AReaderThatEndsLeavesTheLine) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  auto gone = MakeReader(reads);
  gone->WantChunk(1);
  auto next = MakeReader(reads);
  next->WantChunk(2);
  gone.reset();
  Settle();
  aio_.CompleteAll();
  holder->Release();
  Settle();
  EXPECT_EQ(next->held.size(), 1u);
}

TEST_F(ReadEngineTest, WhenAllMemoryIsLostThoseInLineAreToldSo) {
  MakeEngine(1, 8, true);
  auto reads = OpenFileOf(4 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  auto waiting = MakeReader(reads);
  waiting->WantChunk(1);
  Settle();
  aio_.CompleteAll();
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

TEST_F(ReadEngineTest, AfterTheGraceABlockedReaderKeepsOneChunk) {
  MakeEngine(8);
  auto reads = OpenFileOf(8 * kChunk);
  auto blocked = MakeReader(reads);
  for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(blocked->AskChunk(i), 0);
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*blocked);
  aio_.Pass(ReadEngine::kBlockedGrace - std::chrono::milliseconds(10));
  EXPECT_EQ(blocked->held.size(), 4u);
  aio_.Pass(std::chrono::milliseconds(20));
  EXPECT_EQ(blocked->held.size(), 1u);
  EXPECT_EQ(blocked->held[0]->begin, 0u);  // the one it is sending
  EXPECT_EQ(Count(ChunkState::kFree), 7u);
}

TEST_F(ReadEngineTest, AReaderThatMovesInTimeKeepsEverything) {
  MakeEngine(8);
  auto reads = OpenFileOf(8 * kChunk);
  auto reader = MakeReader(reads);
  for (uint64_t i = 0; i < 4; ++i) ASSERT_EQ(reader->AskChunk(i), 0);
  Settle();
  aio_.CompleteAll();
  for (int i = 0; i < 5; ++i) {
    engine_->SetBlocked(*reader);
    aio_.Pass(ReadEngine::kBlockedGrace - std::chrono::milliseconds(10));
    engine_->SetUnblocked(*reader);
  }
  aio_.Pass(2 * ReadEngine::kBlockedGrace);
  EXPECT_EQ(reader->held.size(), 4u);
}

TEST_F(ReadEngineTest, EachBlockedReaderHasItsOwnGrace) {
  MakeEngine(8);
  auto reads = OpenFileOf(8 * kChunk);
  auto early = MakeReader(reads);
  auto late = MakeReader(reads);
  for (uint64_t i = 0; i < 2; ++i) {
    ASSERT_EQ(early->AskChunk(i), 0);
    ASSERT_EQ(late->AskChunk(4 + i), 0);
  }
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*early);
  aio_.Pass(ReadEngine::kBlockedGrace / 2);
  engine_->SetBlocked(*late);
  aio_.Pass(ReadEngine::kBlockedGrace / 2 + std::chrono::milliseconds(5));
  EXPECT_EQ(early->held.size(), 1u);
  EXPECT_EQ(late->held.size(), 2u);
  aio_.Pass(ReadEngine::kBlockedGrace / 2 + std::chrono::milliseconds(5));
  EXPECT_EQ(late->held.size(), 1u);
}

TEST_F(ReadEngineTest, UnderPressureTheLongestBlockedGivesWayFirst) {
  MakeEngine(2);
  auto reads = OpenFileOf(8 * kChunk);
  auto longer = MakeReader(reads);
  auto shorter = MakeReader(reads);
  ASSERT_EQ(longer->AskChunk(0), 0);
  ASSERT_EQ(shorter->AskChunk(1), 0);
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*longer);
  engine_->SetBlocked(*shorter);
  auto needy = MakeReader(reads);
  ASSERT_EQ(needy->AskChunk(2), 0);
  EXPECT_EQ(longer->held.size(), 0u);
  EXPECT_EQ(shorter->held.size(), 1u);
}

TEST_F(ReadEngineTest, ReadAheadTakesFromThoseBlockedForLongOnly) {
  MakeEngine(2);
  auto reads = OpenFileOf(8 * kChunk);
  auto blocked = MakeReader(reads);
  ASSERT_EQ(blocked->AskChunk(0), 0);
  ASSERT_EQ(blocked->AskChunk(1), 0);
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*blocked);
  auto ahead = MakeReader(reads);
  EXPECT_EQ(ahead->AskChunk(2, Need::kAhead), ENOBUFS);
  EXPECT_EQ(blocked->held.size(), 2u);
  aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
  EXPECT_EQ(ahead->AskChunk(2, Need::kAhead), 0);
  EXPECT_EQ(ahead->AskChunk(3, Need::kAhead), 0);
  EXPECT_EQ(blocked->held.size(), 0u);
}

TEST_F(ReadEngineTest, NobodyLosesItsOwnChunkToItsOwnRequest) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*reader);
  EXPECT_EQ(reader->AskChunk(1, Need::kNow), ENOBUFS);
  aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
  // Its socket moves again: before the first byte goes out it reads ahead.
  EXPECT_EQ(reader->AskChunk(1, Need::kAhead), ENOBUFS);
  ASSERT_EQ(reader->held.size(), 1u);
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, ThoseInLineAreServedWhenSomebodyBlocks) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto holder = MakeReader(reads);
  holder->WantChunk(0);
  auto waiting = MakeReader(reads);
  waiting->WantChunk(1);
  Settle();
  aio_.CompleteAll();
  EXPECT_EQ(waiting->held.size(), 0u);
  engine_->SetBlocked(*holder);
  Settle();
  EXPECT_EQ(holder->held.size(), 0u);
  EXPECT_EQ(waiting->held.size(), 1u);
}

TEST_F(ReadEngineTest, AChunkThatIsSharedStaysWithThoseWhoMove) {
  MakeEngine(1);
  auto reads = OpenFileOf(8 * kChunk);
  auto blocked = MakeReader(reads);
  auto moving = MakeReader(reads);
  ASSERT_EQ(blocked->AskChunk(0), 0);
  ASSERT_EQ(moving->AskChunk(0), 0);
  Settle();
  aio_.CompleteAll();
  engine_->SetBlocked(*blocked);
  auto needy = MakeReader(reads);
  EXPECT_EQ(needy->AskChunk(1), ENOBUFS);
  EXPECT_TRUE(Holds(*moving->held[0]));
}

// --- How far ahead.

TEST_F(ReadEngineTest, TheWindowGrowsWithTheNumberOfStreams) {
  MakeEngine(1024);
  auto reads = OpenFileOf(kChunk);
  std::vector<std::unique_ptr<TestReader>> readers;
  unsigned last = 0;
  for (unsigned streams = 1; streams <= 32; ++streams) {
    readers.push_back(MakeReader(reads));
    const unsigned window = engine_->Window();
    EXPECT_GE(window, last) << streams;
    EXPECT_GE(window, ReadEngine::kWindowMin);
    EXPECT_LE(window, ReadEngine::kWindowMax);
    last = window;
  }
  EXPECT_EQ(last, ReadEngine::kWindowMax);
}

TEST_F(ReadEngineTest, AllWindowsTogetherFitIntoTheBudget) {
  MakeEngine(24);
  auto reads = OpenFileOf(kChunk);
  std::vector<std::unique_ptr<TestReader>> readers;
  for (unsigned streams = 1; streams <= 24; ++streams) {
    readers.push_back(MakeReader(reads));
    EXPECT_LE(engine_->Window() * streams, 24u) << streams;
  }
  for (unsigned streams = 25; streams <= 30; ++streams) {
    readers.push_back(MakeReader(reads));
    EXPECT_EQ(engine_->Window(), 1u);
  }
}

TEST_F(ReadEngineTest, BlockedReadersDoNotNarrowTheWindowOfOthers) {
  MakeEngine(8);
  auto reads = OpenFileOf(8 * kChunk);
  auto moving = MakeReader(reads);
  const unsigned alone = engine_->Window();
  std::vector<std::unique_ptr<TestReader>> blocked;
  for (uint64_t i = 0; i < 7; ++i) {
    blocked.push_back(MakeReader(reads));
    ASSERT_EQ(blocked.back()->AskChunk(i), 0);
  }
  Settle();
  aio_.CompleteAll();
  EXPECT_LT(engine_->Window(), alone);
  for (auto& reader : blocked) engine_->SetBlocked(*reader);
  EXPECT_EQ(engine_->Window(), alone);
}

}  // namespace
}  // namespace pollux
