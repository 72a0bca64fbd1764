// Transfers by direct reads, put together as MakeBackend does it, on an io_context that the test
// plays: every order of events can be had.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>

#include "core/aio/aio_backend.h"
#include "core/aio/chunk_memory.h"
#include "core/aio/threads_backend.h"
#include "tests/aio/loopback.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {

inline constexpr uint64_t kSlice = 128_KiB;

struct Way {
  const char* name;
  std::optional<Retire> by_reference;  // nothing: by copy
};
inline constexpr Way kPunch{"Punch", Retire::kPunch};
inline constexpr Way kFresh{"Fresh", Retire::kFresh};
inline constexpr Way kCopy{"Copy", std::nullopt};

// The pieces as MakeBackend puts them together. The memory may be refused.
inline Result<std::unique_ptr<Backend>> MakePieces(Kernel& kernel, EventLoop& loop,
                                                   WorkerPool& workers, AioStats& stats,
                                                   const Way& way, uint64_t chunk_bytes,
                                                   uint32_t chunks, unsigned depth,
                                                   std::optional<AutoSending> automatic = {}) {
  auto memory = way.by_reference ? MakeShmMemory(kernel, chunk_bytes, chunks, *way.by_reference, "")
                                 : MakeCopyMemory(kernel, chunk_bytes, chunks);
  if (!memory) return Err(memory.error());
  auto queue = AioQueue::Create(kernel, loop, workers, depth, stats);
  if (!queue) return Err(queue.error());
  auto pool = std::make_unique<ChunkPool>(std::move(*memory), chunk_bytes, chunks, stats);
  auto engine =
      std::make_unique<ReadEngine>(loop, workers, std::move(*queue), std::move(pool), stats);
  return MakeAioBackend(kernel, std::move(engine), MakeThreadsBackend(kernel, workers, stats),
                        std::move(automatic), stats);
}

class PlayedTransferTest : public ::testing::Test, public TransferWaiter {
 protected:
  static constexpr uint64_t kChunk = 64_KiB;
  ~PlayedTransferTest() override { aio_.workers().Stop(); }

  void MakeBackend(const Way& way, uint32_t chunks, std::optional<AutoSending> automatic = {}) {
    auto backend = MakePieces(aio_.kernel(), aio_.loop(), aio_.workers(), aio_.stats(), way, kChunk,
                              chunks, 32, std::move(automatic));
    ASSERT_TRUE(backend);
    backend_ = std::move(*backend);
  }
  std::unique_ptr<Transfer> Start(const std::shared_ptr<OpenFile>& file, Loopback& loopback,
                                  uint64_t offset = 0, uint64_t length = ~uint64_t{0}) {
    return backend_->Start(
        {loopback.socket(), file, offset, std::min(length, file->size() - offset), this});
  }
  void OnTransferReady() override { ++ready_; }

  // Pumps until the end or an error (its errno), with a reader that reads at once.
  int Finish(Transfer& transfer, Loopback& loopback, std::string& received) {
    for (int i = 0; i < 10'000; ++i) {
      const auto outcome = transfer.Pump(kSlice);
      received += loopback.ReadSome();
      if (!outcome) return outcome.error().code;
      if (*outcome == Transfer::Outcome::kDone) {
        received += loopback.ReadExactly(transfer.sent() - received.size());
        return 0;
      }
      if (*outcome == Transfer::Outcome::kWaiting) aio_.CompleteAll();
    }
    ADD_FAILURE() << "no end after " << received.size() << " bytes";
    return -1;
  }
  // Pumps, with nobody reading, until the socket is full.
  void Fill(Transfer& transfer) {
    for (int i = 0; i < 1000; ++i) {
      const auto outcome = transfer.Pump(kSlice);
      ASSERT_TRUE(outcome);
      ASSERT_NE(*outcome, Transfer::Outcome::kDone);
      if (*outcome == Transfer::Outcome::kSocketFull) return;
      if (*outcome == Transfer::Outcome::kWaiting) aio_.CompleteAll();
    }
    ADD_FAILURE() << "the socket takes everything";
  }
  uint64_t FreeChunks() { return aio_.stats().chunks[static_cast<int>(ChunkState::kFree)]; }

  static constexpr Loopback::Options kSmall{.send_buffer = 16384, .receive_buffer = 16384};
  const TempDir dir_;
  ScriptedAio aio_;
  int ready_ = 0;
  std::unique_ptr<Backend> backend_;
};

}  // namespace pollux
