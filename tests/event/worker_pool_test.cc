// The pool on real threads, under a real loop. Where an order matters, the jobs themselves keep it.
#include "core/event/worker_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <latch>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "fakes/mock_kernel.h"
#include "tests/event/real_loop.h"

namespace pollux {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::SizeIs;

// Opened once, by anyone; whoever passes waits until then.
class Gate {
 public:
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

class TestJob final : public WorkerJob {
 public:
  TestJob(std::function<void()> run, std::function<void()> done, std::function<void()> destroyed)
      : run_(std::move(run)), done_(std::move(done)), destroyed_(std::move(destroyed)) {}
  ~TestJob() override {
    if (destroyed_) destroyed_();
  }
  void RunOnWorker(Kernel&) override {
    if (run_) run_();
  }
  void Done() override {
    if (done_) done_();
  }

 private:
  std::function<void()> run_;
  std::function<void()> done_;
  std::function<void()> destroyed_;
};

std::unique_ptr<WorkerJob> MakeJob(std::function<void()> run, std::function<void()> done = {},
                                   std::function<void()> destroyed = {}) {
  return std::make_unique<TestJob>(std::move(run), std::move(done), std::move(destroyed));
}

class WorkerPoolTest : public ::testing::TestWithParam<CoordinationKind> {
 protected:
  explicit WorkerPoolTest(CoordinationKind kind = CoordinationKind::kEventfd)
      : real_((kernel_.DelegateTo(linux_), kernel_), kind, "poll") {}

  EventLoop& loop() { return real_.loop(); }
  // Turns until `count` jobs were handed back.
  void RunUntilDone(size_t count) {
    while (done_.size() < count) ASSERT_TRUE(loop().RunOnce());
  }
  std::function<void()> Done(int name) {
    return [this, name] { done_.push_back(name); };
  }

  LinuxKernel linux_;
  NiceMock<MockKernel> kernel_;
  RealLoop real_;
  std::vector<int> done_;
};

TEST_F(WorkerPoolTest, RunsOnAWorkerAndIsDoneOnTheLoopThread) {
  WorkerPool pool(kernel_, loop(), 2);
  std::thread::id ran_on;
  std::thread::id done_on;
  pool.Run(MakeJob([&] { ran_on = std::this_thread::get_id(); },
                   [&] {
                     done_on = std::this_thread::get_id();
                     done_.push_back(1);
                   }));
  EXPECT_EQ(pool.queued(), 1u);
  RunUntilDone(1);
  EXPECT_EQ(pool.queued(), 0u);
  EXPECT_NE(ran_on, std::this_thread::get_id());
  EXPECT_EQ(done_on, std::this_thread::get_id());
  EXPECT_EQ(pool.inline_runs(), 0u);
}

TEST_F(WorkerPoolTest, JobsOfOneLengthStartInTheOrderInWhichTheyWereGiven) {
  WorkerPool pool(kernel_, loop(), 1);
  std::vector<int> ran;  // one worker: no two at a time
  for (const JobLength length : {JobLength::kShort, JobLength::kLong}) {
    ran.clear();
    done_.clear();
    for (int i = 0; i < 20; ++i) {
      pool.Run(MakeJob([&ran, i] { ran.push_back(i); }, Done(i)), length);
    }
    RunUntilDone(20);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
    EXPECT_EQ(done_, ran);
  }
}

TEST_F(WorkerPoolTest, JobsAreHandedBackInTheOrderOfCompletion) {
  WorkerPool pool(kernel_, loop(), 2);
  Gate second_is_done;
  pool.Run(MakeJob([&] { second_is_done.Pass(); }, Done(1)));
  pool.Run(MakeJob({}, [&] {
    done_.push_back(2);
    second_is_done.Open();
  }));
  RunUntilDone(2);
  EXPECT_THAT(done_, ElementsAre(2, 1));
}

TEST_F(WorkerPoolTest, ThreadsAreMadeAsTheyAreNeededUpToTheLimit) {
  WorkerPool pool(kernel_, loop(), 3);
  EXPECT_CALL(kernel_, thread_create).Times(1);
  for (int i = 1; i <= 5; ++i) {  // one after the other: one thread is enough
    pool.Run(MakeJob({}, Done(i)));
    RunUntilDone(static_cast<size_t>(i));
  }
  ::testing::Mock::VerifyAndClearExpectations(&kernel_);
  EXPECT_CALL(kernel_, thread_create).Times(2);
  Gate go_on;
  for (int i = 6; i <= 15; ++i) pool.Run(MakeJob([&] { go_on.Pass(); }, Done(i)));
  go_on.Open();
  RunUntilDone(15);
}

TEST_F(WorkerPoolTest, ShortJobsStartBeforeLongOnesThatWereGivenEarlier) {
  WorkerPool pool(kernel_, loop(), 1);
  Gate all_are_given;
  std::vector<int> ran;  // one worker: no two at a time
  const auto ran_as = [&ran](int name) { return [&ran, name] { ran.push_back(name); }; };
  pool.Run(MakeJob([&] { all_are_given.Pass(); }, Done(0)));
  pool.Run(MakeJob(ran_as(11), Done(11)), JobLength::kLong);
  pool.Run(MakeJob(ran_as(12), Done(12)), JobLength::kLong);
  pool.Run(MakeJob(ran_as(1), Done(1)));
  pool.Run(MakeJob(ran_as(2), Done(2)));
  all_are_given.Open();
  RunUntilDone(5);
  EXPECT_THAT(ran, ElementsAre(1, 2, 11, 12));
}

TEST_F(WorkerPoolTest, OneOfSeveralWorkersIsLeftToShortJobsHoweverManyLongOnesThereAre) {
  WorkerPool pool(kernel_, loop(), 3);
  Gate go_on;
  std::latch two_began(2);
  std::atomic<int> began = 0;
  for (int i = 0; i < 8; ++i) {
    const auto run = [&] {
      if (++began <= 2) two_began.count_down();
      go_on.Pass();
    };
    pool.Run(MakeJob(run, Done(10 + i)), JobLength::kLong);
  }
  two_began.wait();
  for (int i = 1; i <= 3; ++i) {  // hangs if all workers are held
    pool.Run(MakeJob({}, Done(i)));
    RunUntilDone(static_cast<size_t>(i));
  }
  EXPECT_THAT(done_, ElementsAre(1, 2, 3));
  EXPECT_EQ(began, 2);
  go_on.Open();
  RunUntilDone(11);
}

TEST_F(WorkerPoolTest, LongJobsGetAWorkerEachButForTheOneThatIsLeft) {
  WorkerPool pool(kernel_, loop(), 4);
  std::latch all_began(3);
  for (int i = 0; i < 3; ++i) {  // hangs if fewer run at a time
    pool.Run(MakeJob([&] { all_began.arrive_and_wait(); }, Done(i)), JobLength::kLong);
  }
  RunUntilDone(3);
}

TEST_F(WorkerPoolTest, ShortJobsMayHaveEveryWorker) {
  WorkerPool pool(kernel_, loop(), 3);
  std::latch all_began(3);
  for (int i = 0; i < 3; ++i) pool.Run(MakeJob([&] { all_began.arrive_and_wait(); }, Done(i)));
  RunUntilDone(3);
}

TEST_F(WorkerPoolTest, AnOnlyWorkerTakesLongJobsToo) {
  EXPECT_CALL(kernel_, thread_create)
      .WillOnce(::testing::DoDefault())
      .WillRepeatedly(Return(Err(EAGAIN, "pthread_create")));
  WorkerPool pool(kernel_, loop(), 4);
  for (int i = 1; i <= 3; ++i) pool.Run(MakeJob({}, Done(i)), JobLength::kLong);
  RunUntilDone(3);
  EXPECT_THAT(done_, ElementsAre(1, 2, 3));
  EXPECT_EQ(pool.inline_runs(), 0u);
}

TEST_F(WorkerPoolTest, ALoneLongJobNeedsOneThread) {
  WorkerPool pool(kernel_, loop(), 4);
  EXPECT_CALL(kernel_, thread_create).Times(1);
  for (int i = 1; i <= 5; ++i) {
    pool.Run(MakeJob({}, Done(i)), JobLength::kLong);
    RunUntilDone(static_cast<size_t>(i));
  }
}

TEST_F(WorkerPoolTest, HandledSignalsAreBlockedOnWorkersAndTheLoopsMaskIsAsBefore) {
  const sigset_t handled = Signals::Handled();
  ASSERT_TRUE(linux_.pthread_sigmask(SIG_UNBLOCK, handled, nullptr));  // as in `published`
  sigset_t on_worker{};
  WorkerPool pool(kernel_, loop(), 1);
  pool.Run(MakeJob([&] { pthread_sigmask(SIG_BLOCK, nullptr, &on_worker); }, Done(1)));
  sigset_t on_loop{};
  pthread_sigmask(SIG_BLOCK, nullptr, &on_loop);
  RunUntilDone(1);
  for (const int signum : {SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP}) {
    EXPECT_EQ(sigismember(&on_worker, signum), 1) << signum;
    EXPECT_EQ(sigismember(&on_loop, signum), 0) << signum;
  }
}

TEST_F(WorkerPoolTest, WithoutAnyThreadTheJobRunsInlineAndIsDoneInALaterTurn) {
  ON_CALL(kernel_, thread_create).WillByDefault(Return(Err(EAGAIN, "pthread_create")));
  WorkerPool pool(kernel_, loop(), 2);
  std::thread::id ran_on;
  uint64_t given_in = 0;
  uint64_t done_in = 0;
  class GivingJob final : public Job {
   public:
    explicit GivingJob(std::function<void()> run) : run_(std::move(run)) {}
    void RunJob() override { run_(); }

   private:
    std::function<void()> run_;
  } giving([&] {  // from within a turn
    given_in = loop().stats().turns;
    pool.Run(MakeJob([&] { ran_on = std::this_thread::get_id(); },
                     [&] {
                       done_in = loop().stats().turns;
                       done_.push_back(1);
                     }));
    EXPECT_EQ(ran_on, std::this_thread::get_id());
    EXPECT_THAT(done_, IsEmpty());
  });
  loop().Post(giving);
  RunUntilDone(1);
  EXPECT_GT(done_in, given_in);
  EXPECT_EQ(pool.inline_runs(), 1u);
  EXPECT_EQ(pool.queued(), 0u);

  // Given before the turn's jobs are run (a wake source, a completion, here a timer): never in the
  // turn it was given in either.
  Timer timer([&] {
    given_in = loop().stats().turns;
    pool.Run(MakeJob({}, [&] {
      done_in = loop().stats().turns;
      done_.push_back(2);
    }));
  });
  loop().timers().Arm(timer, loop().now());
  RunUntilDone(2);
  EXPECT_GT(done_in, given_in);
}

TEST_F(WorkerPoolTest, AThreadThatCouldNotBeMadeIsTriedAgainWithTheNextJob) {
  WorkerPool pool(kernel_, loop(), 2);
  EXPECT_CALL(kernel_, thread_create)
      .WillOnce(Return(Err(EAGAIN, "pthread_create")))
      .WillOnce(::testing::DoDefault());
  pool.Run(MakeJob({}, Done(1)));
  EXPECT_EQ(pool.inline_runs(), 1u);
  pool.Run(MakeJob({}, Done(2)));
  EXPECT_EQ(pool.inline_runs(), 1u);
  RunUntilDone(2);
}

TEST_F(WorkerPoolTest, ThreadsThatExistMustDoIfThereCanBeNoMore) {
  WorkerPool pool(kernel_, loop(), 4);
  EXPECT_CALL(kernel_, thread_create)
      .WillOnce(::testing::DoDefault())
      .WillRepeatedly(Return(Err(EAGAIN, "pthread_create")));
  for (int i = 1; i <= 6; ++i) pool.Run(MakeJob({}, Done(i)));
  RunUntilDone(6);
  EXPECT_EQ(pool.inline_runs(), 0u);
}

TEST_F(WorkerPoolTest, StopWaitsForRunningJobsDropsTheRestAndCallsDoneForNeither) {
  WorkerPool pool(kernel_, loop(), 1);
  Gate running;
  Gate go_on;
  bool finished = false;
  bool second_ran = false;
  std::vector<std::thread::id> destroyed_on;
  const auto destroyed = [&] { destroyed_on.push_back(std::this_thread::get_id()); };
  pool.Run(MakeJob(
      [&] {
        running.Open();
        go_on.Pass();
        finished = true;
      },
      Done(1), destroyed));
  pool.Run(MakeJob([&] { second_ran = true; }, Done(2), destroyed));
  pool.Run(MakeJob([&] { second_ran = true; }, Done(3), destroyed), JobLength::kLong);
  running.Pass();
  // Not before Stop is on its way: it has dropped what did not start when it comes to join.
  EXPECT_CALL(kernel_, thread_join).WillOnce([&](ThreadId thread) {
    go_on.Open();
    linux_.thread_join(thread);
  });
  pool.Stop();
  EXPECT_TRUE(finished);
  EXPECT_FALSE(second_ran);
  EXPECT_THAT(done_, IsEmpty());
  EXPECT_EQ(pool.queued(), 0u);
  EXPECT_THAT(destroyed_on, AllOf(SizeIs(3), Each(std::this_thread::get_id())));
  pool.Stop();  // again: no effect
}

TEST_F(WorkerPoolTest, AfterStopJobsAreDropped) {
  WorkerPool pool(kernel_, loop(), 1);
  pool.Stop();
  bool destroyed = false;
  pool.Run(MakeJob([] { FAIL(); }, Done(1), [&] { destroyed = true; }));
  EXPECT_TRUE(destroyed);
  EXPECT_EQ(pool.queued(), 0u);
}

TEST_F(WorkerPoolTest, StopFromWithinDoneEndsTheHandingBack) {
  WorkerPool pool(kernel_, loop(), 1);
  Gate both;
  pool.Run(MakeJob({}, [&] {
    done_.push_back(1);
    pool.Stop();
  }));
  pool.Run(MakeJob([&] { both.Open(); }, Done(2)));
  both.Pass();  // both may be handed back together
  RunUntilDone(1);
  EXPECT_THAT(done_, ElementsAre(1));
  EXPECT_EQ(pool.queued(), 0u);
}

TEST_F(WorkerPoolTest, DoneMayGiveTheNextJob) {
  WorkerPool pool(kernel_, loop(), 2);
  std::function<void()> next = [&] {
    done_.push_back(static_cast<int>(done_.size()));
    if (done_.size() < 50) pool.Run(MakeJob({}, next));
  };
  pool.Run(MakeJob({}, next));
  RunUntilDone(50);
}

class SoundWorkerPoolTest : public WorkerPoolTest {
 protected:
  SoundWorkerPoolTest() : WorkerPoolTest(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Coordinations, SoundWorkerPoolTest,
                         ::testing::Values(CoordinationKind::kMasked, CoordinationKind::kEventfd),
                         [](const auto& kind) { return ToString(kind.param); });

TEST_P(SoundWorkerPoolTest, NoWakeUpIsLostOverManyJobs) {
  WorkerPool pool(kernel_, loop(), 3);
  std::set<int> seen;
  for (int round = 0; round < 500; ++round) {
    for (int i = 0; i < 1 + round % 5; ++i) {
      const JobLength length = i % 2 == 0 ? JobLength::kShort : JobLength::kLong;
      pool.Run(MakeJob({}, [&, round, i] { seen.insert(round * 10 + i); }), length);
    }
    // Without a time-out: a wake-up that was lost would hang here.
    while (pool.queued() > 0) ASSERT_TRUE(loop().RunOnce());
  }
  EXPECT_EQ(seen.size(), 1500u);
}

}  // namespace
}  // namespace pollux
