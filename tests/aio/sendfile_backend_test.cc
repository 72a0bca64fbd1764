// Goal: the calls of linux-sendfile and of the step that it shares with threads-sendfile, and what
// each errno of sendfile(2) leads to. Method: the seam mocked, strictly.
#include "core/aio/sendfile_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/aio/send_step.h"
#include "tests/aio/mock_transfer.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::InSequence;
using ::testing::Pointee;
using ::testing::Return;
using Outcome = Transfer::Outcome;

constexpr uint64_t kMuch = 1_GiB;

class SendfileBackendTest : public MockTransferTest {
 protected:
  void ExpectSendfile(off_t offset, size_t count, Result<size_t> result) {
    EXPECT_CALL(kernel_, sendfile(kSocket, kFile, Pointee(offset), count)).WillOnce(Return(result));
  }

  std::unique_ptr<Backend> backend_ = MakeSendfileBackend(kernel_, stats_);
};

TEST_F(SendfileBackendTest, SendsTheRangeInOneCall) {
  auto transfer = backend_->Start(Request(10, 1000));
  ExpectSendfile(10, 1000, 1000);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
  EXPECT_EQ(transfer->sent(), 1000u);
  EXPECT_EQ(stats_.bytes_sent, 1000u);
}

TEST_F(SendfileBackendTest, EmptyRangeIsDoneWithoutACall) {
  auto transfer = backend_->Start(Request(0, 0));
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(SendfileBackendTest, ShortCountMeansAFullSocketAndNoSecondCall) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 1000, 333);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 333u);
  ExpectSendfile(333, 667, 667);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
  EXPECT_EQ(stats_.bytes_sent, 1000u);
}

TEST_F(SendfileBackendTest, FullSocketIsNoError) {
  auto transfer = backend_->Start(Request(0, 8));
  ExpectSendfile(0, 8, Err(EAGAIN, "sendfile"));
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 0u);
}

TEST_F(SendfileBackendTest, InterruptedCallIsMadeAgain) {
  auto transfer = backend_->Start(Request(0, 8));
  InSequence s;
  ExpectSendfile(0, 8, Err(EINTR, "sendfile"));
  ExpectSendfile(0, 8, 8);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(SendfileBackendTest, TurnsBytesAreRespected) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 600, 600);
  EXPECT_THAT(transfer->Pump(600), Is(Outcome::kYield));
  ExpectSendfile(600, 400, 400);
  EXPECT_THAT(transfer->Pump(600), Is(Outcome::kDone));
}

TEST_F(SendfileBackendTest, EndOfFileBeforeTheEndOfTheRangeIsTruncation) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 1000, 300);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  ExpectSendfile(300, 700, 0);
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(ENODATA, "sendfile"));
  EXPECT_EQ(transfer->sent(), 300u);
}

TEST_F(SendfileBackendTest, MoreThanOneCallCanCarryTakesSeveral) {
  constexpr size_t kCallMax = 0x7ffff000;
  InSequence s;
  ExpectSendfile(5, kCallMax, kCallMax);
  ExpectSendfile(5 + off_t{kCallMax}, 10, 10);
  const SendStep step = SendfileStep(kernel_, kSocket, kFile, 5, kCallMax + 10);
  EXPECT_EQ(step.end, SendStep::End::kAll);
  EXPECT_EQ(step.bytes, kCallMax + 10);
}

TEST_F(SendfileBackendTest, BytesTakenBeforeAnErrorAreCounted) {
  constexpr size_t kCallMax = 0x7ffff000;
  InSequence s;
  ExpectSendfile(0, kCallMax, kCallMax);
  ExpectSendfile(off_t{kCallMax}, 10, Err(EIO, "sendfile"));
  const SendStep step = SendfileStep(kernel_, kSocket, kFile, 0, kCallMax + 10);
  EXPECT_EQ(step.end, SendStep::End::kFailed);
  EXPECT_EQ(step.error.code, EIO);
  EXPECT_EQ(step.bytes, kCallMax);
}

// A file system without splice_read: sendfile() says EINVAL, the bytes go out by way of a copy.
class SendfileOfWhatCannotBeSplicedTest : public SendfileBackendTest {
 protected:
  static constexpr uint64_t kPiece = 64_KiB;
};

TEST_F(SendfileOfWhatCannotBeSplicedTest, TheRangeIsCopiedPieceByPiece) {
  auto transfer = backend_->Start(Request(10, kPiece + 5));
  InSequence s;
  ExpectSendfile(10, kPiece + 5, Err(EINVAL, "sendfile"));
  ExpectPread(10, kPiece, kPiece);
  ExpectSend(10, kPiece, kPiece);
  ExpectPread(10 + kPiece, 5, 5);
  ExpectSend(10 + kPiece, 5, 5);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
  EXPECT_EQ(transfer->sent(), kPiece + 5);
  EXPECT_EQ(stats_.bytes_sent, kPiece + 5);
}

TEST_F(SendfileOfWhatCannotBeSplicedTest, AFullSocketIsContinuedWhereItStopped) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 1000, Err(EINVAL, "sendfile"));
  ExpectPread(0, 1000, 1000);
  ExpectSend(0, 1000, 300);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 300u);
  ExpectSendfile(300, 700, Err(EINVAL, "sendfile"));
  ExpectPread(300, 700, 700);
  EXPECT_CALL(kernel_, send).WillOnce(Return(Err(EAGAIN, "send")));
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 300u);
}

TEST_F(SendfileOfWhatCannotBeSplicedTest, TheTurnsBytesAreRespected) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 600, Err(EINVAL, "sendfile"));
  ExpectPread(0, 600, 600);
  ExpectSend(0, 600, 600);
  EXPECT_THAT(transfer->Pump(600), Is(Outcome::kYield));
}

TEST_F(SendfileOfWhatCannotBeSplicedTest, WhatTheReadSaysInsteadEndsTheTransfer) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 1000, Err(EINVAL, "sendfile"));
  EXPECT_CALL(kernel_, pread).WillOnce(Return(Err(EIO, "pread")));
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(EIO, "pread"));
}

TEST_F(SendfileOfWhatCannotBeSplicedTest, ATruncatedFileIsNotPadded) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectSendfile(0, 1000, Err(EINVAL, "sendfile"));
  ExpectPread(0, 1000, 300);
  ExpectSend(0, 300, 300);
  ExpectPread(300, 700, 0);
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(ENODATA, "pread"));
  EXPECT_EQ(transfer->sent(), 300u);
}

// What sendfile() moved before it refused counts, and the copy begins behind it.
TEST_F(SendfileOfWhatCannotBeSplicedTest, TheCopyBeginsWhereSendfileStopped) {
  constexpr size_t kCallMax = 0x7ffff000;
  InSequence s;
  ExpectSendfile(8, kCallMax, kCallMax);
  ExpectSendfile(8 + off_t{kCallMax}, 16, Err(EINVAL, "sendfile"));
  ExpectPread(8 + uint64_t{kCallMax}, 16, 16);
  ExpectSend(8 + uint64_t{kCallMax}, 16, 7);
  const SendStep step = SendfileStep(kernel_, kSocket, kFile, 8, kCallMax + 16);
  EXPECT_EQ(step.end, SendStep::End::kSocketFull);
  EXPECT_EQ(step.bytes, kCallMax + 7);
}

class SendfileErrnoTest : public SendfileBackendTest, public ::testing::WithParamInterface<int> {};

TEST_P(SendfileErrnoTest, EndsTheTransfer) {
  auto transfer = backend_->Start(Request(0, 8));
  ExpectSendfile(0, 8, Err(GetParam(), "sendfile"));
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(GetParam(), "sendfile"));
  EXPECT_EQ(transfer->sent(), 0u);
  EXPECT_EQ(stats_.bytes_sent, 0u);
}
INSTANTIATE_TEST_SUITE_P(SendfileManPage, SendfileErrnoTest,
                         ::testing::Values(EIO, ENOMEM, EPIPE, ECONNRESET, ETIMEDOUT, EOVERFLOW),
                         ErrnoNamer());

}  // namespace
}  // namespace pollux
