// What io_submit answers, on the loop and on a worker: short counts, shortages that pass, and reads
// that it refuses.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/uio.h>

#include <cerrno>
#include <string>
#include <vector>

#include "tests/aio/aio_queue_fixture.h"

namespace pollux {
namespace {

using AioSubmitTest = AioQueueTest;

TEST_F(AioSubmitTest, AfterAShortCountTheRestIsAskedForAgain) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {2, 1};
  EnqueueFirst(5);
  aio_.Turn();
  EXPECT_EQ(batches(), (Sizes{5, 3, 2}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1, 2, 3, 4}));
  EXPECT_EQ(aio_.coordination().withdrawn, 0u);
  ExpectBooksBalance();
}

TEST_F(AioSubmitTest, AnInterruptedSubmitIsRepeated) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {Err(EINTR, "io_submit"), 1, Err(EINTR, "io_submit")};
  EnqueueFirst(2);
  aio_.Turn();
  EXPECT_EQ(batches(), (Sizes{2, 2, 1, 1}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
  ExpectBooksBalance();
}

class AioSubmitShortageTest : public AioQueueTest, public ::testing::WithParamInterface<int> {};

TEST_P(AioSubmitShortageTest, QueuesTheRestInOrderUntilACompletionMakesRoom) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {2, Err(GetParam(), "io_submit")};
  EnqueueFirst(4);
  aio_.Turn();
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
  EXPECT_EQ(aio_.coordination().withdrawn, 2u);
  EXPECT_EQ(aio_.stats().submit_again, 1u);
  EXPECT_EQ(aio_.stats().reads_queued, 2u);
  ExpectBooksBalance();

  Enqueue(4);  // no reason to ask again
  const size_t asked = batches().size();
  aio_.Complete(0, 4096);
  EXPECT_EQ(batches().size(), asked);
  const TimePoint before = aio_.kernel().now;
  aio_.Turn();
  EXPECT_EQ(aio_.kernel().now, before);  // at once, and not by the timer
  EXPECT_EQ(InFlight(), (Chunks{1, 2, 3, 4}));
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, 4096}}));
  ExpectBooksBalance();
}

TEST_P(AioSubmitShortageTest, AsksAgainInAWhileWhenNothingIsInFlight) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {Err(GetParam(), "io_submit"), Err(GetParam(), "io_submit")};
  EnqueueFirst(2);
  aio_.Turn();
  const TimePoint refused = aio_.kernel().now;
  EXPECT_TRUE(InFlight().empty());
  EXPECT_EQ(batches().size(), 1u);
  while (batches().size() < 3 && aio_.kernel().now < refused + std::chrono::seconds(1)) {
    aio_.Turn();
  }
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
  // Neither spinning nor sleeping for long.
  EXPECT_GE(aio_.kernel().now, refused + 2 * AioQueue::kSubmitRetry);
  EXPECT_LE(aio_.kernel().now, refused + 3 * AioQueue::kSubmitRetry);
  EXPECT_TRUE(answers_.empty());
  ExpectBooksBalance();
}

TEST_P(AioSubmitShortageTest, IsTheSameForAWorker) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {1, Err(GetParam(), "io_submit")};
  Enqueue(0, true);
  Enqueue(1, true);
  Enqueue(2, true);
  aio_.Turn(2);  // out and back; a third turn would sleep until the next attempt
  EXPECT_EQ(InFlight(), Chunks{0});
  EXPECT_EQ(aio_.coordination().withdrawn, 2u);
  aio_.Complete(0, 4096);
  aio_.Turn(3);
  EXPECT_EQ(InFlight(), (Chunks{1, 2}));
  EXPECT_EQ(aio_.workers().inline_runs(), 2u);  // a worker again
  ExpectBooksBalance();
}

INSTANTIATE_TEST_SUITE_P(Errnos, AioSubmitShortageTest, ::testing::Values(EAGAIN, ENOMEM),
                         [](const auto& tested) { return ErrnoName(tested.param); });

class AioSubmitRefusalTest : public AioQueueTest, public ::testing::WithParamInterface<int> {};

TEST_P(AioSubmitRefusalTest, FailsOneReadAndTheOthersGoOut) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {2, Err(GetParam(), "io_submit")};
  EnqueueFirst(5);
  aio_.Turn(2);
  EXPECT_EQ(answers_, (std::vector<Answer>{{2, -GetParam()}}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1, 3, 4}));
  ExpectBooksBalance();
}

TEST_P(AioSubmitRefusalTest, OfEveryReadFailsEachOnce) {
  MakeQueue(8);
  for (int i = 0; i < 3; ++i) {
    aio_.kernel().submit_answers.push_back(Err(GetParam(), "io_submit"));
  }
  EnqueueFirst(3);
  aio_.Turn(5);
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, -GetParam()}, {1, -GetParam()}, {2, -GetParam()}}));
  EXPECT_EQ(batches(), (Sizes{3, 2, 1}));
  ExpectBooksBalance();
}

TEST_P(AioSubmitRefusalTest, IsTheSameForAWorker) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {1, Err(GetParam(), "io_submit")};
  for (uint32_t i = 0; i < 3; ++i) Enqueue(i, true);
  aio_.Turn(4);
  EXPECT_EQ(answers_, (std::vector<Answer>{{1, -GetParam()}}));
  EXPECT_EQ(InFlight(), (Chunks{0, 2}));
  ExpectBooksBalance();
}

INSTANTIATE_TEST_SUITE_P(Errnos, AioSubmitRefusalTest, ::testing::Values(EINVAL, EBADF, EFAULT),
                         [](const auto& tested) { return ErrnoName(tested.param); });

TEST_F(AioSubmitTest, WithoutAThreadForTheHelperNothingIsSubmittedAndEveryReadIsAnswered) {
  MakeQueue(8);
  aio_.coordination().refuse_submit = EAGAIN;
  EnqueueFirst(3);
  Enqueue(3, true);
  EXPECT_TRUE(answers_.empty());  // never from inside Enqueue
  aio_.Turn(2);
  EXPECT_TRUE(batches().empty());
  ASSERT_EQ(answers_.size(), 4u);
  for (const Answer& answer : answers_) EXPECT_EQ(answer.result, -EAGAIN);
  ExpectBooksBalance();

  aio_.coordination().refuse_submit = 0;  // and it was not for ever
  for (uint32_t i = 0; i < 8; ++i) Enqueue(i);
  aio_.Turn();
  EXPECT_EQ(InFlight().size(), 8u);
}

// --- The loop does not wait.

TEST_F(AioSubmitTest, OnlyAWorkerMayBlock) {
  MakeQueue(8);
  Enqueue(0);
  Enqueue(1, true);
  aio_.Turn(2);
  for (const auto& read : aio_.in_flight()) {
    const bool on_loop = read.request.aio_fildes == 100;
    EXPECT_EQ(read.request.aio_rw_flags, on_loop ? RWF_NOWAIT : 0) << read.request.aio_fildes;
  }
  EXPECT_EQ(aio_.in_flight().size(), 2u);
}

TEST_F(AioSubmitTest, WhatWouldBlockIsLeftToAWorkerAndNobodyIsTold) {
  uint64_t came_back = 0;
  for (const int code : {EAGAIN, EOPNOTSUPP}) {
    MakeQueue(8);
    answers_.clear();
    const uint64_t inline_runs = aio_.workers().inline_runs();
    EnqueueFirst(2);
    aio_.Turn();
    aio_.Complete(0, -code);
    aio_.Turn(2);
    EXPECT_THAT(answers_, ::testing::IsEmpty());
    EXPECT_EQ(InFlight(), (Chunks{1, 0}));
    EXPECT_EQ(aio_.in_flight()[1].request.aio_rw_flags, 0);
    EXPECT_EQ(aio_.workers().inline_runs(), inline_runs + 1);
    aio_.Complete(1, 4096);
    aio_.Complete(0, 4096);
    aio_.Turn();
    EXPECT_EQ(answers_, (std::vector<Answer>{{0, 4096}, {1, 4096}}));
    ExpectBooksBalance(++came_back);
    EXPECT_EQ(aio_.stats().reads_left_to_workers, came_back);
    queue_.reset();
  }
}

TEST_F(AioSubmitTest, AFileSystemThatDoesNotKnowTheFlagIsReadByAWorker) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {Err(EOPNOTSUPP, "io_submit")};
  EnqueueFirst(2);
  aio_.Turn(3);
  EXPECT_THAT(answers_, ::testing::IsEmpty());
  EXPECT_THAT(InFlight(), ::testing::UnorderedElementsAre(0, 1));
  EXPECT_EQ(aio_.workers().inline_runs(), 1u);
  ExpectBooksBalance();
}

// One read of the other file goes first, one is between, and one of the same file would not go out
// in this turn.
TEST_F(AioSubmitTest, OneReadThatIsRefusedForItsFileTakesTheOthersOfThatFileWithIt) {
  MakeQueue(16);
  aio_.kernel().submit_answers = {1, Err(EOPNOTSUPP, "io_submit")};
  EnqueueOf(300, 10);
  for (uint32_t i = 0; i < 4; ++i) EnqueueOf(200, i);
  EnqueueOf(300, 11);
  for (uint32_t i = 4; i < 8; ++i) EnqueueOf(200, i, false, 3_MiB);
  aio_.Turn(3);
  EXPECT_THAT(answers_, ::testing::IsEmpty());
  std::vector<Answer> all;
  for (uint32_t i = 0; i < 8; ++i) all.push_back({i, -EOPNOTSUPP});
  EXPECT_EQ(would_block_, all);
  // All that fitted into the turn, then the rest from the refused one on; then the worker's batch,
  // and what was left for the loop.
  EXPECT_EQ(batches(), (Sizes{8, 7, 8, 1}));
  EXPECT_EQ(aio_.in_flight().size(), 10u);
  for (const auto& read : aio_.in_flight()) {
    const bool on_loop = read.request.aio_fildes == 300;
    EXPECT_EQ(read.request.aio_rw_flags, on_loop ? RWF_NOWAIT : 0);
  }
  EXPECT_EQ(aio_.workers().inline_runs(), 1u);
  EXPECT_EQ(aio_.stats().reads_queued, 0u);
  EXPECT_EQ(aio_.stats().reads_left_to_workers, 8u);
  ExpectBooksBalance();
}

TEST_F(AioSubmitTest, AReadIsTimedOnceAndFromItsFirstSubmit) {
  using std::chrono::milliseconds;
  MakeQueue(8);
  EnqueueFirst(1);
  aio_.Turn();
  aio_.kernel().now += milliseconds(30);
  aio_.Complete(0, -EAGAIN);
  aio_.Turn(3);
  ASSERT_EQ(aio_.in_flight().size(), 1u);
  EXPECT_EQ(aio_.stats().read_latency.count(), 0u);
  EXPECT_EQ(aio_.stats().reads_completed, 0u);
  aio_.kernel().now += milliseconds(20);
  aio_.Complete(0, 4096);
  aio_.Turn();
  EXPECT_EQ(aio_.stats().read_latency.count(), 1u);
  EXPECT_GE(aio_.stats().read_latency.sum(), milliseconds(50));
  ExpectBooksBalance(1);
}

TEST_F(AioSubmitTest, WhatWouldBlockAndIsNotWantedAnyMoreEnds) {
  MakeQueue(8);
  wanted_ = false;
  EnqueueFirst(2);
  aio_.Turn();
  aio_.Complete(0, -EAGAIN);
  aio_.Turn(2);
  EXPECT_EQ(InFlight(), Chunks{1});
  EXPECT_THAT(answers_, ::testing::IsEmpty());
  EXPECT_EQ(aio_.workers().inline_runs(), 0u);
  EXPECT_EQ(aio_.stats().reads_left_to_workers, 0u);
  EXPECT_EQ(aio_.stats().reads_queued, 0u);
  ExpectBooksBalance(1);
}

// A read that only would block says nothing of the others.
TEST_F(AioSubmitTest, AReadThatWouldBlockLeavesTheOthersOfItsFileToTheLoop) {
  MakeQueue(2);
  for (uint32_t i = 0; i < 4; ++i) EnqueueOf(200, i);
  aio_.Turn();
  aio_.Complete(0, -EAGAIN);
  aio_.Turn(2);
  EXPECT_EQ(would_block_, (std::vector<Answer>{{0, -EAGAIN}}));
  aio_.Complete(0, 4096);
  aio_.Complete(0, 4096);
  aio_.Turn(2);
  ASSERT_EQ(aio_.in_flight().size(), 2u);
  for (const auto& read : aio_.in_flight()) EXPECT_EQ(read.request.aio_rw_flags, RWF_NOWAIT);
}

TEST_F(AioSubmitTest, WhatAWorkerIsToldIsTheAnswer) {
  MakeQueue(8);
  Enqueue(0, true);
  aio_.Turn(2);
  aio_.Complete(0, -EAGAIN);
  aio_.Turn();
  Enqueue(1, true);
  aio_.kernel().submit_answers = {Err(EOPNOTSUPP, "io_submit")};
  aio_.Turn(3);
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, -EAGAIN}, {1, -EOPNOTSUPP}}));
  ExpectBooksBalance();
}

}  // namespace
}  // namespace pollux
