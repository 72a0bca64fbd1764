// A queue on an io_context that the test plays, whose reads are numbers: read i is for chunk i,
// through descriptor 100 + i, at block i.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <ostream>
#include <vector>

#include "core/aio/aio_queue.h"
#include "core/aio/chunk.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {

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
    EnqueueOf(100 + static_cast<int>(chunk), chunk, may_block, length);
  }
  void EnqueueOf(int fd, uint32_t chunk, bool may_block = false, size_t length = 4096) {
    queue_->Enqueue({.chunk = &chunks_[chunk],
                     .fd = fd,
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

  bool OnWouldBlock(Chunk& chunk, int error) override {
    would_block_.push_back({chunk.index, -error});
    return wanted_;
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

  // What must be true at any time when no call is under way. `came_back`: completions so far that
  // were not the last answer.
  void ExpectBooksBalance(uint64_t came_back = 0) {
    EXPECT_EQ(aio_.coordination().pending, aio_.in_flight().size());
    EXPECT_EQ(aio_.stats().reads_in_flight, aio_.in_flight().size());
    EXPECT_EQ(aio_.stats().reads_submitted,
              aio_.stats().reads_completed + aio_.in_flight().size() + came_back);
    EXPECT_EQ(aio_.stats().read_latency.count(), aio_.stats().reads_completed);
    EXPECT_EQ(aio_.stats().stale_completions, 0u);
  }

  using Chunks = std::vector<uint32_t>;
  using Sizes = std::vector<size_t>;

  ScriptedAio aio_;
  char buffer_[kReads]{};
  std::array<Chunk, kReads> chunks_;
  std::vector<Answer> answers_;
  std::vector<Answer> would_block_;
  bool wanted_ = true;  // what would block shall be submitted by a worker
  std::function<void(Chunk&)> on_read;
  std::unique_ptr<AioQueue> queue_;
};

}  // namespace pollux
