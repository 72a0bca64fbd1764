// Transfers by direct reads on a real kernel, or on one that fails on purpose: what they need, and
// clients that drive them as connections do.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/event/signals.h"
#include "tests/aio/loopback.h"
#include "tests/aio/played_transfer.h"

namespace pollux {

// Everything a transfer needs, and the readers' ends, in one thread.
class RealAio {
 public:
  RealAio(Kernel& kernel, CoordinationKind kind, bool epoll, const Way& way, uint64_t chunk_bytes,
          uint32_t chunks)
      : signals_(kernel) {
    if (epoll) {
      auto made = MakeEpollHandler(kernel);
      if (!made) return;
      handler_ = std::move(*made);
    } else {
      handler_ = MakePollHandler(kernel);
    }
    auto coordination = MakeCoordination(kind, kernel, *handler_, signals_);
    if (!coordination || !(*coordination)->Start()) return;
    coordination_ = std::move(*coordination);
    loop_ = std::make_unique<EventLoop>(kernel, *handler_, *coordination_);
    workers_ = std::make_unique<WorkerPool>(kernel, *loop_, 2);
    auto backend =
        MakePieces(kernel, *loop_, *workers_, stats_, way, chunk_bytes, chunks, /*depth=*/8);
    if (backend) backend_ = std::move(*backend);
  }
  ~RealAio() {
    if (workers_ != nullptr) workers_->Stop();
    if (coordination_ != nullptr) coordination_->Stop();
  }
  bool usable() const { return backend_ != nullptr; }
  EventLoop& loop() { return *loop_; }
  Backend& backend() { return *backend_; }
  AioStats& stats() { return stats_; }

 private:
  Signals signals_;
  AioStats stats_;
  std::unique_ptr<FdeventHandler> handler_;
  std::unique_ptr<Coordination> coordination_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<Backend> backend_;
};

// One transfer and its reader, as a connection would drive it.
class Client final : public TransferWaiter, private FdeventCallback, private Job {
 public:
  Client(Kernel& kernel, RealAio& aio, const std::shared_ptr<OpenFile>& file, uint64_t offset,
         uint64_t length)
      : aio_(aio), loopback_(kernel), offset_(offset), length_(length) {
    transfer_ = aio.backend().Start({loopback_.socket(), file, offset, length, this});
    aio_.loop().Post(*this);
  }
  bool ended() const { return ended_; }
  int error() const { return error_; }
  // The far end reads what there is.
  void Read() { received_ += loopback_.ReadSome(); }
  void Reset() { loopback_.Reset(); }
  // After the end: the rest, and whether what came is what the file holds.
  ::testing::AssertionResult Verify(uint16_t seed) {
    loopback_.CloseNear();
    received_ += loopback_.ReadToEnd();
    if (error_ == 0 && received_.size() != length_) {
      return ::testing::AssertionFailure() << received_.size() << " of " << length_ << " bytes";
    }
    if (received_.size() > length_) return ::testing::AssertionFailure() << "too many bytes";
    return HoldsPattern(received_, offset_, seed);
  }

 private:
  void OnTransferReady() override { aio_.loop().Post(*this); }
  void OnFdevent(uint32_t) override {
    writable_.Reset();
    aio_.loop().Post(*this);
  }
  void RunJob() override {
    if (ended_) return;
    const auto outcome = transfer_->Pump(kSlice);
    if (!outcome) return End(outcome.error().code);
    switch (*outcome) {
      case Transfer::Outcome::kDone:
        return End(0);
      case Transfer::Outcome::kYield:
        return aio_.loop().Post(*this);
      case Transfer::Outcome::kWaiting:
        return;
      case Transfer::Outcome::kSocketFull:
        break;
    }
    if (writable_.valid()) return;
    auto registered = aio_.loop().Register(loopback_.socket()->get(), POLLOUT, this);
    if (!registered) return End(registered.error().code);
    writable_ = std::move(*registered);
  }
  void End(int error) {
    ended_ = true;
    error_ = error;
    writable_.Reset();
    transfer_.reset();
  }

  RealAio& aio_;
  Loopback loopback_;
  const uint64_t offset_;
  const uint64_t length_;
  Registration writable_;
  std::unique_ptr<Transfer> transfer_;
  std::string received_;
  bool ended_ = false;
  int error_ = 0;
};

// Turns until all have ended and nothing is in flight; the readers read every millisecond. False if
// that takes longer than a stall could explain.
inline bool RunToTheEnd(RealAio& aio, std::vector<std::unique_ptr<Client>>& clients) {
  Timer tick([] {});
  const TimePoint give_up = aio.loop().now() + std::chrono::seconds(20);
  for (;;) {
    bool ended = aio.stats().reads_in_flight == 0 && aio.stats().reads_queued == 0;
    for (auto& client : clients) {
      client->Read();
      ended = ended && client->ended();
    }
    if (ended) return true;
    if (aio.loop().now() > give_up) return false;
    aio.loop().timers().Arm(tick, aio.loop().now() + std::chrono::milliseconds(1));
    if (!aio.loop().RunOnce()) return false;
  }
}

inline void ExpectNothingLeft(const AioStats& stats) {
  EXPECT_EQ(stats.chunk_bytes, stats.chunks_lost * (stats.chunk_bytes_max > 0 ? 64_KiB : 0));
  for (const ChunkState state : {ChunkState::kReading, ChunkState::kReady, ChunkState::kSending}) {
    EXPECT_EQ(stats.chunks[static_cast<int>(state)], 0u) << ToString(state);
  }
  EXPECT_EQ(stats.reads_in_flight, 0u);
  EXPECT_EQ(stats.reads_queued, 0u);
  EXPECT_EQ(stats.stale_completions, 0u);
}

inline size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

}  // namespace pollux
