// Goal: workers are started one after the other, told to stop once for each signal, replaced with
// patience when they die, and left to themselves when the supervisor is gone. Method: a kernel on
// which fork(2) makes nobody: socket pairs are real, the test plays each worker at its end, and
// what happens next is decided each time the supervisor sleeps. Time passes only there.
#include "core/server/supervisor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/event/real_loop.h"
#include "tests/server/steered_kernel.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The wait status of an exit, and of a death by signal (wait(2)).
constexpr int Exited(int status) { return status << 8; }
constexpr int Killed(int signum) { return signum; }

class PlayedKernel final : public SteeredKernel {
 public:
  std::deque<int> fork_errors;
  std::deque<int> socketpair_errors;
  std::deque<int> ppoll_errors;
  bool fork_into_child = false;
  bool narrow = false;  // socket pairs hold a handful of bytes
  std::vector<pid_t> forked;
  std::map<pid_t, int> theirs;    // the worker's end
  std::map<pid_t, int> statuses;  // of the dead
  // One a sleep. When none are left the supervisor is told to stop, and then all workers end.
  std::deque<std::function<void()>> script;
  std::vector<int64_t> slept_ms;  // the time-outs; -1: none
  std::function<void()> at_the_end;

  Status socketpair(int domain, int type, int protocol, int* sv) override {
    if (const int code = Next(socketpair_errors)) return Err(code, "socketpair");
    const Status s = SteeredKernel::socketpair(domain, type, protocol, sv);
    last_ = ::dup(sv[1]);
    const int least = 1;  // socket(7): the kernel makes it the minimum
    if (narrow) ::setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &least, sizeof least);
    return s;
  }
  Result<pid_t> fork() override {
    if (const int code = Next(fork_errors)) {
      ::close(last_);
      return Err(code, "fork");
    }
    if (fork_into_child) return 0;
    const auto pid = static_cast<pid_t>(1000 + forked.size());
    forked.push_back(pid);
    theirs[pid] = last_;
    return pid;
  }
  Result<pid_t> waitpid(pid_t pid, int* status, int options) override {
    EXPECT_EQ(options, 0);
    *status = statuses.at(pid);
    return pid;
  }
  Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                    const sigset_t* mask) override {
    slept_ms.push_back(timeout == nullptr ? -1
                                          : timeout->tv_sec * 1000 + timeout->tv_nsec / 1'000'000);
    if (slept_ms.size() > 200) {
      ADD_FAILURE() << "the supervisor spins";
      std::abort();
    }
    if (!script.empty()) {
      const auto step = std::move(script.front());
      script.pop_front();
      step();
    } else {
      at_the_end();
    }
    if (const int code = Next(ppoll_errors)) return Err(code, "ppoll");
    const timespec at_once{};
    return SteeredKernel::ppoll(fds, nfds, &at_once, mask);
  }
  timespec clock_gettime(clockid_t clock) override {
    if (clock != CLOCK_MONOTONIC) return SteeredKernel::clock_gettime(clock);
    return {now_ms / 1000, now_ms % 1000 * 1'000'000};
  }
  int64_t now_ms = 1'000'000;

  void Say(pid_t pid, char what) { EXPECT_EQ(::send(theirs.at(pid), &what, 1, 0), 1); }
  // What the worker was told.
  std::string Heard(pid_t pid) {
    char buffer[16];
    const ssize_t got = ::recv(theirs.at(pid), buffer, sizeof buffer, MSG_DONTWAIT);
    return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : "";
  }
  void Die(pid_t pid, int status) {
    statuses[pid] = status;
    ::close(theirs.at(pid));
    theirs.erase(pid);
  }

 private:
  static int Next(std::deque<int>& errors) {
    if (errors.empty()) return 0;
    const int code = errors.front();
    errors.pop_front();
    return code;
  }
  int last_ = -1;
};

class SupervisorTest : public ::testing::Test, public WorkerBody {
 protected:
  SupervisorTest() {
    kernel_.at_the_end = [this] {
      if (std::exchange(stopped_, true)) {
        while (!kernel_.theirs.empty()) kernel_.Die(kernel_.theirs.begin()->first, Exited(0));
      } else {
        ::kill(::getpid(), SIGTERM);
      }
    };
  }

  int Run(size_t workers) {
    supervisor_.emplace(kernel_, log_, *this, workers);
    const int status = supervisor_->Run();
    for (const auto& [pid, fd] : kernel_.theirs) ::close(fd);
    return status;
  }
  void Then(std::function<void()> step) { kernel_.script.push_back(std::move(step)); }
  void StartAll(size_t workers) {
    Then([this] { kernel_.Say(1000, Supervisor::kReady); });
    Then([this, workers] {
      for (size_t i = 1; i < workers; ++i) {
        kernel_.Say(static_cast<pid_t>(1000 + i), Supervisor::kReady);
      }
    });
    Then([this] { EXPECT_EQ(ready_, 1); });
  }
  void Pass(milliseconds time) { kernel_.now_ms += time.count(); }

  int RunWorker(size_t index, int control) override {
    EXPECT_GE(control, 0);
    return static_cast<int>(40 + index);
  }
  void OnWorkersReady() override { ++ready_; }
  void OnWorkersDrain() override { ++drained_; }

  SignalStateGuard restore_;
  PlayedKernel kernel_;
  Logger log_{kernel_, 2, spdlog::level::info};
  std::optional<Supervisor> supervisor_;
  int ready_ = 0;
  int drained_ = 0;
  bool stopped_ = false;
};

TEST_F(SupervisorTest, TheFirstWorkerIsStartedAloneAndTheRestWhenItIsReady) {
  Then([this] { EXPECT_EQ(kernel_.forked.size(), 1u); });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 1u);
    kernel_.Say(1000, Supervisor::kReady);
  });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 3u);
    EXPECT_EQ(ready_, 0);
    kernel_.Say(1001, Supervisor::kReady);
  });
  Then([this] {
    EXPECT_EQ(ready_, 0);
    kernel_.Say(1002, Supervisor::kReady);
  });
  Then([this] { EXPECT_EQ(ready_, 1); });
  EXPECT_EQ(Run(3), 0);
  EXPECT_EQ(ready_, 1);
  EXPECT_EQ(kernel_.forked.size(), 3u);
}

TEST_F(SupervisorTest, AWorkerThatSaysTwiceThatItIsReadyStartsNobodyTwice) {
  Then([this] { kernel_.Say(1000, Supervisor::kReady); });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 3u);
    kernel_.Say(1000, Supervisor::kReady);
  });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 3u);
    kernel_.Say(1000, Supervisor::kReady);
  });
  Then([this] { EXPECT_EQ(ready_, 0); });
  EXPECT_EQ(Run(3), 0);
  EXPECT_EQ(kernel_.forked.size(), 3u);
}

TEST_F(SupervisorTest, InTheNewProcessTheWorkersStatusIsTheResult) {
  kernel_.fork_into_child = true;
  EXPECT_EQ(Run(2), 40);
  EXPECT_TRUE(kernel_.slept_ms.empty());
}

TEST_F(SupervisorTest, AWorkerThatRefusesAtTheStartEndsItAllWithItsStatus) {
  Then([this] { kernel_.Die(1000, Exited(2)); });
  EXPECT_EQ(Run(3), 2);
  EXPECT_EQ(kernel_.forked.size(), 1u);
  EXPECT_EQ(kernel_.written[2], "");  // the worker has said why
  EXPECT_EQ(ready_, 0);
}

TEST_F(SupervisorTest, AWorkerThatCrashesAtTheStartEndsItAllAndSaysSo) {
  Then([this] { kernel_.Say(1000, Supervisor::kReady); });
  Then([this] { kernel_.Die(1001, Killed(SIGSEGV)); });
  Then([this] {
    EXPECT_EQ(kernel_.Heard(1000), "T");
    kernel_.Die(1000, Exited(0));
  });
  EXPECT_EQ(Run(2), 1);
  EXPECT_THAT(kernel_.written[2], HasSubstr("worker 1 (process 1001) was ended by SIGSEGV"));
}

TEST_F(SupervisorTest, EachSignalToStopIsToldToEachWorkerOnce) {
  for (const int signum : {SIGTERM, SIGINT}) {
    kernel_.forked.clear();
    drained_ = ready_ = 0;
    stopped_ = true;
    StartAll(2);
    Then([signum] { ::kill(::getpid(), signum); });
    Then([this] {
      EXPECT_EQ(drained_, 1);
      EXPECT_EQ(kernel_.Heard(1000), "T");
      EXPECT_EQ(kernel_.Heard(1001), "T");
      kernel_.Die(1001, Exited(0));
    });
    Then([signum] { ::kill(::getpid(), signum); });
    Then([this] {
      EXPECT_EQ(kernel_.Heard(1000), "T");
      EXPECT_EQ(drained_, 1);
      kernel_.Die(1000, Exited(0));
    });
    EXPECT_EQ(Run(2), 0);
    EXPECT_EQ(kernel_.forked.size(), 2u);  // nobody is replaced any more
  }
}

TEST_F(SupervisorTest, ASleepWithoutMemoryIsNoEnd) {
  StartAll(2);
  Then([this] { kernel_.ppoll_errors = {ENOMEM}; });
  Then([this] { EXPECT_EQ(kernel_.Heard(1000), ""); });
  EXPECT_EQ(Run(2), 0);
  EXPECT_EQ(drained_, 1);  // by the signal that comes last
  EXPECT_EQ(kernel_.written[2], "");
}

TEST_F(SupervisorTest, WhoCannotSleepAtAllEndsAndSaysSo) {
  StartAll(2);
  Then([this] { kernel_.ppoll_errors = {EINVAL}; });
  EXPECT_EQ(Run(2), 1);
  EXPECT_THAT(kernel_.written[2], HasSubstr("the workers finish by themselves"));
}

TEST_F(SupervisorTest, AHangupReachesEachWorker) {
  StartAll(2);
  Then([] { ::kill(::getpid(), SIGHUP); });
  Then([this] {
    EXPECT_EQ(kernel_.Heard(1000), "H");
    EXPECT_EQ(kernel_.Heard(1001), "H");
  });
  EXPECT_EQ(Run(2), 0);
}

TEST_F(SupervisorTest, AHangupThatWasNotHeardYetIsNotRepeatedAndOneThatWasIs) {
  StartAll(1);
  for (int i = 0; i < 3; ++i) Then([] { ::kill(::getpid(), SIGHUP); });
  Then([this] {
    EXPECT_EQ(kernel_.Heard(1000), "H");
    ::kill(::getpid(), SIGHUP);
  });
  Then([this] { EXPECT_EQ(kernel_.Heard(1000), "H"); });
  EXPECT_EQ(Run(1), 0);
}

TEST_F(SupervisorTest, AWorkerThatDoesNotReadHearsOfBothStopsWhenItDoes) {
  kernel_.narrow = true;
  stopped_ = true;
  StartAll(2);
  for (int i = 0; i < 50; ++i) Then([] { ::kill(::getpid(), SIGHUP); });
  for (int i = 0; i < 50; ++i) Then([] { ::kill(::getpid(), SIGTERM); });
  Then([this] {
    EXPECT_EQ(kernel_.Heard(1000), "HTT");
    EXPECT_EQ(kernel_.Heard(1001), "HTT");
  });
  EXPECT_EQ(Run(2), 0);
}

TEST_F(SupervisorTest, AWorkerThatDiesIsReplacedAfterAShortWhile) {
  StartAll(2);
  Then([this] {
    Pass(std::chrono::hours(1));
    kernel_.Die(1001, Killed(SIGKILL));
  });
  Then([this] {
    EXPECT_THAT(kernel_.written[2],
                HasSubstr("worker 1 (process 1001) was ended by SIGKILL; another one starts in "
                          "100 ms"));
    EXPECT_EQ(kernel_.slept_ms.back(), Supervisor::kRestartMin.count());
    EXPECT_EQ(kernel_.forked.size(), 2u);
    Pass(Supervisor::kRestartMin - milliseconds(1));
  });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 2u);
    Pass(milliseconds(1));
  });
  Then([this] {
    EXPECT_EQ(kernel_.forked.size(), 3u);
    kernel_.Say(1002, Supervisor::kReady);
  });
  EXPECT_EQ(Run(2), 0);
  EXPECT_EQ(ready_, 1);  // announced once
}

TEST_F(SupervisorTest, WorkersThatDieYoungAreReplacedEverMoreSeldom) {
  StartAll(1);
  std::vector<int64_t> delays;
  for (int i = 0; i < 10; ++i) {
    Then([this] {
      Pass(milliseconds(5));
      kernel_.Die(kernel_.forked.back(), Exited(1));
    });
    Then([this, &delays] {
      delays.push_back(kernel_.slept_ms.back());
      Pass(milliseconds(delays.back()));
    });
  }
  // One that lives makes the next death a new story.
  Then([this] {
    Pass(Supervisor::kSteadyAfter);
    kernel_.Die(kernel_.forked.back(), Exited(1));
  });
  Then([this, &delays] { delays.push_back(kernel_.slept_ms.back()); });
  EXPECT_EQ(Run(1), 0);
  EXPECT_THAT(delays,
              ElementsAre(100, 200, 400, 800, 1600, 3200, 6400, 10'000, 10'000, 10'000, 100));
}

TEST_F(SupervisorTest, WhatCannotBeStartedNowIsTriedAgain) {
  for (const int code : {EAGAIN, ENOMEM}) {
    kernel_.fork_errors.push_back(code);
    kernel_.socketpair_errors = {0, code == EAGAIN ? EMFILE : ENFILE};
  }
  Then([this] { Pass(milliseconds(kernel_.slept_ms.back())); });
  Then([this] { Pass(milliseconds(kernel_.slept_ms.back())); });
  Then([this] { Pass(milliseconds(kernel_.slept_ms.back())); });
  StartAll(1);
  EXPECT_EQ(Run(1), 0);
  EXPECT_EQ(kernel_.forked.size(), 1u);
  EXPECT_THAT(kernel_.written[2], HasSubstr("worker 0 could not be started: fork: EAGAIN"));
  EXPECT_THAT(kernel_.written[2], HasSubstr("socketpair: ENFILE"));
}

TEST_F(SupervisorTest, ADeathDuringADrainIsToldAndNobodyIsReplaced) {
  StartAll(2);
  Then([this] {
    stopped_ = true;
    ::kill(::getpid(), SIGTERM);
  });
  Then([this] { kernel_.Die(1000, Killed(SIGABRT)); });
  Then([this] { kernel_.Die(1001, Exited(0)); });
  EXPECT_EQ(Run(2), 0);
  EXPECT_THAT(kernel_.written[2], HasSubstr("worker 0 (process 1000) was ended by SIGABRT"));
  EXPECT_EQ(kernel_.forked.size(), 2u);
}

TEST_F(SupervisorTest, AWorkerThatIsToBeReplacedIsNotOnceAllIsToStop) {
  StartAll(1);
  Then([this] { kernel_.Die(1000, Killed(SIGKILL)); });
  Then([] { ::kill(::getpid(), SIGTERM); });
  EXPECT_EQ(Run(1), 0);
  EXPECT_EQ(kernel_.forked.size(), 1u);
}

// --- The worker's end

class WorkerControlTest : public ::testing::Test, public SignalHandler {
 protected:
  WorkerControlTest() {
    EXPECT_TRUE(
        kernel_.socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends_.data()));
    handler_ = std::move(*MakeEpollHandler(kernel_));
    coordination_ =
        std::move(*MakeCoordination(CoordinationKind::kEventfd, kernel_, *handler_, signals_));
    EXPECT_TRUE(coordination_->Start());
    loop_.emplace(kernel_, *handler_, *coordination_);
    control_.emplace(kernel_, *loop_, ends_[1], *this);
    EXPECT_TRUE(control_->Start());
  }
  ~WorkerControlTest() override {
    control_.reset();
    ::close(ends_[1]);
    if (ends_[0] >= 0) ::close(ends_[0]);
    coordination_->Stop();
  }
  void Turn() {
    coordination_->Wake();
    ASSERT_TRUE(loop_->RunOnce());
  }
  void OnTerminate() override { heard_ += 'T'; }
  void OnHangup() override { heard_ += 'H'; }

  SignalStateGuard restore_;
  SteeredKernel kernel_;
  std::array<int, 2> ends_{};
  std::unique_ptr<FdeventHandler> handler_;
  Signals signals_{kernel_};
  std::unique_ptr<Coordination> coordination_;
  std::optional<EventLoop> loop_;
  std::optional<WorkerControl> control_;
  std::string heard_;
};

TEST_F(WorkerControlTest, SaysThatItIsReadyAndHearsEachWordOnce) {
  char what = 0;
  ASSERT_EQ(::recv(ends_[0], &what, 1, MSG_DONTWAIT), 1);
  EXPECT_EQ(what, Supervisor::kReady);
  ASSERT_EQ(::send(ends_[0], "HTT", 3, 0), 3);
  Turn();
  Turn();
  EXPECT_EQ(heard_, "HTT");
}

TEST_F(WorkerControlTest, TheSupervisorsEndIsAStopAndIsHeardOnce) {
  ::close(std::exchange(ends_[0], -1));
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_EQ(heard_, "T");
}

// The second stop cuts what is being sent; it is for people to ask for.
TEST_F(WorkerControlTest, TheSupervisorsEndAfterAStopIsNoSecondStop) {
  ASSERT_EQ(::send(ends_[0], "T", 1, 0), 1);
  Turn();
  ::close(std::exchange(ends_[0], -1));
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_EQ(heard_, "T");
}

TEST_F(WorkerControlTest, AnInterruptedReadIsNoNews) {
  for (const int code : {EINTR, EAGAIN}) {
    heard_.clear();
    ASSERT_EQ(::send(ends_[0], "H", 1, 0), 1);
    kernel_.recv_calls.errors = {code};
    Turn();
    EXPECT_EQ(heard_, "");
    Turn();
    EXPECT_EQ(heard_, "H");
  }
}

}  // namespace
}  // namespace pollux
