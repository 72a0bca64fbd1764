// Contract: Linux AIO with direct reads, through libaio.
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <utility>

#include "tests/base/missing.h"
#include "tests/sys/kernel_world.h"

namespace pollux {
namespace {

constexpr size_t kBlock = 4096;
constexpr timespec kLong{10, 0};
constexpr timespec kZero{0, 0};

class AioContractTest : public ContractTest {
 protected:
  ~AioContractTest() override {
    if (context_ != nullptr) {
      EXPECT_TRUE(kernel_.io_destroy(context_));
    }
  }

  // False, and the test is to skip, where the file system has no direct I/O.
  bool Open(size_t file_bytes, unsigned depth = 8) {
    file_ = OpenDirect(file_bytes);
    if (!file_.valid()) return false;
    memory_ = Pages(64 * kBlock);
    context_ = kernel_.io_setup(depth).value();
    return true;
  }
  iocb Read(size_t count, off_t offset, uint64_t data = 0) {
    iocb request{};
    io_prep_pread(&request, file_.get(), memory_.data(), count, offset);
    request.data = reinterpret_cast<void*>(data);
    return request;
  }
  Result<int> Submit(iocb& request) {
    iocb* one = &request;
    return kernel_.io_submit(context_, 1, &one);
  }
  // Submits one read and waits for its result: bytes, or -errno.
  long ReadNow(size_t count, off_t offset) {
    iocb request = Read(count, offset);
    Result<int> submitted = Submit(request);
    if (!submitted) return -submitted.error().code;
    io_event event{};
    EXPECT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
    EXPECT_EQ(event.obj, &request);
    return static_cast<long>(event.res);
  }

  Fd file_;
  Mapping memory_;
  io_context_t context_ = nullptr;
};

#define OPEN_OR_SKIP(...) \
  if (!Open(__VA_ARGS__)) SKIP_FOR_WANT_OF("a build tree on a file system with O_DIRECT")

TEST_P(AioContractTest, ReadDeliversTheFilesBytesAndTheSubmittersData) {
  InWorld([&] {
    OPEN_OR_SKIP(16 * kBlock);
    iocb request = Read(2 * kBlock, 3 * kBlock, 0xfeed'0001);
    ASSERT_EQ(Submit(request).value(), 1);
    io_event event{};
    ASSERT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
    EXPECT_EQ(reinterpret_cast<uint64_t>(event.data), 0xfeed'0001u);
    EXPECT_EQ(event.res, 2 * kBlock);
    EXPECT_EQ(std::string(memory_.data(), 2 * kBlock), FileBytes(3 * kBlock, 2 * kBlock));
  });
}

TEST_P(AioContractTest, WholeBlocksAtTheEndOfTheFileComeBackShort) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock + 100);
    EXPECT_EQ(ReadNow(2 * kBlock, 0), static_cast<long>(kBlock + 100));
    EXPECT_EQ(std::string(memory_.data(), kBlock + 100), FileBytes(0, kBlock + 100));
    EXPECT_EQ(ReadNow(kBlock, kBlock), 100);
    EXPECT_EQ(ReadNow(kBlock, 2 * kBlock), 0);
  });
}

TEST_P(AioContractTest, EmptyFileReadsZeroBytes) {
  InWorld([&] {
    OPEN_OR_SKIP(0);
    EXPECT_EQ(ReadNow(kBlock, 0), 0);
  });
}

TEST_P(AioContractTest, MemoryThatCannotBeStoredToIsEfaultInTheEvent) {
  InWorld([&] {
    OPEN_OR_SKIP(4 * kBlock);
    memory_.Reset();
    memory_ = Mapping(
        kernel_,
        kernel_.mmap(nullptr, kBlock, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0).value(),
        kBlock);
    EXPECT_EQ(ReadNow(kBlock, 0), -EFAULT);
  });
}

TEST_P(AioContractTest, BadDescriptorIsEbadf) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    iocb request = Read(kBlock, 0);
    request.aio_fildes = 1 << 20;
    EXPECT_EQ(Submit(request).error().code, EBADF);
  });
}

TEST_P(AioContractTest, SubmitStopsAtTheFirstBadRequestAndCountsThoseBefore) {
  InWorld([&] {
    OPEN_OR_SKIP(2 * kBlock);
    iocb good = Read(kBlock, 0), bad = Read(kBlock, kBlock);
    bad.aio_fildes = 1 << 20;
    iocb* both[] = {&good, &bad};
    EXPECT_EQ(kernel_.io_submit(context_, 2, both).value(), 1);
    io_event event{};
    EXPECT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
    EXPECT_EQ(event.obj, &good);
  });
}

// io_setup(n) promises n; the kernel rounds up, but not without end.
TEST_P(AioContractTest, MoreRequestsThanTheContextHoldsAreEagain) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock, 1);
    Result<int> submitted = 0;
    std::vector<std::unique_ptr<iocb>> requests;
    while (requests.size() < 100'000) {
      requests.push_back(std::make_unique<iocb>(Read(kBlock, 0)));
      submitted = Submit(*requests.back());
      if (!submitted) break;
    }
    ASSERT_FALSE(submitted);
    EXPECT_EQ(submitted.error().code, EAGAIN);
    EXPECT_GT(requests.size(), 1u);
  });
}

TEST_P(AioContractTest, SetupOfNoEventsIsEinval) {
  InWorld([&] { EXPECT_EQ(kernel_.io_setup(0).error().code, EINVAL); });
}

TEST_P(AioContractTest, DestroyedContextIsEinval) {
  InWorld([&] {
    io_context_t context = kernel_.io_setup(1).value();
    ASSERT_TRUE(kernel_.io_destroy(context));
    EXPECT_EQ(kernel_.io_destroy(context).error().code, EINVAL);
  });
}

TEST_P(AioContractTest, DestroyWaitsForReadsInFlight) {
  InWorld([&] {
    OPEN_OR_SKIP(64 * kBlock);
    iocb request = Read(64 * kBlock, 0);
    ASSERT_EQ(Submit(request).value(), 1);
    ASSERT_TRUE(kernel_.io_destroy(std::exchange(context_, nullptr)));
    EXPECT_EQ(std::string(memory_.data(), 64 * kBlock), FileBytes(0, 64 * kBlock));
  });
}

TEST_P(AioContractTest, CancelOfAFinishedRequestIsRefused) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    iocb request = Read(kBlock, 0);
    ASSERT_EQ(Submit(request).value(), 1);
    io_event event{};
    ASSERT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
    EXPECT_EQ(kernel_.io_cancel(context_, &request, &event).error().code, EINVAL);
  });
}

TEST_P(AioContractTest, GeteventsReturnsNothingAtItsTimeout) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    io_event event{};
    const timespec brief{0, 1'000'000};
    EXPECT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &brief).value(), 0);
    EXPECT_EQ(kernel_.io_getevents(context_, 0, 1, &event, &kZero).value(), 0);
  });
}

TEST_P(AioContractTest, MinimumAboveWhatFitsIsEinval) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    io_event event{};
    EXPECT_EQ(kernel_.io_getevents(context_, 2, 1, &event, &kLong).error().code, EINVAL);
  });
}

TEST_P(AioContractTest, MoreCompletionsThanFitStayInTheRing) {
  InWorld([&] {
    OPEN_OR_SKIP(4 * kBlock);
    iocb requests[3];
    for (int i = 0; i < 3; ++i) {
      requests[i] = Read(kBlock, i * static_cast<off_t>(kBlock), static_cast<uint64_t>(i) + 1);
      ASSERT_EQ(Submit(requests[i]).value(), 1);
    }
    uint64_t seen = 0;
    for (int i = 0; i < 3; ++i) {
      io_event event{};
      ASSERT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
      seen += reinterpret_cast<uint64_t>(event.data);
    }
    EXPECT_EQ(seen, 6u);
    io_event event{};
    EXPECT_EQ(kernel_.io_getevents(context_, 0, 1, &event, &kZero).value(), 0);
  });
}

TEST_P(AioContractTest, DescriptorClosedDuringTheReadDoesNotEndIt) {
  InWorld([&] {
    OPEN_OR_SKIP(8 * kBlock);
    iocb request = Read(8 * kBlock, 0);
    ASSERT_EQ(Submit(request).value(), 1);
    file_.Reset();
    io_event event{};
    ASSERT_EQ(kernel_.io_getevents(context_, 1, 1, &event, &kLong).value(), 1);
    EXPECT_EQ(event.res, 8 * kBlock);
    EXPECT_EQ(std::string(memory_.data(), 8 * kBlock), FileBytes(0, 8 * kBlock));
  });
}

TEST_P(AioContractTest, UnalignedOffsetIsEinval) {
  InWorld([&] {
    OPEN_OR_SKIP(4 * kBlock);
    EXPECT_EQ(ReadNow(kBlock, 100), -EINVAL);
  });
}

// --- Completions on an eventfd (IOCB_FLAG_RESFD)

TEST_P(AioContractTest, CompletionsAreCountedOnTheEventfd) {
  InWorld([&] {
    OPEN_OR_SKIP(4 * kBlock);
    Fd counter(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    iocb requests[3];
    for (int i = 0; i < 3; ++i) {
      requests[i] = Read(kBlock, i * static_cast<off_t>(kBlock));
      io_set_eventfd(&requests[i], counter.get());
      ASSERT_EQ(Submit(requests[i]).value(), 1);
    }
    uint64_t counted = 0;
    while (counted < 3) {
      ASSERT_EQ(Await(counter.get(), POLLIN), POLLIN);
      uint64_t more = 0;
      ASSERT_TRUE(kernel_.read(counter.get(), &more, sizeof more));
      counted += more;
    }
    EXPECT_EQ(counted, 3u);
    // What was counted can be reaped without a wait.
    io_event events[3];
    EXPECT_EQ(kernel_.io_getevents(context_, 0, 3, events, &kZero).value(), 3);
  });
}

// --- Signals (the mask opens only inside io_pgetevents)

std::atomic<int> handled{0};

class AioSignalContractTest : public AioContractTest {
 protected:
  bool Open() {
    handled = 0;
    struct sigaction action {};
    action.sa_handler = [](int) { ++handled; };
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, SIGUSR1);
    sigemptyset(&none_);
    EXPECT_TRUE(kernel_.sigaction(SIGUSR1, action));
    EXPECT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, kick, nullptr));
    return AioContractTest::Open(16 * kBlock);
  }
  void KickSelf() { ASSERT_TRUE(kernel_.tgkill(kernel_.getpid(), kernel_.gettid(), SIGUSR1)); }
  bool TakePendingKick() {
    const int before = Handled();
    (void)kernel_.ppoll(nullptr, 0, &kZero, &none_);
    return Handled() > before;
  }
  // The thread sanitizer puts off handlers that interrupt a raw system call, as libaio makes, to
  // the next call that it intercepts. This is one.
  int Handled() {
    (void)kernel_.poll(nullptr, 0, 0);
    return handled;
  }
  // One completed read in the ring, seen by its eventfd.
  void Complete(iocb& request) {
    Fd done(kernel_, kernel_.eventfd(0, 0).value());
    request = Read(kBlock, 0);
    io_set_eventfd(&request, done.get());
    ASSERT_EQ(Submit(request).value(), 1);
    EXPECT_EQ(Await(done.get(), POLLIN), POLLIN);
  }

  sigset_t none_{};
  iocb request_{};
};

TEST_P(AioSignalContractTest, PendingKickInterruptsTheWait) {
  InWorld([&] {
    OPEN_OR_SKIP();
    KickSelf();
    io_event event{};
    Result<int> woken = kernel_.io_pgetevents(context_, 1, 1, &event, &kLong, &none_);
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(Handled(), 1);
  });
}

TEST_P(AioSignalContractTest, HandlerRunsAndEventsAreReturned) {
  InWorld([&] {
    OPEN_OR_SKIP();
    Complete(request_);
    KickSelf();
    io_event event{};
    EXPECT_EQ(kernel_.io_pgetevents(context_, 1, 1, &event, &kLong, &none_).value(), 1);
    EXPECT_EQ(event.obj, &request_);
    EXPECT_EQ(Handled(), 1);
    EXPECT_FALSE(TakePendingKick());
  });
}

TEST_P(AioSignalContractTest, InterruptedWaitReturnsFewerThanItsMinimum) {
  InWorld([&] {
    OPEN_OR_SKIP();
    Complete(request_);
    KickSelf();
    io_event events[2];
    EXPECT_EQ(kernel_.io_pgetevents(context_, 2, 2, events, &kLong, &none_).value(), 1);
    EXPECT_EQ(Handled(), 1);
  });
}

// libaio looks at the ring in user space first: a time-out of zero on an empty ring is no system
// call, opens no mask and takes no kick.
TEST_P(AioSignalContractTest, EmptyRingWithTimeoutZeroNeverEntersTheKernel) {
  InWorld([&] {
    OPEN_OR_SKIP();
    KickSelf();
    io_event event{};
    EXPECT_EQ(kernel_.io_pgetevents(context_, 0, 1, &event, &kZero, &none_).value(), 0);
    EXPECT_EQ(Handled(), 0);
    EXPECT_TRUE(TakePendingKick());
  });
}

// Its reads are waited for, its waiters are not: they are told that it is gone.
TEST_P(AioContractTest, DestroyedContextIsEinvalToWhoeverSleepsInIt) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    Fd enters(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    pid_t id = 0;
    Result<int> woken = 0;
    Thread waiter = Spawn([&] {
      id = kernel_.gettid();
      const uint64_t one = 1;
      (void)kernel_.write(enters.get(), &one, sizeof one);
      io_event event{};
      woken = kernel_.io_getevents(context_, 1, 1, &event, nullptr);
    });
    EXPECT_EQ(Await(enters.get(), POLLIN), POLLIN);
    uint64_t news = 0;  // read, not only waited for: it orders `id` before what follows
    EXPECT_EQ(kernel_.read(enters.get(), &news, sizeof news).value(), sizeof news);
    world_->AwaitAsleep(id);
    EXPECT_TRUE(kernel_.io_destroy(context_));
    waiter.Join();
    context_ = nullptr;
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINVAL);
  });
}

// What is there already is not lost.
TEST_P(AioContractTest, DestroyedContextGivesItsWaiterTheEventsThatAreThere) {
  InWorld([&] {
    OPEN_OR_SKIP(kBlock);
    iocb request = Read(kBlock, 0);
    Fd completes(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    io_set_eventfd(&request, completes.get());
    ASSERT_EQ(Submit(request).value(), 1);
    EXPECT_EQ(Await(completes.get(), POLLIN), POLLIN);
    Fd enters(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    pid_t id = 0;
    Result<int> woken = Err(0, "");
    Thread waiter = Spawn([&] {
      id = kernel_.gettid();
      const uint64_t one = 1;
      (void)kernel_.write(enters.get(), &one, sizeof one);
      io_event events[2];
      woken = kernel_.io_getevents(context_, 2, 2, events, nullptr);
    });
    EXPECT_EQ(Await(enters.get(), POLLIN), POLLIN);
    uint64_t news = 0;
    EXPECT_EQ(kernel_.read(enters.get(), &news, sizeof news).value(), sizeof news);
    world_->AwaitAsleep(id);
    EXPECT_TRUE(kernel_.io_destroy(context_));
    waiter.Join();
    context_ = nullptr;
    ASSERT_TRUE(woken) << ToString(woken.error());
    EXPECT_EQ(*woken, 1);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, AioContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);
INSTANTIATE_TEST_SUITE_P(Contract, AioSignalContractTest, ::testing::ValuesIn(AllWorlds()),
                         WorldName);

}  // namespace
}  // namespace pollux
