// Contract: when a signal that is pending reaches a thread, and what a wait says about it.
//
// The coordination that wakes loop and helper with a signal stands on these.
#include "tests/sys/signal_contract.h"

namespace pollux {
namespace {

TEST_P(SignalContractTest, BlockedKickIsHandledOnlyInsideTheWaitThatOpensIt) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    EXPECT_EQ(kernel_.poll(nullptr, 0, 0).value(), 0);
    EXPECT_EQ(handled, 0);
    const sigset_t open = Open();
    Result<int> woken = kernel_.ppoll(nullptr, 0, &kLong, &open);
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(handled, 1);
    // The wait's mask is gone again.
    KickSelf();
    EXPECT_EQ(kernel_.poll(nullptr, 0, 0).value(), 0);
    EXPECT_EQ(handled, 1);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, SigpendingTellsAKickThatNoWaitHasTaken) {
  InWorld([&] {
    BlockKicks();
    sigset_t pending{};
    ASSERT_TRUE(kernel_.sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
    KickSelf();
    ASSERT_TRUE(kernel_.sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
    EXPECT_EQ(handled, 0);
    EXPECT_TRUE(TakePendingKick());
    ASSERT_TRUE(kernel_.sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
  });
}

TEST_P(SignalContractTest, SigpendingTellsASignalToTheProcessToo) {
  InWorld([&] {
    BlockKicks();
    ASSERT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR1));
    sigset_t pending{};
    ASSERT_TRUE(kernel_.sigpending(&pending));
    EXPECT_EQ(sigismember(&pending, SIGUSR1), 1);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, TwoKicksBeforeTheWaitAreOne) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    KickSelf();
    EXPECT_TRUE(TakePendingKick());
    EXPECT_FALSE(TakePendingKick());
    EXPECT_EQ(handled, 1);
  });
}

TEST_P(SignalContractTest, PpollWithReadyDescriptorsReturnsTheCountAndLeavesTheKickPending) {
  InWorld([&] {
    BlockKicks();
    MakeReady();
    KickSelf();
    const sigset_t open = Open();
    pollfd entry{ready_.get(), POLLIN, 0};
    EXPECT_EQ(kernel_.ppoll(&entry, 1, &kLong, &open).value(), 1);
    EXPECT_EQ(handled, 0);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, EpollPwaitWithReadyDescriptorsReturnsTheCountAndLeavesTheKickPending) {
  InWorld([&] {
    BlockKicks();
    MakeReady();
    KickSelf();
    const sigset_t open = Open();
    epoll_event event{};
    EXPECT_EQ(kernel_.epoll_pwait(epoll_.get(), &event, 1, 10'000, &open).value(), 1);
    EXPECT_EQ(handled, 0);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, EpollPwaitWithNothingReadyIsInterruptedByAPendingKick) {
  InWorld([&] {
    BlockKicks();
    Fd epoll(kernel_, kernel_.epoll_create1(0).value());
    KickSelf();
    const sigset_t open = Open();
    epoll_event event{};
    Result<int> woken = kernel_.epoll_pwait(epoll.get(), &event, 1, 10'000, &open);
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(handled, 1);
  });
}

// The two differ: epoll_pwait with time-out 0 never looks at signals.
TEST_P(SignalContractTest, EpollPwaitWithTimeoutZeroReturnsZeroAndLeavesTheKickPending) {
  InWorld([&] {
    BlockKicks();
    Fd epoll(kernel_, kernel_.epoll_create1(0).value());
    KickSelf();
    const sigset_t open = Open();
    epoll_event event{};
    EXPECT_EQ(kernel_.epoll_pwait(epoll.get(), &event, 1, 0, &open).value(), 0);
    EXPECT_EQ(handled, 0);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, PpollWithTimeoutZeroIsInterruptedByAPendingKick) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    const sigset_t open = Open();
    const timespec zero{0, 0};
    Result<int> woken = kernel_.ppoll(nullptr, 0, &zero, &open);
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(handled, 1);
  });
}

// The published protocol's lost wake-up, in two calls.
TEST_P(SignalContractTest, UnblockedKickBeforePollIsGoneWhenPollSleeps) {
  InWorld([&] {
    BlockKicks();
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, Kicks(), nullptr));
    KickSelf();
    EXPECT_EQ(handled, 1);
    EXPECT_EQ(kernel_.poll(nullptr, 0, 20).value(), 0);  // the whole 20 ms, and no EINTR
  });
}

// The published protocol's kick that never lands: a process-directed signal is offered to the
// thread-group leader first, so the leader's kick for the helper hits the leader.
TEST_P(SignalContractTest, ProcessDirectedSignalGoesToTheLeaderIfItHasItOpen) {
  InWorld([&] {
    BlockKicks();
    const pid_t leader = kernel_.gettid();
    Fd stop(kernel_, kernel_.eventfd(0, 0).value());
    Fd asleep(kernel_, kernel_.eventfd(0, 0).value());
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, Kicks(), nullptr));
    Result<int> woken = Err(0, "");
    Thread helper = Spawn([&] {
      const uint64_t one = 1;
      (void)kernel_.write(asleep.get(), &one, sizeof one);
      pollfd entry{stop.get(), POLLIN, 0};
      woken = kernel_.poll(&entry, 1, 10'000);
    });
    EXPECT_EQ(Await(asleep.get(), POLLIN), POLLIN);
    ASSERT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR1));
    EXPECT_EQ(handled, 1);  // before kill() returned: an unblocked signal to oneself
    EXPECT_EQ(handled_by, leader);
    const uint64_t one = 1;
    ASSERT_TRUE(kernel_.write(stop.get(), &one, sizeof one));
    helper.Join();
    EXPECT_EQ(woken.value(), 1);  // by its descriptor: the kick was not for it
  });
}

TEST_P(SignalContractTest, ProcessDirectedSignalGoesToTheThreadThatOpensItInItsWait) {
  InWorld([&] {
    BlockKicks();
    Result<int> woken = 0;
    pid_t helpers_id = 0;
    Thread helper = Spawn([&] {
      helpers_id = kernel_.gettid();
      const sigset_t open = Open();
      woken = kernel_.ppoll(nullptr, 0, &kLong, &open);
    });
    ASSERT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR1));
    helper.Join();
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(handled_by, helpers_id);
  });
}

TEST_P(SignalContractTest, ThreadInheritsTheMaskOfItsCreator) {
  InWorld([&] {
    BlockKicks();
    sigset_t inherited = Open();
    Thread thread = Spawn([&] { (void)kernel_.pthread_sigmask(SIG_BLOCK, Open(), &inherited); });
    thread.Join();
    EXPECT_EQ(sigismember(&inherited, SIGUSR1), 1);
    EXPECT_EQ(sigismember(&inherited, SIGUSR2), 0);
  });
}

TEST_P(SignalContractTest, KickOfAThreadThatIsGoneIsEsrch) {
  InWorld([&] {
    pid_t id = 0;
    Thread thread = Spawn([&] { id = kernel_.gettid(); });
    thread.Join();
    // pthread_join(3) may return a moment before the kernel has forgotten the thread's id.
    Status sent = kernel_.tgkill(kernel_.getpid(), id, 0);
    while (sent) sent = kernel_.tgkill(kernel_.getpid(), id, 0);
    EXPECT_EQ(sent.error().code, ESRCH);
  });
}

TEST_P(SignalContractTest, UnblockingAPendingSignalHandlesItBeforeTheCallReturns) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    EXPECT_EQ(handled, 0);
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, Kicks(), nullptr));
    EXPECT_EQ(handled, 1);
  });
}

// Two sets of pending signals. Handlers of one wait's signals are stacked, each with its own signal
// blocked, and at their end the wait's mask is gone: the second of the two stays pending.
TEST_P(SignalContractTest, KickForTheThreadAndKickForTheProcessAreTwoForTwoWaits) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    ASSERT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR1));
    EXPECT_TRUE(TakePendingKick());
    EXPECT_EQ(handled, 1);
    EXPECT_TRUE(TakePendingKick());
    EXPECT_FALSE(TakePendingKick());
    EXPECT_EQ(handled, 2);
  });
}

TEST_P(SignalContractTest, KickOfAThreadIsNotTakenByAnother) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    Result<int> woken = Err(0, "");
    Spawn([&] {
      const sigset_t open = Open();
      const timespec zero{0, 0};
      woken = kernel_.ppoll(nullptr, 0, &zero, &open);
    }).Join();
    EXPECT_EQ(woken.value(), 0);
    EXPECT_TRUE(TakePendingKick());
  });
}

TEST_P(SignalContractTest, KickEndsTheSleepOfTheThreadItIsFor) {
  InWorld([&] {
    BlockKicks();
    Fd asleep(kernel_, kernel_.eventfd(0, EFD_NONBLOCK).value());
    pid_t id = 0;
    Result<int> woken = 0;
    Thread helper = Spawn([&] {
      id = kernel_.gettid();
      const uint64_t one = 1;
      (void)kernel_.write(asleep.get(), &one, sizeof one);
      const sigset_t open = Open();
      woken = kernel_.ppoll(nullptr, 0, &kLong, &open);
    });
    EXPECT_EQ(Await(asleep.get(), POLLIN), POLLIN);
    uint64_t news = 0;  // read, not only waited for: it orders `id` before what follows
    EXPECT_EQ(kernel_.read(asleep.get(), &news, sizeof news).value(), sizeof news);
    ASSERT_TRUE(kernel_.tgkill(kernel_.getpid(), id, SIGUSR1));
    helper.Join();
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
    EXPECT_EQ(handled_by, id);
  });
}

TEST_P(SignalContractTest, KickOfAThreadBeforeItsWaitOpensTheMaskIsNotLost) {
  InWorld([&] {
    BlockKicks();
    auto mutex = kernel_.mutex_create();
    auto changed = kernel_.condvar_create();
    pid_t id = 0;
    bool kicked = false;
    Result<int> woken = 0;
    Thread helper = Spawn([&] {
      mutex->lock();
      id = kernel_.gettid();
      changed->signal();
      while (!kicked) changed->wait(*mutex);
      mutex->unlock();
      const sigset_t open = Open();
      woken = kernel_.ppoll(nullptr, 0, &kLong, &open);
    });
    mutex->lock();
    while (id == 0) changed->wait(*mutex);
    ASSERT_TRUE(kernel_.tgkill(kernel_.getpid(), id, SIGUSR1));
    kicked = true;
    changed->signal();
    mutex->unlock();
    helper.Join();
    ASSERT_FALSE(woken);
    EXPECT_EQ(woken.error().code, EINTR);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, SignalContractTest, ::testing::ValuesIn(AllWorlds()), WorldName);

}  // namespace
}  // namespace pollux
