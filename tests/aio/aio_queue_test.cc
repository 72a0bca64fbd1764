// From the line of reads to io_submit and back, with an io_context that the test plays: every
// answer of io_submit(2), completions at every moment, late ones included.
#include "core/aio/aio_queue.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/aio/chunk.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {
namespace {

class AioQueueTest : public ::testing::Test, public ReadOwner {
 protected:
  static constexpr size_t kReads = 32;

  // An answer: which read (its chunk's index), and how it ended.
  struct Answer {
    uint32_t chunk;
    long result;  // a count, or -errno
    friend bool operator==(const Answer&, const Answer&) = default;
    friend void PrintTo(const Answer& answer, std::ostream* out) {
      *out << "chunk " << answer.chunk << ": " << answer.result;
    }
  };

  ~AioQueueTest() override { aio_.workers().Stop(); }

  void MakeQueue(unsigned depth) {
    auto queue = AioQueue::Create(aio_.kernel(), aio_.loop(), aio_.workers(), depth, aio_.stats());
    ASSERT_TRUE(queue);
    queue_ = std::move(*queue);
    queue_->set_owner(this);
    for (uint32_t i = 0; i < kReads; ++i) chunks_[i].index = i;
  }

  void Enqueue(uint32_t chunk, bool may_block = false, size_t length = 4096) {
    queue_->Enqueue({.chunk = &chunks_[chunk],
                     .fd = 100 + static_cast<int>(chunk),
                     .buffer = buffer_ + chunk,
                     .length = length,
                     .offset = 4096 * chunk,
                     .may_block = may_block});
  }
  void EnqueueFirst(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) Enqueue(i);
  }

  void OnRead(Chunk& chunk, Result<size_t> result) override {
    answers_.push_back({chunk.index, result ? static_cast<long>(*result) : -result.error().code});
    if (on_read) on_read(chunk);
  }

  // The chunks whose reads the kernel holds, oldest first.
  std::vector<uint32_t> InFlight() {
    std::vector<uint32_t> out;
    for (const auto& read : aio_.in_flight()) {
      out.push_back(static_cast<uint32_t>(read.request.aio_fildes - 100));
    }
    return out;
  }
  std::vector<size_t>& batches() { return aio_.kernel().batches; }

  // What must be true at any time when no call is under way.
  void ExpectBooksBalance() {
    EXPECT_EQ(aio_.coordination().pending, aio_.in_flight().size());
    EXPECT_EQ(aio_.stats().reads_in_flight, aio_.in_flight().size());
    EXPECT_EQ(aio_.stats().reads_submitted, aio_.stats().reads_completed + aio_.in_flight().size());
    EXPECT_EQ(aio_.stats().stale_completions, 0u);
  }

  using Chunks = std::vector<uint32_t>;
  using Sizes = std::vector<size_t>;

  ScriptedAio aio_;
  char buffer_[kReads]{};
  std::array<Chunk, kReads> chunks_;
  std::vector<Answer> answers_;
  std::function<void(Chunk&)> on_read;
  std::unique_ptr<AioQueue> queue_;
};

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
  for (const int code : {EIO, EFAULT, ENOMEM, EINVAL, EAGAIN, ECANCELED}) {
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

// --- What io_submit answers.

TEST_F(AioQueueTest, AfterAShortCountTheRestIsAskedForAgain) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {2, 1};
  EnqueueFirst(5);
  aio_.Turn();
  EXPECT_EQ(batches(), (Sizes{5, 3, 2}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1, 2, 3, 4}));
  EXPECT_EQ(aio_.coordination().withdrawn, 0u);
  ExpectBooksBalance();
}

TEST_F(AioQueueTest, AnInterruptedSubmitIsRepeated) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {Err(EINTR, "io_submit"), 1, Err(EINTR, "io_submit")};
  EnqueueFirst(2);
  aio_.Turn();
  EXPECT_EQ(batches(), (Sizes{2, 2, 1, 1}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1}));
  ExpectBooksBalance();
}

class AioQueueShortageTest : public AioQueueTest, public ::testing::WithParamInterface<int> {};

TEST_P(AioQueueShortageTest, QueuesTheRestInOrderUntilACompletionMakesRoom) {
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
  aio_.Turn(2);
  EXPECT_EQ(InFlight(), (Chunks{1, 2, 3, 4}));
  EXPECT_EQ(answers_, (std::vector<Answer>{{0, 4096}}));
  ExpectBooksBalance();
}

TEST_P(AioQueueShortageTest, AsksAgainInAWhileWhenNothingIsInFlight) {
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

TEST_P(AioQueueShortageTest, IsTheSameForAWorker) {
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

INSTANTIATE_TEST_SUITE_P(Errnos, AioQueueShortageTest, ::testing::Values(EAGAIN, ENOMEM),
                         [](const auto& tested) { return ErrnoName(tested.param); });

class AioQueueRefusalTest : public AioQueueTest, public ::testing::WithParamInterface<int> {};

TEST_P(AioQueueRefusalTest, FailsOneReadAndTheOthersGoOut) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {2, Err(GetParam(), "io_submit")};
  EnqueueFirst(5);
  aio_.Turn(2);
  EXPECT_EQ(answers_, (std::vector<Answer>{{2, -GetParam()}}));
  EXPECT_EQ(InFlight(), (Chunks{0, 1, 3, 4}));
  ExpectBooksBalance();
}

TEST_P(AioQueueRefusalTest, OfEveryReadFailsEachOnce) {
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

TEST_P(AioQueueRefusalTest, IsTheSameForAWorker) {
  MakeQueue(8);
  aio_.kernel().submit_answers = {1, Err(GetParam(), "io_submit")};
  for (uint32_t i = 0; i < 3; ++i) Enqueue(i, true);
  aio_.Turn(4);
  EXPECT_EQ(answers_, (std::vector<Answer>{{1, -GetParam()}}));
  EXPECT_EQ(InFlight(), (Chunks{0, 2}));
  ExpectBooksBalance();
}

INSTANTIATE_TEST_SUITE_P(Errnos, AioQueueRefusalTest,
                         ::testing::Values(EINVAL, EBADF, EFAULT, EOPNOTSUPP),
                         [](const auto& tested) { return ErrnoName(tested.param); });

TEST_F(AioQueueTest, WithoutAThreadForTheHelperNothingIsSubmittedAndEveryReadIsAnswered) {
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
