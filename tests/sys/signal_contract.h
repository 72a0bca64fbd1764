// For the contracts of signals: what was handled, in which order and by whom, and signals that are
// made pending by sending them to the own thread or process while they are blocked; no timing is
// involved.
#pragma once

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <cerrno>

#include "tests/sys/kernel_world.h"

namespace pollux {

inline std::atomic<int> handled{0};
inline std::atomic<uint64_t> handled_in_order{0};  // their numbers, two digits each
inline std::atomic<pid_t> handled_by{0};
inline Kernel* handlers_kernel = nullptr;

inline void CountKick(int signum) {
  handled_by = handlers_kernel->gettid();
  handled_in_order = handled_in_order * 100 + static_cast<uint64_t>(signum);
  ++handled;
}

// Its handlers run some time after the call that a kernel would run them in, and of several only
// one.
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kSignalsComeLate = true;
#else
inline constexpr bool kSignalsComeLate = false;
#endif

class SignalContractTest : public ContractTest {
 protected:
  SignalContractTest() {
    handled = 0;
    handled_in_order = 0;
    handled_by = 0;
    handlers_kernel = &kernel_;
  }

  // What a test that failed has left pending is thrown away.
  ~SignalContractTest() override {
    struct sigaction action {};
    for (const auto handler : {SIG_IGN, SIG_DFL}) {
      action.sa_handler = handler;
      for (int signum = 1; signum <= 64; ++signum) {
        if (sigismember(&blocked_, signum) == 1) (void)kernel_.sigaction(signum, action);
      }
    }
  }

  // SIGUSR1 counted when handled, blocked now, open in Open().
  void BlockKicks() {
    struct sigaction action {};
    action.sa_handler = CountKick;
    ASSERT_TRUE(kernel_.sigaction(SIGUSR1, action));
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, Kicks(), nullptr));
  }
  static sigset_t Kicks() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    return set;
  }
  static sigset_t Open() {
    sigset_t set;
    sigemptyset(&set);
    return set;
  }
  void KickSelf() { ASSERT_TRUE(kernel_.tgkill(kernel_.getpid(), kernel_.gettid(), SIGUSR1)); }

  // Several signals counted when handled, all of them blocked now.
  void BlockAll(std::initializer_list<int> signums) {
    struct sigaction action {};
    action.sa_handler = CountKick;
    for (const int signum : signums) {
      ASSERT_TRUE(kernel_.sigaction(signum, action));
      sigaddset(&blocked_, signum);
    }
    ASSERT_TRUE(kernel_.pthread_sigmask(SIG_BLOCK, blocked_, nullptr));
  }
  void SendSelf(int signum) {
    ASSERT_TRUE(kernel_.tgkill(kernel_.getpid(), kernel_.gettid(), signum));
  }
  void SendProcess(int signum) { ASSERT_TRUE(kernel_.kill(kernel_.getpid(), signum)); }

  // Whether a kick is pending: it is taken by looking.
  bool TakePendingKick() {
    const int before = handled;
    const timespec zero{0, 0};
    const sigset_t open = Open();
    (void)kernel_.ppoll(nullptr, 0, &zero, &open);
    return handled > before;
  }

  // An eventfd that is readable, and an epoll instance that watches it.
  void MakeReady() {
    ready_ = Fd(kernel_, kernel_.eventfd(1, EFD_NONBLOCK).value());
    epoll_ = Fd(kernel_, kernel_.epoll_create1(0).value());
    epoll_event event{};
    event.events = EPOLLIN;
    ASSERT_TRUE(kernel_.epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, ready_.get(), &event));
  }

  static constexpr timespec kLong{10, 0};
  sigset_t blocked_ = Open();
  Fd ready_;
  Fd epoll_;
};

}  // namespace pollux
