// Transfers by direct reads with an io_context that the test plays, where every order of events can
// be had.
#include "core/aio/aio_backend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "tests/aio/played_transfer.h"

namespace pollux {
namespace {

class AioTransferTest : public PlayedTransferTest, public ::testing::WithParamInterface<Way> {
 protected:
  void MakeBackend(uint32_t chunks) { PlayedTransferTest::MakeBackend(GetParam(), chunks); }
};

TEST_P(AioTransferTest, SendsAFileAndFreesEveryChunk) {
  MakeBackend(8);
  const PatternFile file(dir_, 9 * kChunk + 1);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  std::string received;
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_EQ(received.size(), file.size());
  EXPECT_TRUE(HoldsPattern(received));
  EXPECT_EQ(FreeChunks(), 8u);
  EXPECT_EQ(aio_.stats().bytes_read, file.size());  // each byte once
  EXPECT_EQ(aio_.stats().bytes_sent, file.size());
}

TEST_P(AioTransferTest, ALateReadDoesNotKeepTheNextOnesFromTheDisk) {
  MakeBackend(64);
  const PatternFile file(dir_, 64 * kChunk);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  std::string received;
  while (received.size() < 32 * kChunk) {  // the window opens
    const auto outcome = transfer->Pump(kChunk);
    ASSERT_TRUE(outcome);
    received += loopback.ReadExactly(transfer->sent() - received.size());
    if (*outcome == Transfer::Outcome::kWaiting) aio_.CompleteAll();
  }
  // What is sent next is late; all else comes as soon as it was asked for.
  for (;;) {
    const auto outcome = transfer->Pump(1_MiB);
    ASSERT_TRUE(outcome);
    received += loopback.ReadExactly(transfer->sent() - received.size());
    aio_.Turn(4);
    if (*outcome == Transfer::Outcome::kWaiting && aio_.in_flight().size() == 1) break;
    EXPECT_LE(aio_.in_flight().size(), ReadEngine::kReadsMax);
    while (aio_.in_flight().size() > 1) aio_.CompleteFromFile(1);
    ready_ = 0;
    aio_.Turn(4);
    EXPECT_GT(ready_, 0);
  }
  EXPECT_EQ(64 - FreeChunks(), ReadEngine::kChunksMax);
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_EQ(received.size(), file.size());
  EXPECT_TRUE(HoldsPattern(received));
}

// So much a hot request may have to wait for.
TEST_P(AioTransferTest, APumpSendsAtMostAQuarterOfAMebibyteOfWhatWasRead) {
  MakeBackend(32);
  const PatternFile file(dir_, 32 * kChunk);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  uint64_t most = 0;
  for (uint64_t sent = 0; sent < file.size();) {
    ASSERT_TRUE(transfer->Pump(1_MiB));
    most = std::max(most, transfer->sent() - sent);
    loopback.ReadExactly(transfer->sent() - sent);
    sent = transfer->sent();
    aio_.CompleteAll();
  }
  EXPECT_EQ(most, 256_KiB);
}

TEST_P(AioTransferTest, AFailedReadIsAnErrorAndNothingOfItIsSent) {
  for (const int code : {EIO, ENODATA, ESTALE}) {
    MakeBackend(8);
    const PatternFile file(dir_, 4 * kChunk);
    Loopback loopback(aio_.kernel());
    auto transfer = Start(file.Open(aio_.kernel()), loopback);
    ASSERT_EQ(*transfer->Pump(kSlice), Transfer::Outcome::kWaiting);
    aio_.Turn(4);
    aio_.CompleteFromFile(0);
    aio_.Complete(0, -code);  // the second chunk
    aio_.Turn();
    std::string received;
    EXPECT_EQ(Finish(*transfer, loopback, received), code);
    EXPECT_EQ(transfer->sent(), kChunk);
    EXPECT_TRUE(HoldsPattern(received));
    transfer.reset();
    EXPECT_EQ(loopback.ReadSome(), "");
    backend_.reset();
    aio_.stats() = AioStats{};
  }
}

TEST_P(AioTransferTest, ATruncatedFileEndsTheTransferWithoutPadding) {
  MakeBackend(8);
  const PatternFile file(dir_, 4 * kChunk);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  file.Truncate(kChunk + 100);
  std::string received;
  EXPECT_EQ(Finish(*transfer, loopback, received), ENODATA);
  EXPECT_LE(received.size(), kChunk + 100);
  EXPECT_TRUE(HoldsPattern(received));
}

TEST_P(AioTransferTest, WhatCannotBeReadDirectlyGoesOutByTheFallback) {
  for (const int code : {EFAULT, EINVAL, EOPNOTSUPP, ENOMEM, EAGAIN}) {
    MakeBackend(8);
    const PatternFile file(dir_, 4 * kChunk + 77);
    Loopback loopback(aio_.kernel());
    auto transfer = Start(file.Open(aio_.kernel()), loopback);
    ASSERT_EQ(*transfer->Pump(kSlice), Transfer::Outcome::kWaiting);
    aio_.Turn(4);
    aio_.CompleteFromFile(0);
    while (!aio_.in_flight().empty()) aio_.Complete(0, -code);
    aio_.Turn();
    std::string received;
    EXPECT_EQ(Finish(*transfer, loopback, received), 0);
    EXPECT_EQ(received.size(), file.size());
    EXPECT_TRUE(HoldsPattern(received));
    EXPECT_EQ(aio_.stats().fallbacks, 1u);
    transfer.reset();
    backend_.reset();
    aio_.stats() = AioStats{};
  }
}

TEST_P(AioTransferTest, AFileThatCannotBeOpenedForDirectReadsIsSentAllTheSame) {
  for (const int code : {EINVAL, EMFILE, ENFILE, ENOMEM}) {
    MakeBackend(8);
    aio_.kernel().direct_open_error = code;
    const PatternFile file(dir_, 4 * kChunk + 77);
    Loopback loopback(aio_.kernel());
    auto transfer = Start(file.Open(aio_.kernel()), loopback, 1000);
    std::string received;
    EXPECT_EQ(Finish(*transfer, loopback, received), 0);
    EXPECT_EQ(received.size(), file.size() - 1000);
    EXPECT_TRUE(HoldsPattern(received, 1000));
    EXPECT_EQ(aio_.stats().fallbacks, 1u);
    EXPECT_EQ(FreeChunks(), 8u);
    transfer.reset();
    backend_.reset();
    aio_.stats() = AioStats{};
  }
}

TEST_P(AioTransferTest, AfterALongPauseUnderPressureTheBytesAreStillThoseOfTheirPlace) {
  MakeBackend(4);
  const PatternFile file(dir_, 16 * kChunk, 1, "paused");
  const PatternFile other(dir_, 16 * kChunk, 2, "other");
  Loopback slow(aio_.kernel(), kSmall);
  auto paused = Start(file.Open(aio_.kernel()), slow);
  Fill(*paused);
  aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
  // Another takes what it gave back.
  Loopback fast(aio_.kernel(), kSmall);
  auto greedy = Start(other.Open(aio_.kernel()), fast);
  ASSERT_EQ(*greedy->Pump(kSlice), Transfer::Outcome::kWaiting);
  aio_.CompleteAll();
  std::string received = slow.ReadSome();
  std::string of_other;
  ASSERT_EQ(Finish(*paused, slow, received), 0);
  EXPECT_TRUE(HoldsPattern(received, 0, 1));
  ASSERT_EQ(Finish(*greedy, fast, of_other), 0);
  EXPECT_TRUE(HoldsPattern(of_other, 0, 2));
  EXPECT_EQ(received.size(), file.size());
  EXPECT_EQ(FreeChunks(), 4u);
}

TEST_P(AioTransferTest, WhatWasDroppedUnderPressureIsReadAgain) {
  MakeBackend(1);
  const PatternFile file(dir_, 4 * kChunk, 1, "a");
  const PatternFile other(dir_, 4 * kChunk, 2, "b");
  Loopback first_end(aio_.kernel(), kSmall), second_end(aio_.kernel(), kSmall);
  auto first = Start(file.Open(aio_.kernel()), first_end);
  Fill(*first);
  auto second = Start(other.Open(aio_.kernel()), second_end);
  std::string received;
  ASSERT_EQ(Finish(*second, second_end, received), 0);  // takes the only chunk
  EXPECT_TRUE(HoldsPattern(received, 0, 2));
  EXPECT_GE(aio_.stats().reads_dropped, 1u);
  received.clear();
  ASSERT_EQ(Finish(*first, first_end, received), 0);
  EXPECT_EQ(received.size(), file.size());
  EXPECT_TRUE(HoldsPattern(received, 0, 1));
}

TEST_P(AioTransferTest, ASlowReaderDoesNotHaveEachChunkReadManyTimesOver) {
  MakeBackend(64);
  const PatternFile file(dir_, 24 * kChunk);
  Loopback loopback(aio_.kernel(), kSmall);
  auto transfer = Start(file.Open(aio_.kernel()), loopback);
  std::string received;
  for (int i = 0; i < 10'000 && received.size() < file.size(); ++i) {
    const auto outcome = transfer->Pump(kSlice);
    ASSERT_TRUE(outcome);
    if (*outcome == Transfer::Outcome::kWaiting) {
      aio_.CompleteAll();
    } else {  // a pause longer than the grace, then a little progress
      aio_.Pass(ReadEngine::kBlockedGrace + std::chrono::milliseconds(5));
      aio_.CompleteAll();
      received += loopback.ReadSome();
    }
  }
  ASSERT_EQ(received.size(), file.size());
  EXPECT_TRUE(HoldsPattern(received));
  EXPECT_LE(aio_.stats().bytes_read, file.size() * 5 / 4);
}

TEST_P(AioTransferTest, ThoseWhoNeverReadDoNotHoldUpTheOthers) {
  MakeBackend(4);
  const PatternFile file(dir_, 16 * kChunk, 1, "a");
  const PatternFile other(dir_, 16 * kChunk, 2, "b");
  std::vector<std::unique_ptr<Loopback>> ends;
  std::vector<std::unique_ptr<Transfer>> stuck;
  for (uint64_t i = 0; i < 12; ++i) {
    ends.push_back(std::make_unique<Loopback>(aio_.kernel(), kSmall));
    // Each at a place of its own: nothing is shared.
    stuck.push_back(Start(file.Open(aio_.kernel()), *ends.back(), i * kChunk));
    Fill(*stuck.back());
  }
  Loopback loopback(aio_.kernel());
  auto transfer = Start(other.Open(aio_.kernel()), loopback);
  std::string received;
  ASSERT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_TRUE(HoldsPattern(received, 0, 2));
  EXPECT_LE(aio_.stats().chunk_bytes_max, 4 * kChunk);
}

TEST_P(AioTransferTest, MayBeDestroyedAtEveryPoint) {
  const PatternFile file(dir_, 6 * kChunk);
  for (int steps = 0;; ++steps) {
    MakeBackend(4);
    Loopback loopback(aio_.kernel());
    auto transfer = Start(file.Open(aio_.kernel()), loopback);
    bool done = false;
    for (int i = 0; i < steps && !done; ++i) {
      switch (i % 3) {
        case 0: {
          const auto outcome = transfer->Pump(10'000);
          ASSERT_TRUE(outcome);
          done = *outcome == Transfer::Outcome::kDone;
          (void)loopback.ReadSome();
          break;
        }
        case 1:
          if (!aio_.in_flight().empty()) aio_.CompleteFromFile(aio_.in_flight().size() - 1);
          break;
        case 2:
          aio_.Turn();
          break;
      }
    }
    transfer.reset();
    aio_.Turn(4);
    aio_.CompleteAll();
    ASSERT_EQ(FreeChunks(), 4u) << "after " << steps << " steps";
    ASSERT_EQ(aio_.stats().reads_in_flight, 0u);
    ASSERT_EQ(aio_.stats().chunk_bytes, 0u);
    backend_.reset();
    aio_.stats() = AioStats{};
    if (done) break;
    ASSERT_LT(steps, 2000);
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, AioTransferTest, ::testing::Values(kPunch, kFresh, kCopy),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace pollux
