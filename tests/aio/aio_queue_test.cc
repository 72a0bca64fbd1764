// Reads on their way to an io_context and back: which slot they take, in which turn they go, and
// who hears of their end.
#include "core/aio/aio_queue.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "tests/aio/aio_queue_fixture.h"

namespace pollux {
namespace {

// --- Out and back.

TEST_F(AioQueueTest, WhatIsEnqueuedInATurnGoesOutInOneSubmitAtItsEnd) {
  MakeQueue(8);
  EnqueueFirst(3);
  EXPECT_TRUE(batches().empty());
  EXPECT_EQ(aio_.stats().reads_queued, 3u);
  aio_.Turn();
  EXPECT_EQ(batches(), Sizes{3});
  EXPECT_EQ(InFlight(), (Chunks{0, 1, 2}));
  EXPECT_EQ(aio_.stats().reads_queued, 0u);
  EXPECT_TRUE(answers_.empty());
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, AnIocbSaysWhatTheReadSaid) {
  MakeQueue(8);
  EXPECT_EQ(aio_.kernel().depth, 8u);
  EXPECT_EQ(aio_.coordination().attached_depth, 8u);
  Enqueue(5, false, 8192);
  aio_.Turn();
  const iocb& request = aio_.in_flight()[0].request;
  EXPECT_EQ(request.aio_lio_opcode, IO_CMD_PREAD);
  EXPECT_EQ(request.aio_fildes, 105u);
  EXPECT_EQ(request.u.c.buf, buffer_ + 5);
  EXPECT_EQ(request.u.c.nbytes, 8192u);
  EXPECT_EQ(request.u.c.offset, 5 * 4096);
}

TEST_F(AioQueueTest, ACompletionTellsTheOwnerItsCount) {
  MakeQueue(8);
  EnqueueFirst(2);
  aio_.Turn();
  aio_.Complete(1, 4096);
  aio_.Complete(0, 17);  // short
  aio_.Turn();
  EXPECT_EQ(answers_, (std::vector<Answer>{{1, 4096}, {0, 17}}));
  EXPECT_EQ(aio_.stats().bytes_read, 4113u);
  EXPECT_EQ(aio_.stats().read_latency.count(), 2u);
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, ANegativeResultIsItsErrno) {
  MakeQueue(8);
  EnqueueFirst(1);
  for (const int code : {EIO, EFAULT, ENOMEM, EINVAL, ECANCELED}) {
    aio_.Turn();
    aio_.Complete(0, -code);
    aio_.Turn();
    EXPECT_EQ(answers_.back(), (Answer{0, -code}));
    Enqueue(0);
  }
  EXPECT_EQ(aio_.stats().bytes_read, 0u);
}

TEST_F(AioQueueTest, AnOwnerMayEnqueueFromItsAnswer) {
  MakeQueue(1);
  on_read = [this](Chunk& chunk) {
    if (chunk.index < 5) Enqueue(chunk.index + 1);
  };
  EnqueueFirst(1);
  for (uint32_t i = 0; i <= 5; ++i) {
    aio_.Turn();
    ASSERT_EQ(InFlight(), Chunks{i});
    aio_.Complete(0, 1);
  }
  aio_.Turn();
  EXPECT_EQ(answers_.size(), 6u);
  ExpectBooksBalance();
}

// --- The table of iocbs.

TEST_F(AioQueueTest, AFullTableQueuesAndEachCompletionLetsTheNextOneIn) {
  MakeQueue(2);
  EnqueueFirst(5);
  aio_.Turn(3);
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
  EXPECT_EQ(aio_.stats().reads_queued, 3u);
  aio_.Complete(1, 1);
  aio_.Turn();
  EXPECT_EQ(InFlight(), (Chunks{0, 2}));
  aio_.Complete(0, 1);
  aio_.Complete(0, 1);
  aio_.Turn();
  EXPECT_EQ(InFlight(), (Chunks{3, 4}));
  EXPECT_EQ(answers_.size(), 3u);
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, ACompletionMayComeBeforeSubmitReturns) {
  MakeQueue(4);
  aio_.kernel().inside_submit = [this] {
    while (!aio_.in_flight().empty()) aio_.Complete(0, 4096);
  };
  EnqueueFirst(4);
  aio_.Turn(2);
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, 4096}, {1, 4096}, {2, 4096}, {3, 4096}}));
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, ACompletionMayBeDispatchedBeforeTheWorkerThatSubmittedItIsBack) {
  MakeQueue(2);
  aio_.kernel().submit_answers = {1, Err(EAGAIN, "io_submit")};
  aio_.kernel().inside_submit = [this] {
    while (!aio_.in_flight().empty()) aio_.Complete(0, 4096);
  };
  // The completion of 0 is dispatched first, and its slot given to 2; then the worker's job comes
  // back, and says that 1 was not taken.
  Enqueue(0, true);
  Enqueue(1, true);
  Enqueue(2);
  aio_.Turn();
  EXPECT_EQ(batches(), (Sizes{2, 1}));
  EXPECT_TRUE(answers_.empty());
  aio_.kernel().inside_submit = nullptr;
  aio_.Turn();
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, 4096}}));
  aio_.Pass(2 * AioQueue::kSubmitRetry);
  while (!aio_.in_flight().empty()) {
    aio_.Complete(0, 8);
    aio_.Turn(3);
  }
  ASSERT_EQ(answers_.size(), 3u);
  EXPECT_NE(answers_[1].chunk, answers_[2].chunk);
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, AStaleCompletionReachesNobody) {
  MakeQueue(1);
  EnqueueFirst(1);
  aio_.Turn();
  io_event late{};
  late.data = aio_.in_flight()[0].request.data;
  late.res = 4096;
  aio_.Complete(0, 1);
  aio_.Turn();
  ASSERT_EQ(answers_.size(), 1u);

  queue_->OnCompletion({late, aio_.kernel().now});  // its slot is free
  EXPECT_EQ(aio_.stats().stale_completions, 1u);

  Enqueue(7);
  aio_.Turn();
  ASSERT_EQ(InFlight(), Chunks{7});
  queue_->OnCompletion({late, aio_.kernel().now});  // its slot is another read's
  EXPECT_EQ(aio_.stats().stale_completions, 2u);
  EXPECT_EQ(answers_.size(), 1u);
  aio_.Complete(0, 2);
  aio_.Turn();
  EXPECT_EQ(answers_.back(), (Answer{7, 2}));
}

TEST_F(AioQueueTest, WhatWasPutBackHasANewGeneration) {
  MakeQueue(1);
  aio_.kernel().submit_answers = {Err(EAGAIN, "io_submit")};
  EnqueueFirst(1);
  aio_.Turn();
  aio_.Pass(2 * AioQueue::kSubmitRetry);
  ASSERT_EQ(InFlight(), Chunks{0});
  aio_.Complete(0, 9);
  aio_.Turn();
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, 9}}));
  ExpectBooksBalance();
}

// --- Bounds.

TEST_F(AioQueueTest, TheLoopSubmitsABoundedNumberOfBytesATurn) {
  MakeQueue(32);
  for (uint32_t i = 0; i < 20; ++i) Enqueue(i, false, 1_MiB);
  static_assert(AioQueue::kSubmitBytesPerTurn == 8_MiB);
  aio_.Turn();
  EXPECT_EQ(InFlight().size(), 8u);
  aio_.Turn();
  EXPECT_EQ(InFlight().size(), 16u);
  aio_.Turn();
  EXPECT_EQ(InFlight().size(), 20u);
  EXPECT_EQ(batches(), (Sizes{8, 8, 4}));
}

TEST_F(AioQueueTest, AReadOfMoreThanTheBoundGoesOutAlone) {
  MakeQueue(32);
  Enqueue(0, false, 64_MiB);
  Enqueue(1, false, 64_MiB);
  aio_.Turn();
  EXPECT_EQ(InFlight(), Chunks{0});
  aio_.Turn();
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
}

TEST_F(AioQueueTest, WhatMayBlockIsSubmittedByAWorker) {
  MakeQueue(32);
  Enqueue(0, true);
  Enqueue(1, false);
  aio_.Turn();
  EXPECT_EQ(aio_.workers().inline_runs(), 1u);
  EXPECT_EQ(batches(), (Sizes{1, 1}));
  aio_.Turn();
  ExpectBooksBalance();
}

// --- Beginning and end.

TEST_F(AioQueueTest, WhatIoSetupRefusesIsReported) {
  for (const int code : {EAGAIN, ENOMEM, ENOSYS, EINVAL}) {
    aio_.kernel().setup_error = code;
    auto queue = AioQueue::Create(aio_.kernel(), aio_.loop(), aio_.workers(), 8, aio_.stats());
    ASSERT_FALSE(queue);
    EXPECT_EQ(queue.error().code, code);
  }
  EXPECT_EQ(aio_.coordination().attached_depth, 0u);
}

TEST_F(AioQueueTest, TheEndWaitsForWhatIsInFlightAndHearsNothingMore) {
  MakeQueue(4);
  EnqueueFirst(2);
  aio_.Turn();
  io_event late{};
  late.data = aio_.in_flight()[0].request.data;
  queue_.reset();
  EXPECT_EQ(aio_.kernel().contexts, 0u);  // io_destroy was called
  aio_.coordination().Complete(late);
  aio_.Turn();
  EXPECT_TRUE(answers_.empty());
}

}  // namespace
}  // namespace pollux
