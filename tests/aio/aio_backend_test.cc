// Transfers by direct reads. First with an io_context that the test plays, where every order of
// events can be had; then on the real kernel, by every coordination and for every awkward size;
// then there again with one call after the other failing.
#include "core/aio/aio_backend.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "core/aio/chunk_memory.h"
#include "core/aio/threads_backend.h"
#include "core/event/signals.h"
#include "core/sys/linux_kernel.h"
#include "fakes/fault_kernel.h"
#include "tests/aio/loopback.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {
namespace {

constexpr uint64_t kSlice = 128_KiB;

struct Way {
  const char* name;
  std::optional<Retire> by_reference;  // nothing: by copy
};
constexpr Way kPunch{"Punch", Retire::kPunch};
constexpr Way kFresh{"Fresh", Retire::kFresh};
constexpr Way kCopy{"Copy", std::nullopt};

// The pieces as MakeBackend puts them together. The memory may be refused.
Result<std::unique_ptr<Backend>> MakePieces(Kernel& kernel, EventLoop& loop, WorkerPool& workers,
                                            AioStats& stats, const Way& way, uint64_t chunk_bytes,
                                            uint32_t chunks, unsigned depth) {
  auto memory = way.by_reference ? MakeShmMemory(kernel, chunk_bytes, chunks, *way.by_reference, "")
                                 : MakeCopyMemory(kernel, chunk_bytes, chunks);
  if (!memory) return Err(memory.error());
  auto queue = AioQueue::Create(kernel, loop, workers, depth, stats);
  if (!queue) return Err(queue.error());
  auto pool = std::make_unique<ChunkPool>(std::move(*memory), chunk_bytes, chunks, stats);
  auto engine =
      std::make_unique<ReadEngine>(loop, workers, std::move(*queue), std::move(pool), stats);
  return MakeAioBackend(kernel, std::move(engine), MakeThreadsBackend(kernel, workers, stats),
                        std::nullopt, stats);
}

// --- Played.

class AioTransferTest : public ::testing::TestWithParam<Way>, public TransferWaiter {
 protected:
  static constexpr uint64_t kChunk = 64_KiB;
  ~AioTransferTest() override { aio_.workers().Stop(); }

  void MakeBackend(uint32_t chunks) {
    auto backend = MakePieces(aio_.kernel(), aio_.loop(), aio_.workers(), aio_.stats(), GetParam(),
                              kChunk, chunks, 32);
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

TEST_P(AioTransferTest, AFileSystemWithoutDirectReadsIsNoError) {
  MakeBackend(8);
  aio_.kernel().direct_open_error = EINVAL;
  const PatternFile file(dir_, 4 * kChunk + 77);
  Loopback loopback(aio_.kernel());
  auto transfer = Start(file.Open(aio_.kernel()), loopback, 1000);
  std::string received;
  EXPECT_EQ(Finish(*transfer, loopback, received), 0);
  EXPECT_EQ(received.size(), file.size() - 1000);
  EXPECT_TRUE(HoldsPattern(received, 1000));
  EXPECT_EQ(FreeChunks(), 8u);
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

// --- On the real kernel.

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
bool RunToTheEnd(RealAio& aio, std::vector<std::unique_ptr<Client>>& clients) {
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

void ExpectNothingLeft(const AioStats& stats) {
  EXPECT_EQ(stats.chunk_bytes, stats.chunks_lost * (stats.chunk_bytes_max > 0 ? 64_KiB : 0));
  for (const ChunkState state : {ChunkState::kReading, ChunkState::kReady, ChunkState::kSending}) {
    EXPECT_EQ(stats.chunks[static_cast<int>(state)], 0u) << ToString(state);
  }
  EXPECT_EQ(stats.reads_in_flight, 0u);
  EXPECT_EQ(stats.reads_queued, 0u);
  EXPECT_EQ(stats.stale_completions, 0u);
}

size_t OpenDescriptors() {
  size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

struct RealCase {
  const char* name;
  CoordinationKind coordination;
  bool epoll;
  Way way;
};

class RealTransferTest : public ::testing::TestWithParam<RealCase> {
 protected:
  // `clients` transfers of [offset, offset + length) through `chunks` chunks.
  void ExpectExact(const PatternFile& file, uint16_t seed, uint64_t chunk_bytes,
                   const std::vector<std::pair<uint64_t, uint64_t>>& ranges, uint32_t chunks) {
    RealAio aio(kernel_, GetParam().coordination, GetParam().epoll, GetParam().way, chunk_bytes,
                chunks);
    ASSERT_TRUE(aio.usable());
    {
      const auto open = file.Open(kernel_);
      std::vector<std::unique_ptr<Client>> clients;
      for (const auto& [offset, length] : ranges) {
        clients.push_back(std::make_unique<Client>(kernel_, aio, open, offset, length));
      }
      ASSERT_TRUE(RunToTheEnd(aio, clients));
      for (size_t i = 0; i < clients.size(); ++i) {
        EXPECT_EQ(clients[i]->error(), 0);
        EXPECT_TRUE(clients[i]->Verify(seed))
            << "chunk " << chunk_bytes << ", file " << file.size() << ", range " << ranges[i].first
            << "+" << ranges[i].second;
      }
    }
    ExpectNothingLeft(aio.stats());
    EXPECT_LE(aio.stats().chunk_bytes_max, chunk_bytes * chunks);
    EXPECT_EQ(aio.stats().fallbacks, 0u);
  }

  const TempDir dir_;
  LinuxKernel kernel_;
};

TEST_P(RealTransferTest, EverySizeArrivesExactly) {
  uint16_t seed = 1;
  for (const uint64_t chunk : {4_KiB, 8_KiB, 512_KiB}) {
    for (const uint64_t size : {uint64_t{0}, uint64_t{1}, 4_KiB - 1, 4_KiB, 4_KiB + 1, chunk - 1,
                                chunk, chunk + 1, 5 * chunk + 1}) {
      const PatternFile file(dir_, size, ++seed);
      ExpectExact(file, seed, chunk, {{0, size}}, 4);
    }
  }
}

TEST_P(RealTransferTest, RangesOffEveryBoundaryArriveExactly) {
  for (const uint64_t chunk : {4_KiB, 8_KiB, 512_KiB}) {
    const PatternFile file(dir_, 3 * chunk + 17, 7);
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const uint64_t from : {uint64_t{0}, uint64_t{1}, uint64_t{511}, uint64_t{4095}, chunk - 1,
                                chunk, chunk + 1, 3 * chunk, 3 * chunk + 16}) {
      const uint64_t left = file.size() - from;
      for (const uint64_t length : {uint64_t{1}, uint64_t{513}, chunk + 1, left}) {
        ranges.emplace_back(from, std::min(length, left));
      }
    }
    ExpectExact(file, 7, chunk, ranges, 16);
  }
}

TEST_P(RealTransferTest, OneChunkServesManyTransfers) {
  const PatternFile file(dir_, 8 * 64_KiB + 5, 3);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t i = 0; i < 12; ++i) ranges.emplace_back(i * 40'000, file.size() - i * 40'000);
  ExpectExact(file, 3, 64_KiB, ranges, 1);
}

TEST_P(RealTransferTest, ClientsThatResetLeaveNothingBehind) {
  const PatternFile file(dir_, 64 * 64_KiB, 4);
  const size_t descriptors = OpenDescriptors();
  {
    RealAio aio(kernel_, GetParam().coordination, GetParam().epoll, GetParam().way, 64_KiB, 8);
    ASSERT_TRUE(aio.usable());
    {
      const auto open = file.Open(kernel_);
      std::vector<std::unique_ptr<Client>> clients;
      for (int i = 0; i < 8; ++i) {
        clients.push_back(std::make_unique<Client>(kernel_, aio, open, 0, file.size()));
      }
      for (int i = 0; i < 8; i += 2) {
        ASSERT_TRUE(aio.loop().RunOnce());
        clients[static_cast<size_t>(i)]->Reset();
      }
      ASSERT_TRUE(RunToTheEnd(aio, clients));
      for (size_t i = 0; i < clients.size(); ++i) {
        if (i % 2 == 0) {
          EXPECT_TRUE(clients[i]->error() == EPIPE || clients[i]->error() == ECONNRESET)
              << clients[i]->error();
        } else {
          EXPECT_EQ(clients[i]->error(), 0);
          EXPECT_TRUE(clients[i]->Verify(4));
        }
      }
    }
    ExpectNothingLeft(aio.stats());
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, RealTransferTest,
    ::testing::Values(RealCase{"EventfdEpollPunch", CoordinationKind::kEventfd, true, kPunch},
                      RealCase{"EventfdPollCopy", CoordinationKind::kEventfd, false, kCopy},
                      RealCase{"MaskedEpollCopy", CoordinationKind::kMasked, true, kCopy},
                      RealCase{"MaskedPollPunch", CoordinationKind::kMasked, false, kPunch},
                      RealCase{"MaskedEpollFresh", CoordinationKind::kMasked, true, kFresh},
                      RealCase{"EventfdEpollFresh", CoordinationKind::kEventfd, true, kFresh}),
    [](const auto& tested) { return tested.param.name; });

// --- One call after the other fails. Whatever it is: no wrong byte, nothing left behind, and an
// end, of each transfer, good or bad.

struct FaultCase {
  const char* rule;  // without its number
  Way way;
  CoordinationKind coordination;
};

class FaultSweepTest : public ::testing::TestWithParam<FaultCase> {};

TEST_P(FaultSweepTest, OfEachCallOnceLeavesEveryByteRight) {
  LinuxKernel linux;
  const TempDir dir;
  const PatternFile file(dir, 5 * 64_KiB + 123, 6);
  const size_t descriptors = OpenDescriptors();
  for (uint64_t n = 1;; ++n) {
    const std::string number = std::to_string(n);
    const std::string rule = std::string(GetParam().rule) + ":first=" + number + ":last=" + number;
    SCOPED_TRACE(rule);
    auto rules = ParseFaultRules(rule);
    ASSERT_TRUE(rules) << rules.error();
    const FaultCall call = (*rules)[0].call;
    FaultKernel kernel(linux, *rules);
    {
      RealAio aio(kernel, GetParam().coordination, true, GetParam().way, 64_KiB, 3);
      if (aio.usable()) {
        {
          const auto open = file.Open(kernel);
          std::vector<std::unique_ptr<Client>> clients;
          for (uint64_t i = 0; i < 2; ++i) {
            clients.push_back(
                std::make_unique<Client>(kernel, aio, open, i * 70'000, file.size() - i * 70'000));
          }
          ASSERT_TRUE(RunToTheEnd(aio, clients));
          for (auto& client : clients) EXPECT_TRUE(client->Verify(6));
        }
        ExpectNothingLeft(aio.stats());
      }
    }
    EXPECT_EQ(OpenDescriptors(), descriptors);
    if (kernel.struck(call) == 0) break;
    ASSERT_LT(n, 1000u);
    if (HasFailure()) break;
  }
}

constexpr CoordinationKind kE = CoordinationKind::kEventfd;
constexpr CoordinationKind kM = CoordinationKind::kMasked;
INSTANTIATE_TEST_SUITE_P(
    Calls, FaultSweepTest,
    ::testing::Values(
        FaultCase{"io_submit:EAGAIN", kPunch, kE}, FaultCase{"io_submit:EAGAIN", kCopy, kM},
        FaultCase{"io_submit:ENOMEM", kCopy, kE}, FaultCase{"io_submit:EINVAL", kPunch, kM},
        FaultCase{"io_submit:EBADF", kCopy, kE}, FaultCase{"io_submit:EINTR", kCopy, kE},
        FaultCase{"io_submit:short=1", kPunch, kM}, FaultCase{"aio_read:EIO", kPunch, kE},
        FaultCase{"aio_read:EIO", kCopy, kM}, FaultCase{"aio_read:EFAULT", kPunch, kE},
        FaultCase{"aio_read:EINVAL", kCopy, kE}, FaultCase{"aio_read:EAGAIN", kFresh, kM},
        FaultCase{"aio_read:short=4096", kPunch, kE}, FaultCase{"aio_read:short=8192", kCopy, kM},
        FaultCase{"sendfile:EAGAIN", kPunch, kE}, FaultCase{"sendfile:EINTR", kFresh, kE},
        FaultCase{"sendfile:EIO", kPunch, kE}, FaultCase{"sendfile:ECONNRESET", kFresh, kE},
        FaultCase{"sendfile:short=1", kPunch, kM}, FaultCase{"send:EAGAIN", kCopy, kE},
        FaultCase{"send:EINTR", kCopy, kE}, FaultCase{"send:EPIPE", kCopy, kE},
        FaultCase{"send:ENOBUFS", kCopy, kM}, FaultCase{"send:short=1", kCopy, kE},
        FaultCase{"fallocate:EINTR", kPunch, kE}, FaultCase{"fallocate:ENOMEM", kPunch, kE},
        FaultCase{"fallocate:EOPNOTSUPP", kPunch, kM}, FaultCase{"openat:EINVAL", kPunch, kE},
        FaultCase{"openat:EMFILE", kCopy, kE}, FaultCase{"openat:EINTR", kCopy, kE},
        FaultCase{"statx:ENOSYS", kCopy, kE}, FaultCase{"memfd_create:EMFILE", kFresh, kE},
        FaultCase{"ftruncate:EINTR", kFresh, kE}, FaultCase{"ftruncate:ENOMEM", kFresh, kE},
        FaultCase{"mmap:ENOMEM", kFresh, kE}, FaultCase{"madvise:EINVAL", kFresh, kE},
        FaultCase{"madvise:ENOMEM", kFresh, kM}, FaultCase{"thread_create:EAGAIN", kCopy, kM},
        FaultCase{"thread_create:EAGAIN", kPunch, kE}, FaultCase{"epoll_pwait:EINTR", kCopy, kE},
        FaultCase{"epoll_pwait:EINTR", kPunch, kM}, FaultCase{"io_getevents:EINTR", kCopy, kE},
        FaultCase{"io_getevents:short=1", kCopy, kE},
        FaultCase{"io_pgetevents:EINTR", kPunch, kM}));

}  // namespace
}  // namespace pollux
