// Contract: which of several pending signals is handled first, and what becomes of one that is
// ignored.
#include "tests/sys/signal_contract.h"

namespace pollux {
namespace {

class SeveralSignalContractTest : public SignalContractTest {
 protected:
  void SetUp() override {
    if (kSignalsComeLate)
      GTEST_SKIP() << "the thread sanitizer handles signals later, and of several one";
  }
};

TEST_P(SeveralSignalContractTest, KickForTheThreadAndKickForTheProcessAreBothHandledWhenUnblocked) {
  InWorld([&] {
    BlockKicks();
    KickSelf();
    ASSERT_TRUE(kernel_.kill(kernel_.getpid(), SIGUSR1));
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, Kicks(), nullptr));
    EXPECT_EQ(handled, 2);
  });
}

// A frame is made for each before any handler runs: the lowest number first, so that the highest
// runs first.
TEST_P(SeveralSignalContractTest, OfSeveralSignalsTheHandlerOfTheHighestNumberRunsFirst) {
  InWorld([&] {
    BlockAll({SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, 40});
    for (const int signum : {SIGUSR1, SIGALRM, SIGHUP, 40, SIGUSR2}) SendProcess(signum);
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, blocked_, nullptr));
    EXPECT_EQ(handled_in_order, 40'14'12'10'01u);
  });
}

// Its own are dequeued before those of the process, whatever their numbers.
TEST_P(SeveralSignalContractTest, HandlersOfTheThreadsOwnSignalsRunAfterThoseOfTheProcess) {
  InWorld([&] {
    BlockAll({SIGHUP, SIGUSR1, SIGALRM});
    SendProcess(SIGHUP);
    SendSelf(SIGALRM);
    SendProcess(SIGUSR1);
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, blocked_, nullptr));
    EXPECT_EQ(handled_in_order, 10'01'14u);
  });
}

TEST_P(SeveralSignalContractTest, WaitHandlesAllThatItsMaskOpensTheHighestNumberFirst) {
  InWorld([&] {
    BlockAll({SIGHUP, SIGUSR1});
    SendProcess(SIGUSR1);
    SendProcess(SIGHUP);
    const timespec zero{0, 0};
    const sigset_t open = Open();
    EXPECT_EQ(kernel_.ppoll(nullptr, 0, &zero, &open).error().code, EINTR);
    EXPECT_EQ(handled_in_order, 10'01u);
  });
}

// What a handler's own mask keeps away waits for its end, and in a wait longer than that: the mask
// of the wait is gone by then.
TEST_P(SeveralSignalContractTest, SignalThatAHandlerBlocksComesAfterIt) {
  InWorld([&] {
    BlockAll({SIGUSR1, SIGUSR2});
    struct sigaction action {};
    action.sa_handler = CountKick;
    sigaddset(&action.sa_mask, SIGUSR2);
    ASSERT_TRUE(kernel_.sigaction(SIGUSR1, action));
    SendProcess(SIGUSR2);
    SendProcess(SIGUSR1);
    const timespec zero{0, 0};
    const sigset_t open = Open();
    EXPECT_EQ(kernel_.ppoll(nullptr, 0, &zero, &open).error().code, EINTR);
    EXPECT_EQ(handled_in_order, 10u);
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, blocked_, nullptr));
    EXPECT_EQ(handled_in_order, 10'12u);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, SeveralSignalContractTest, ::testing::ValuesIn(AllWorlds()),
                         WorldName);

class DispositionSignalContractTest : public SignalContractTest {};

TEST_P(DispositionSignalContractTest, IgnoredSignalIsDroppedAndEndsNoWait) {
  InWorld([&] {
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    ASSERT_TRUE(kernel_.sigaction(SIGUSR1, ignore));
    KickSelf();
    struct sigaction action {};
    action.sa_handler = CountKick;
    ASSERT_TRUE(kernel_.sigaction(SIGUSR1, action));
    const timespec brief{0, 1'000'000};
    const sigset_t open = Open();
    EXPECT_EQ(kernel_.ppoll(nullptr, 0, &brief, &open).value(), 0);
    EXPECT_EQ(handled, 0);
  });
}

TEST_P(DispositionSignalContractTest, WhatIsPendingGoesWhenItIsIgnored) {
  BlockKicks();
  KickSelf();
  SendProcess(SIGUSR1);
  struct sigaction action {};
  action.sa_handler = SIG_IGN;
  ASSERT_TRUE(kernel_.sigaction(SIGUSR1, action));
  sigset_t pending = Kicks();
  ASSERT_TRUE(kernel_.sigpending(&pending));
  EXPECT_EQ(sigismember(&pending, SIGUSR1), 0);
  action.sa_handler = CountKick;
  ASSERT_TRUE(kernel_.sigaction(SIGUSR1, action));
  ASSERT_TRUE(kernel_.pthread_sigmask(SIG_UNBLOCK, Kicks(), nullptr));
  EXPECT_EQ(handled, 0);
}

TEST_P(DispositionSignalContractTest, SignalNumberZeroOnlyAsksWhetherTheThreadIsThere) {
  InWorld([&] {
    EXPECT_TRUE(kernel_.tgkill(kernel_.getpid(), kernel_.gettid(), 0));
    EXPECT_TRUE(kernel_.kill(kernel_.getpid(), 0));
    EXPECT_EQ(kernel_.kill(kernel_.getpid(), 65).error().code, EINVAL);
  });
}

TEST_P(DispositionSignalContractTest, KillCannotBeCaught) {
  InWorld([&] {
    struct sigaction action {};
    action.sa_handler = CountKick;
    EXPECT_EQ(kernel_.sigaction(SIGKILL, action).error().code, EINVAL);
  });
}

INSTANTIATE_TEST_SUITE_P(Contract, DispositionSignalContractTest, ::testing::ValuesIn(AllWorlds()),
                         WorldName);

}  // namespace
}  // namespace pollux
