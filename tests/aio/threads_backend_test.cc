// Goal: threads-sendfile hands over one job at a time, survives whatever becomes of it, and never
// touches a transfer that is gone. Method: the real loop and pool over a mock of the seam that lets
// everything through but sendfile(2), which the test answers, or holds inside the worker.
#include "core/aio/threads_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>

#include <condition_variable>
#include <mutex>

#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/mock_transfer.h"
#include "tests/aio/world.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::InSequence;
using ::testing::NiceMock;
using ::testing::Pointee;
using ::testing::Return;
using Outcome = Transfer::Outcome;

// A door that workers stop at inside sendfile().
class Door {
 public:
  void Pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void AwaitArrival(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ >= count; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

class CountingWaiter final : public TransferWaiter {
 public:
  void OnTransferReady() override { ++ready; }
  int ready = 0;
};

class ThreadsBackendTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kSize = 5_MiB;

  // The mock lets through whatever a test does not say otherwise.
  static MockKernel& Prepared(MockKernel& mock, Kernel& kernel) {
    mock.DelegateTo(kernel);
    return mock;
  }

  std::unique_ptr<Transfer> Start(uint64_t offset, uint64_t length) {
    return backend_->Start({loopback_.socket(), file_.Open(linux_), offset, length, &waiter_});
  }
  // A Pump that hands a job over, and the turns until it is back.
  void PumpThroughAJob(Transfer& transfer) {
    const int before = waiter_.ready;
    ASSERT_THAT(transfer.Pump(1), Is(Outcome::kWaiting));
    ASSERT_TRUE(world_.RunUntil([&] { return waiter_.ready == before + 1; }));
  }
  void HoldSendfile() {
    ON_CALL(kernel_, sendfile).WillByDefault([this](int out, int in, off_t* offset, size_t count) {
      door_.Pass();
      return linux_.sendfile(out, in, offset, count);
    });
  }
  // Transfers whose jobs the closed door holds, and returns when every worker that takes long jobs
  // is inside one.
  void StartDownloads(unsigned count) {
    HoldSendfile();
    for (unsigned i = 0; i < count; ++i) {
      others_.push_back(std::make_unique<Loopback>(linux_));
      downloads_.push_back(
          backend_->Start({others_.back()->socket(), file_.Open(linux_), 0, 10, &waiter_}));
      ASSERT_THAT(downloads_.back()->Pump(1), Is(Outcome::kWaiting));
    }
    door_.AwaitArrival(AioWorld::kWorkersMax - 1);
  }
  auto& ExpectSendfile(off_t offset, size_t count) {
    return EXPECT_CALL(kernel_, sendfile(_, _, Pointee(offset), count));
  }

  LinuxKernel linux_;
  Door door_;
  NiceMock<MockKernel> kernel_;
  AioWorld world_{Prepared(kernel_, linux_), CoordinationKind::kEventfd};
  TempDir dir_;
  PatternFile file_{dir_, kSize};
  Loopback loopback_{linux_};
  CountingWaiter waiter_;
  AioStats stats_;
  std::vector<std::unique_ptr<Loopback>> others_;
  std::unique_ptr<Backend> backend_ = MakeThreadsBackend(kernel_, world_.workers(), stats_);
  std::vector<std::unique_ptr<Transfer>> downloads_;
};

TEST_F(ThreadsBackendTest, EmptyRangeIsDoneWithoutAJob) {
  auto transfer = Start(0, 0);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
  EXPECT_EQ(world_.workers().queued(), 0u);
}

TEST_F(ThreadsBackendTest, OneJobAtATimeHoweverOftenPumped) {
  HoldSendfile();
  auto transfer = Start(0, 100);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(transfer->Pump(1), Is(Outcome::kWaiting));
  EXPECT_EQ(world_.workers().queued(), 1u);
  EXPECT_EQ(transfer->sent(), 0u);
  door_.Open();
  ASSERT_TRUE(world_.RunUntil([&] { return waiter_.ready == 1; }));
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
  EXPECT_EQ(transfer->sent(), 100u);
  EXPECT_EQ(stats_.bytes_sent, 100u);
  EXPECT_TRUE(HoldsPattern(loopback_.ReadExactly(100)));
}

TEST_F(ThreadsBackendTest, JobIsBoundedWhateverTheTurnsBytes) {
  InSequence s;
  ExpectSendfile(7, kThreadsJobBytesMax).WillOnce(Return(kThreadsJobBytesMax));
  ExpectSendfile(7 + kThreadsJobBytesMax, kThreadsJobBytesMax)
      .WillOnce(Return(kThreadsJobBytesMax));
  ExpectSendfile(7 + 2 * kThreadsJobBytesMax, 5).WillOnce(Return(5));
  auto transfer = Start(7, 2 * kThreadsJobBytesMax + 5);
  for (int i = 0; i < 3; ++i) PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
}

TEST_F(ThreadsBackendTest, ShortCountIsToldAsAFullSocketOnceAndThenContinued) {
  InSequence s;
  ExpectSendfile(0, 1000).WillOnce(Return(300));
  ExpectSendfile(300, 700).WillOnce(Return(700));
  auto transfer = Start(0, 1000);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 300u);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
}

TEST_F(ThreadsBackendTest, FullSocketIsNoError) {
  ExpectSendfile(0, 1000).WillOnce(Return(Err(EAGAIN, "sendfile")));
  auto transfer = Start(0, 1000);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kSocketFull));
  EXPECT_EQ(transfer->sent(), 0u);
}

TEST_F(ThreadsBackendTest, InterruptedCallIsMadeAgainInTheSameJob) {
  InSequence s;
  ExpectSendfile(0, 10).WillOnce(Return(Err(EINTR, "sendfile")));
  ExpectSendfile(0, 10).WillOnce(Return(10));
  auto transfer = Start(0, 10);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
}

TEST_F(ThreadsBackendTest, EndOfFileBeforeTheEndOfTheRangeIsTruncation) {
  ExpectSendfile(0, 10).WillOnce(Return(0));
  auto transfer = Start(0, 10);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), FailsWith(ENODATA, "sendfile"));
}

class ThreadsErrnoTest : public ThreadsBackendTest, public ::testing::WithParamInterface<int> {};

TEST_P(ThreadsErrnoTest, EndsTheTransferForGood) {
  ExpectSendfile(0, 10).WillOnce(Return(Err(GetParam(), "sendfile")));
  auto transfer = Start(0, 10);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), FailsWith(GetParam(), "sendfile"));
  EXPECT_THAT(transfer->Pump(1), FailsWith(GetParam(), "sendfile"));  // no second job
  EXPECT_EQ(stats_.bytes_sent, 0u);
}
INSTANTIATE_TEST_SUITE_P(SendfileManPage, ThreadsErrnoTest,
                         ::testing::Values(EIO, ENOMEM, EPIPE, ECONNRESET, ETIMEDOUT),
                         ErrnoNamer());

TEST_F(ThreadsBackendTest, WithoutAnyThreadTheFileIsServedAllTheSame) {
  ON_CALL(kernel_, thread_create).WillByDefault(Return(Err(EAGAIN, "pthread_create")));
  auto transfer = Start(0, 1000);
  PumpThroughAJob(*transfer);
  EXPECT_THAT(transfer->Pump(1), Is(Outcome::kDone));
  EXPECT_EQ(world_.workers().inline_runs(), 1u);
  EXPECT_TRUE(HoldsPattern(loopback_.ReadExactly(1000)));
}

// The worker is inside sendfile() when the connection goes away: the socket must stay open, or its
// number could by then name another connection, which would get these bytes.
TEST_F(ThreadsBackendTest, DestroyedDuringSendfileKeepsTheSocketOpenUntilItReturns) {
  HoldSendfile();
  auto transfer = Start(0, 1000);
  const int socket = loopback_.socket()->get();
  ASSERT_THAT(transfer->Pump(1), Is(Outcome::kWaiting));
  door_.AwaitArrival();
  transfer.reset();
  loopback_.CloseNear();
  EXPECT_NE(::fcntl(socket, F_GETFD), -1);
  EXPECT_EQ(loopback_.ReadSome(), "");
  EXPECT_FALSE(loopback_.peer_ended());
  door_.Open();
  ASSERT_TRUE(world_.RunUntilIdle());
  EXPECT_EQ(::fcntl(socket, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
  const std::string bytes = loopback_.ReadToEnd();
  EXPECT_EQ(bytes.size(), 1000u);
  EXPECT_TRUE(HoldsPattern(bytes));
  EXPECT_EQ(waiter_.ready, 0);
}

TEST_F(ThreadsBackendTest, JobOfADestroyedTransferThatHasNotStartedSendsNothing) {
  StartDownloads(AioWorld::kWorkersMax - 1);  // so that the next job has to wait in the queue
  CountingWaiter waiter;
  auto transfer = backend_->Start({loopback_.socket(), file_.Open(linux_), 0, 1000, &waiter});
  ASSERT_THAT(transfer->Pump(1), Is(Outcome::kWaiting));
  transfer.reset();
  loopback_.CloseNear();
  door_.Open();
  ASSERT_TRUE(world_.RunUntilIdle());
  EXPECT_EQ(loopback_.ReadToEnd(), "");
  EXPECT_EQ(waiter.ready, 0);
}

// As many downloads from a disk that does not answer as there are workers, and more: a cold open
// and the first submit of a direct read get their worker all the same.
TEST_F(ThreadsBackendTest, OpensAndSubmitsAreNotBehindDownloads) {
  StartDownloads(2 * AioWorld::kWorkersMax);

  Fd root = *OwnFd(linux_, linux_.openat(AT_FDCWD, dir_.path().c_str(), O_PATH | O_CLOEXEC, 0));
  EXPECT_CALL(kernel_, openat2)
      .WillOnce(Return(Err(EAGAIN, "openat2")))  // RESOLVE_CACHED: not in the dentry cache
      .WillOnce(::testing::DoDefault());
  FileOpener opener(kernel_, world_.workers(), root.get());
  std::shared_ptr<OpenFile> opened;
  opener.Open("file", [&](Result<std::shared_ptr<OpenFile>> file) { opened = *file; });
  ASSERT_TRUE(world_.RunUntil([&] { return opened != nullptr; }));

  BackendOptions options;
  options.kind = BackendKind::kLinuxAioWrite;
  world_.MakeBackendOf(options);
  Sender sender(world_, loopback_.socket(), opened, 0, 1000);  // O_DIRECT open, first submit
  ASSERT_TRUE(world_.RunUntil([&] { return sender.ended(); }));
  EXPECT_TRUE(sender.result());
  EXPECT_TRUE(HoldsPattern(loopback_.ReadExactly(1000)));
  EXPECT_EQ(waiter_.ready, 0);
  door_.Open();
  ASSERT_TRUE(world_.RunUntilIdle());
}

TEST_F(ThreadsBackendTest, TransferMayBeDestroyedByItsWaiter) {
  struct Destroyer final : TransferWaiter {
    void OnTransferReady() override {
      transfer.reset();
      called = true;
    }
    std::unique_ptr<Transfer> transfer;
    bool called = false;
  } destroyer;
  destroyer.transfer = backend_->Start({loopback_.socket(), file_.Open(linux_), 0, 10, &destroyer});
  ASSERT_THAT(destroyer.transfer->Pump(1), Is(Outcome::kWaiting));
  ASSERT_TRUE(world_.RunUntil([&] { return destroyer.called; }));
}

TEST_F(ThreadsBackendTest, LoopTurnsWhileAWorkerIsHeld) {
  HoldSendfile();
  auto transfer = Start(0, 10);
  ASSERT_THAT(transfer->Pump(1), Is(Outcome::kWaiting));
  door_.AwaitArrival();
  bool fired = false;
  Timer timer([&] { fired = true; });
  world_.loop().timers().Arm(timer, MonotonicNow(linux_));
  EXPECT_TRUE(world_.RunUntil([&] { return fired; }));
  EXPECT_EQ(waiter_.ready, 0);
  door_.Open();
  EXPECT_TRUE(world_.RunUntil([&] { return waiter_.ready == 1; }));
}

}  // namespace
}  // namespace pollux
