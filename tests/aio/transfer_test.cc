// Goal: what every backend promises (backend.h), under both sound coordinations: the right bytes in
// the right place whatever the reader does, no byte that was not read, and an error where the
// answer cannot be completed. Method: real files, a TCP connection over loopback and the whole
// loop; the far end reads late, slowly, in parts, resets, or never reads.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "core/sys/linux_kernel.h"
#include "tests/aio/world.h"

namespace pollux {
namespace {

constexpr uint64_t kChunk = 64_KiB;

struct Range {
  uint64_t offset;
  uint64_t length;
};

class TransferTest : public ::testing::TestWithParam<std::tuple<BackendKind, CoordinationKind>> {
 protected:
  TransferTest() : world_(kernel_, std::get<1>(GetParam())) {
    BackendOptions options;
    options.kind = std::get<0>(GetParam());
    options.chunk_bytes = kChunk;
    options.aio_depth = 16;
    options.buffer_budget_bytes = 32 * kChunk;
    world_.MakeBackendOf(options);
  }

  // Sends the range to a reader that starts at once; checks every byte and the end.
  void ExpectExact(const PatternFile& file, Range range, uint64_t bytes_per_turn = ~uint64_t{0}) {
    SCOPED_TRACE(::testing::Message() << range.length << " bytes at " << range.offset);
    Loopback loopback(kernel_);
    Receiver receiver(world_, loopback, bytes_per_turn);
    Sender sender(world_, loopback.socket(), file.Open(kernel_), range.offset, range.length);
    loopback.CloseNear();
    ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
    ASSERT_TRUE(sender.ended());
    EXPECT_TRUE(sender.result()) << ToString(sender.result().error());
    EXPECT_EQ(sender.sent(), range.length);
    ASSERT_EQ(receiver.bytes().size(), range.length);
    EXPECT_TRUE(HoldsPattern(receiver.bytes(), range.offset));
  }

  // A transfer of all of `file` that has filled the socket of somebody who does not read.
  std::unique_ptr<Sender> BlockedSender(Loopback& loopback, std::shared_ptr<OpenFile> file) {
    const uint64_t size = file->size();
    auto sender = std::make_unique<Sender>(world_, loopback.socket(), std::move(file), 0, size);
    loopback.CloseNear();
    EXPECT_TRUE(world_.RunUntil([&] { return sender->ended() || sender->blocked(); }));
    EXPECT_FALSE(sender->ended());
    EXPECT_GT(sender->sent(), 0u);
    EXPECT_LT(sender->sent(), size);
    return sender;
  }

  static constexpr Loopback::Options kSmallSocket{.send_buffer = 128 * 1024,
                                                  .receive_buffer = 128 * 1024};

  LinuxKernel kernel_;
  AioWorld world_;
  TempDir dir_;
};

TEST_P(TransferTest, EverySizeAroundPagesAndChunksArrivesExactly) {
  for (const uint64_t size : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, uint64_t{4096},
                              uint64_t{4097}, kChunk - 1, kChunk, kChunk + 1, 5 * kChunk + 1}) {
    const PatternFile file(dir_, size);
    file.MakeCold();
    ExpectExact(file, {0, size});
    ExpectExact(file, {0, size});  // and again, now that it may be warm
  }
}

TEST_P(TransferTest, RangesOffEveryBoundaryArriveExactly) {
  const PatternFile file(dir_, 4 * kChunk + 77);
  for (const Range range : {Range{1, 1}, Range{4095, 2}, Range{511, 4 * kChunk - 511},
                            Range{kChunk - 1, 2}, Range{kChunk + 1, 2 * kChunk},
                            Range{4 * kChunk + 76, 1}, Range{4 * kChunk, 77}, Range{3, 0}}) {
    file.MakeCold();
    ExpectExact(file, range);
  }
}

TEST_P(TransferTest, LargeColdFileArrivesExactly) {
  const PatternFile file(dir_, 9_MiB + 5);
  file.MakeCold();
  ExpectExact(file, {0, 9_MiB + 5});
}

TEST_P(TransferTest, HalfCachedFileArrivesExactly) {
  const PatternFile file(dir_, 8_MiB);
  file.MakeCold();
  file.MakeWarm(0, 1_MiB);
  file.MakeWarm(3_MiB + 4096, 2_MiB);
  ExpectExact(file, {0, 8_MiB});
}

TEST_P(TransferTest, SlowReaderGetsExactBytes) {
  const PatternFile file(dir_, 2_MiB + 1);
  file.MakeCold();
  ExpectExact(file, {0, 2_MiB + 1}, 5000);
}

// The reader begins when the sender has filled every queue, with chunks recycled meanwhile by a
// second transfer of another file: bytes that were queued must not change any more.
TEST_P(TransferTest, LateReaderGetsExactBytes) {
  const PatternFile file(dir_, 12_MiB);
  const PatternFile other(dir_, 4_MiB, 1, "other");
  file.MakeCold();
  Loopback loopback(kernel_, {.send_buffer = 1'000'000, .receive_buffer = 1'000'000});
  auto sender = BlockedSender(loopback, file.Open(kernel_));
  {
    Loopback second(kernel_);
    Receiver receiver(world_, second);
    Sender churn(world_, second.socket(), other.Open(kernel_), 0, other.size());
    second.CloseNear();
    ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
    EXPECT_EQ(receiver.bytes().size(), other.size());
    EXPECT_TRUE(HoldsPattern(receiver.bytes(), 0, 1));
  }
  Receiver receiver(world_, loopback);
  ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
  EXPECT_TRUE(sender->result());
  ASSERT_EQ(receiver.bytes().size(), file.size());
  EXPECT_TRUE(HoldsPattern(receiver.bytes()));
}

TEST_P(TransferTest, ManyReadersOfMixedSpeedGetExactBytes) {
  const PatternFile big(dir_, 3_MiB + 3);
  const PatternFile small(dir_, 5000, 2, "small");
  big.MakeCold();
  std::vector<std::unique_ptr<Loopback>> loopbacks;
  std::vector<std::unique_ptr<Receiver>> receivers;
  std::vector<std::unique_ptr<Sender>> senders;
  for (int i = 0; i < 24; ++i) {
    const bool is_big = i % 3 != 0;
    loopbacks.push_back(std::make_unique<Loopback>(kernel_, kSmallSocket));
    receivers.push_back(
        std::make_unique<Receiver>(world_, *loopbacks.back(), i % 2 == 0 ? 10'000 : 1_MiB));
    const PatternFile& file = is_big ? big : small;
    senders.push_back(std::make_unique<Sender>(world_, loopbacks.back()->socket(),
                                               file.Open(kernel_), 0, file.size()));
    loopbacks.back()->CloseNear();
  }
  ASSERT_TRUE(world_.RunUntil([&] {
    return std::all_of(receivers.begin(), receivers.end(), [](auto& r) { return r->ended(); });
  }));
  for (size_t i = 0; i < senders.size(); ++i) {
    const bool is_big = i % 3 != 0;
    EXPECT_TRUE(senders[i]->result());
    EXPECT_EQ(receivers[i]->bytes().size(), is_big ? big.size() : small.size());
    EXPECT_TRUE(HoldsPattern(receivers[i]->bytes(), 0, is_big ? 0 : 2)) << i;
  }
}

// Truncated to a page boundary: Linux zeroes the rest of a page that it cuts in two, in place, also
// where a socket still refers to it; no server of the page cache can help that.
TEST_P(TransferTest, FileTruncatedMidTransferEndsWithAnErrorAndOnlyTrueBytes) {
  const PatternFile file(dir_, 12_MiB);
  file.MakeCold();
  Loopback loopback(kernel_, kSmallSocket);
  auto sender = BlockedSender(loopback, file.Open(kernel_));
  file.Truncate(8_MiB);
  Receiver receiver(world_, loopback);
  ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
  ASSERT_TRUE(sender->ended());
  ASSERT_FALSE(sender->result());
  EXPECT_EQ(sender->result().error().code, ENODATA);
  EXPECT_EQ(receiver.bytes().size(), sender->sent());
  EXPECT_LT(receiver.bytes().size(), 12_MiB);
  EXPECT_TRUE(HoldsPattern(receiver.bytes()));
}

TEST_P(TransferTest, FileReplacedMidTransferGoesOnWithTheOldContents) {
  const PatternFile file(dir_, 12_MiB);
  file.MakeCold();
  Loopback loopback(kernel_, kSmallSocket);
  auto sender = BlockedSender(loopback, file.Open(kernel_));
  const PatternFile replacement(dir_, 12_MiB, 5, "replacement");
  std::filesystem::rename(replacement.path(), file.path());
  ExpectExact(PatternFile(dir_, 1000, 0, "third"), {0, 1000});
  {
    Loopback second(kernel_);
    Receiver receiver(world_, second);
    Sender fresh(world_, second.socket(), file.Open(kernel_), 0, 12_MiB);
    second.CloseNear();
    ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
    EXPECT_TRUE(HoldsPattern(receiver.bytes(), 0, 5));
  }
  Receiver receiver(world_, loopback);
  ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
  EXPECT_TRUE(sender->result());
  ASSERT_EQ(receiver.bytes().size(), 12_MiB);
  EXPECT_TRUE(HoldsPattern(receiver.bytes()));
}

TEST_P(TransferTest, ResetMidTransferEndsWithTheSocketsError) {
  const PatternFile file(dir_, 12_MiB);
  file.MakeCold();
  Loopback loopback(kernel_, kSmallSocket);
  auto sender = BlockedSender(loopback, file.Open(kernel_));
  loopback.Reset();
  ASSERT_TRUE(world_.RunUntil([&] { return sender->ended(); }));
  ASSERT_FALSE(sender->result());
  const int code = sender->result().error().code;
  EXPECT_TRUE(code == ECONNRESET || code == EPIPE) << ErrnoName(code);
}

// Buffers and descriptors that a read or a worker still uses outlive the transfer, and what comes
// back for it disturbs nobody.
TEST_P(TransferTest, DestroyedInAnyStateLeavesOthersAlone) {
  const PatternFile file(dir_, 12_MiB);
  for (int turns = 0; turns < 12; ++turns) {
    SCOPED_TRACE(turns);
    file.MakeCold();
    Loopback loopback(kernel_, kSmallSocket);
    auto sender =
        std::make_unique<Sender>(world_, loopback.socket(), file.Open(kernel_), 0, file.size());
    loopback.CloseNear();
    for (int i = 0; i < turns && !sender->blocked(); ++i) ASSERT_TRUE(world_.loop().RunOnce());
    sender.reset();
    ExpectExact(file, {kChunk / 2, 2 * kChunk});
    // The socket is closed once nobody uses it any more.
    Receiver receiver(world_, loopback);
    ASSERT_TRUE(world_.RunUntil([&] { return receiver.ended(); }));
    EXPECT_TRUE(HoldsPattern(receiver.bytes()));
  }
  EXPECT_TRUE(world_.RunUntilIdle());
}

TEST_P(TransferTest, BytesSentAreCountedOnce) {
  const PatternFile file(dir_, kChunk * 3 + 9);
  ExpectExact(file, {0, file.size()});
  ExpectExact(file, {5, 100});
  EXPECT_EQ(world_.stats().bytes_sent, file.size() + 100);
}

INSTANTIATE_TEST_SUITE_P(
    Backends, TransferTest,
    ::testing::Combine(::testing::Values(BackendKind::kWritev, BackendKind::kLinuxSendfile,
                                         BackendKind::kLinuxAioSendfile,
                                         BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile,
                                         BackendKind::kAuto),
                       ::testing::Values(CoordinationKind::kMasked, CoordinationKind::kEventfd)),
    [](const auto& p) {
      std::string name =
          std::string(ToString(std::get<0>(p.param))) + "_" + ToString(std::get<1>(p.param));
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

}  // namespace
}  // namespace pollux
