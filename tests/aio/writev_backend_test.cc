// Goal: the calls of the writev backend, one errno table for each of its two call sites, and that a
// byte which pread() did not return is never sent. Method: the seam mocked, strictly.
#include "core/aio/writev_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/aio/mock_transfer.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::InSequence;
using ::testing::Return;
using Outcome = Transfer::Outcome;

constexpr uint64_t kMuch = 1_GiB;

class WritevBackendTest : public MockTransferTest {
 protected:
  std::unique_ptr<Backend> backend_ = MakeWritevBackend(kernel_, stats_);
};

TEST_F(WritevBackendTest, ReadsAndSendsTheRangeAndNoMore) {
  auto transfer = backend_->Start(Request(10, 1000));
  InSequence s;
  ExpectPread(10, 1000, 1000);
  ExpectSend(10, 1000, 1000);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
  EXPECT_EQ(transfer->sent(), 1000u);
  EXPECT_EQ(stats_.bytes_sent, 1000u);
}

TEST_F(WritevBackendTest, EmptyRangeIsDoneWithoutACall) {
  auto transfer = backend_->Start(Request(0, 0));
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, LongRangeGoesThroughTheBufferPieceByPiece) {
  auto transfer = backend_->Start(Request(0, kWritevBufferBytes + 1));
  InSequence s;
  ExpectPread(0, kWritevBufferBytes, kWritevBufferBytes);
  ExpectSend(0, kWritevBufferBytes, kWritevBufferBytes);
  ExpectPread(kWritevBufferBytes, 1, 1);
  ExpectSend(kWritevBufferBytes, 1, 1);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, ShortReadSendsOnlyWhatWasReadAndGoesOn) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectPread(0, 1000, 300);
  ExpectSend(0, 300, 300);
  ExpectPread(300, 700, 700);
  ExpectSend(300, 700, 700);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, ShortSendIsContinuedAtTheFirstByteNotTaken) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectPread(0, 1000, 1000);
  ExpectSend(0, 1000, 333);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 333u);
  ExpectPread(333, 667, 667);
  ExpectSend(333, 667, 667);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
  EXPECT_EQ(stats_.bytes_sent, 1000u);
}

TEST_F(WritevBackendTest, TwoTransfersShareTheBufferWithoutMixing) {
  auto one = backend_->Start(Request(0, 100));
  auto other = backend_->Start(Request(5000, 100));
  InSequence s;
  ExpectPread(0, 100, 100);
  ExpectSend(0, 100, 40);
  EXPECT_THAT(one->Pump(kMuch), Is(Outcome::kSocketFull));
  ExpectPread(5000, 100, 100);
  ExpectSend(5000, 100, 100);
  EXPECT_THAT(other->Pump(kMuch), Is(Outcome::kDone));
  ExpectPread(40, 60, 60);
  ExpectSend(40, 60, 60);
  EXPECT_THAT(one->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, TurnsBytesAreRespected) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectPread(0, 600, 600);
  ExpectSend(0, 600, 600);
  EXPECT_THAT(transfer->Pump(600), Is(Outcome::kYield));
  ExpectPread(600, 400, 400);
  ExpectSend(600, 400, 400);
  EXPECT_THAT(transfer->Pump(600), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, EndOfFileBeforeTheEndOfTheRangeIsTruncation) {
  auto transfer = backend_->Start(Request(0, 1000));
  InSequence s;
  ExpectPread(0, 1000, 300);
  ExpectSend(0, 300, 300);
  ExpectPread(300, 700, 0);
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(ENODATA, "pread"));
  EXPECT_EQ(transfer->sent(), 300u);
}

TEST_F(WritevBackendTest, InterruptedReadIsMadeAgain) {
  auto transfer = backend_->Start(Request(0, 8));
  InSequence s;
  EXPECT_CALL(kernel_, pread(kFile, _, 8, 0)).WillOnce(Return(Err(EINTR, "pread")));
  ExpectPread(0, 8, 8);
  ExpectSend(0, 8, 8);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, InterruptedSendIsMadeAgainWithTheSameBytes) {
  auto transfer = backend_->Start(Request(0, 8));
  InSequence s;
  ExpectPread(0, 8, 8);
  EXPECT_CALL(kernel_, send(kSocket, _, 8, MSG_NOSIGNAL)).WillOnce(Return(Err(EINTR, "send")));
  ExpectSend(0, 8, 8);
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kDone));
}

TEST_F(WritevBackendTest, FullSocketIsNoError) {
  auto transfer = backend_->Start(Request(0, 8));
  ExpectPread(0, 8, 8);
  EXPECT_CALL(kernel_, send).WillOnce(Return(Err(EAGAIN, "send")));
  EXPECT_THAT(transfer->Pump(kMuch), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 0u);
}

class WritevReadErrnoTest : public WritevBackendTest, public ::testing::WithParamInterface<int> {};

TEST_P(WritevReadErrnoTest, EndsTheTransferAndNothingIsSent) {
  auto transfer = backend_->Start(Request(0, 8));
  EXPECT_CALL(kernel_, pread).WillOnce(Return(Err(GetParam(), "pread")));
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(GetParam(), "pread"));
  EXPECT_EQ(transfer->sent(), 0u);
}
INSTANTIATE_TEST_SUITE_P(PreadManPage, WritevReadErrnoTest,
                         ::testing::Values(EIO, EINVAL, ENOMEM, EISDIR, ESTALE, EOVERFLOW),
                         ErrnoNamer());

class WritevSendErrnoTest : public WritevBackendTest, public ::testing::WithParamInterface<int> {};

TEST_P(WritevSendErrnoTest, EndsTheTransfer) {
  auto transfer = backend_->Start(Request(0, 8));
  ExpectPread(0, 8, 8);
  EXPECT_CALL(kernel_, send).WillOnce(Return(Err(GetParam(), "send")));
  EXPECT_THAT(transfer->Pump(kMuch), FailsWith(GetParam(), "send"));
  EXPECT_EQ(stats_.bytes_sent, 0u);
}
INSTANTIATE_TEST_SUITE_P(SendManPage, WritevSendErrnoTest,
                         ::testing::Values(EPIPE, ECONNRESET, ENOMEM, ENOBUFS, EINVAL, ETIMEDOUT),
                         ErrnoNamer());

}  // namespace
}  // namespace pollux
