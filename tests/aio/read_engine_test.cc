// One reader: how a read is cut, continued and failed, through which descriptor it goes, and who
// submits it.
#include "core/aio/read_engine.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>

#include "tests/aio/read_engine_fixture.h"

namespace pollux {
namespace {

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
  CompleteReads();
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
  for (const int code : {EINVAL, ENOENT, EACCES}) {
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

// What is short now may be there for the next one, though the file is never let go of meanwhile.
TEST_F(ReadEngineTest, AShortageAtTheDirectOpenIsToldAndTheNextOneTriesAgain) {
  MakeEngine(8);
  auto reads = OpenFileOf(4 * kChunk);
  for (const int code : {EMFILE, ENFILE, ENOMEM}) {
    aio_.kernel().direct_open_error = code;
    auto reader = MakeReader(reads);
    ASSERT_EQ(reader->AskChunk(0), 0);
    ASSERT_EQ(reader->AskChunk(1), 0);
    Settle();
    EXPECT_EQ(reader->told.size(), 2u);
    for (const Chunk* chunk : reader->held) EXPECT_EQ(chunk->error.code, code);
    EXPECT_EQ(reads->direct(), FileReads::Direct::kUnknown);
  }
  aio_.kernel().direct_open_error = 0;
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  CompleteReads();
  EXPECT_TRUE(Holds(*reader->held[0]));
  EXPECT_EQ(aio_.kernel().direct_opens, 4u);
}

TEST_F(ReadEngineTest, WhoIsToldOfAShortageMayTryAgainFromInsideTheNews) {
  MakeEngine(8);
  auto reads = OpenFileOf(4 * kChunk);
  aio_.kernel().direct_open_error = EMFILE;
  auto impatient = MakeReader(reads);
  auto other = MakeReader(reads);
  ASSERT_EQ(impatient->AskChunk(0), 0);
  ASSERT_EQ(other->AskChunk(1), 0);
  impatient->on_chunk = [&] {
    aio_.kernel().direct_open_error = 0;
    impatient->on_chunk = {};
    EXPECT_EQ(impatient->AskChunk(2), 0);
  };
  CompleteReads();
  EXPECT_EQ(other->held[0]->error.code, EMFILE);
  EXPECT_TRUE(Holds(*impatient->held[1]));
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
    CompleteReads();
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

TEST_F(ReadEngineTest, AFileThatDoesNotKnowNowaitIsAskedWithItOnce) {
  MakeEngine(8);
  auto reads = OpenFileOf(32 * kChunk);
  auto reader = MakeReader(reads);
  const auto read_chunks = [&](uint64_t from) {
    for (uint64_t i = from; i < from + 8; ++i) ASSERT_EQ(reader->AskChunk(i), 0);
    CompleteReads();
    for (const Chunk* chunk : reader->held) EXPECT_TRUE(Holds(*chunk));
    ASSERT_EQ(reader->held.size(), 8u);
    reader->DropChunks(0);
  };
  read_chunks(0);  // every chunk's pages, and the file's extents
  aio_.kernel().submit_answers = {Err(EOPNOTSUPP, "io_submit")};
  aio_.kernel().batches.clear();
  read_chunks(8);
  EXPECT_EQ(aio_.kernel().batches, (std::vector<size_t>{8, 8}));
  aio_.kernel().batches.clear();
  const uint64_t jobs_before = aio_.workers().inline_runs();
  read_chunks(16);
  read_chunks(24);
  EXPECT_EQ(aio_.kernel().batches, (std::vector<size_t>{8, 8}));
  EXPECT_EQ(aio_.workers().inline_runs(), jobs_before + 2);
  EXPECT_EQ(aio_.stats().failed_reads, 0u);
}

TEST_F(ReadEngineTest, AReadThatWouldBlockIsNotRepeatedForNobody) {
  MakeEngine(1);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  CompleteReads();
  reader->DropChunks(0);
  ASSERT_EQ(reader->AskChunk(1), 0);
  Settle();
  reader->DropChunks(0);
  EXPECT_EQ(Count(ChunkState::kReading), 1u);
  aio_.Complete(0, -EAGAIN);
  Settle();
  EXPECT_TRUE(aio_.in_flight().empty());
  EXPECT_EQ(Count(ChunkState::kFree), 1u);
  EXPECT_EQ(aio_.stats().failed_reads, 0u);
  ASSERT_EQ(reader->AskChunk(1), 0);  // the memory serves whoever is next
  CompleteReads();
  EXPECT_TRUE(Holds(*reader->held[0]));
}

TEST_F(ReadEngineTest, PunchedMemoryIsFilledByAWorker) {
  MakeEngine(1, 8, true);
  auto reads = OpenFileOf(4 * kChunk);
  auto reader = MakeReader(reads);
  ASSERT_EQ(reader->AskChunk(0), 0);
  CompleteReads();
  engine_->MarkSending(*reader->held[0]);
  reader->Release();
  const uint64_t jobs_before = aio_.workers().inline_runs();
  ASSERT_EQ(reader->AskChunk(1), 0);  // the file is known, but the pages have to be made
  Settle();
  EXPECT_EQ(aio_.workers().inline_runs(), jobs_before + 1);
  aio_.CompleteAll();
  EXPECT_TRUE(reader->held[0]->sendable());
}

}  // namespace
}  // namespace pollux
