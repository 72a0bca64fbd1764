// A Kernel that stops the loop's thread where 2006 lost its wake-ups: after the check for work and
// before the entry into poll(2) and its kin. There it runs a hold, a function that returns when
// what was to happen in that gap has happened, and only then lets the thread go to sleep. Verdicts
// rest on this order of events and not on luck.
//
// It also keeps a record of who entered and left the two waits and sent signals, and when.
//
// The thread that makes the HoldKernel is the loop's. Threads: HoldNextLoopWait on the loop thread;
// the record may be read from any.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>

#include "core/base/units.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {

class HoldKernel final : public ForwardingKernel {
 public:
  enum class Point {
    kLoopWait,      // poll, ppoll, epoll_pwait with a timeout that lets them sleep, loop thread
    kHelperWait,    // io_getevents, io_pgetevents that may sleep, any other thread
    kKickToLoop,    // kill, tgkill by a thread other than the loop's
    kKickToHelper,  // kill, tgkill by the loop thread
  };

  explicit HoldKernel(Kernel& below);

  // The next entry into a kLoopWait calls `hold` first, once.
  void HoldNextLoopWait(std::function<void()> hold) { hold_ = std::move(hold); }
  bool holding() const { return hold_ != nullptr; }  // not called yet

  uint64_t entered(Point point) const { return at(point).entered; }
  uint64_t returned(Point point) const { return at(point).returned; }
  TimePoint last_entered(Point point) const { return Time(at(point).last_entered); }
  TimePoint last_returned(Point point) const { return returned_at(point, returned(point) - 1); }
  pid_t thread(Point point) const { return at(point).thread; }  // 0: nobody was there yet
  // Of the n-th call to return, from 0: when, and its errno. The last kRemembered are known.
  static constexpr size_t kRemembered = 64;
  TimePoint returned_at(Point point, uint64_t n) const {
    return Time(at(point).log[n % kRemembered].time);
  }
  int error_at(Point point, uint64_t n) const { return at(point).log[n % kRemembered].error; }
  // The descriptor that eventfd(2) returned last; -1 if it was not called.
  int last_eventfd() const { return last_eventfd_; }

  Result<int> epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                          const sigset_t* sigmask) override;
  Result<int> poll(pollfd* fds, nfds_t nfds, int timeout_ms) override;
  Result<int> ppoll(pollfd* fds, nfds_t nfds, const timespec* timeout,
                    const sigset_t* sigmask) override;
  Result<int> eventfd(unsigned initval, int flags) override;
  Result<int> io_getevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                           const timespec* timeout) override;
  Result<int> io_pgetevents(io_context_t ctx, long min_nr, long nr, io_event* events,
                            const timespec* timeout, const sigset_t* sigmask) override;
  Status kill(pid_t pid, int signum) override;
  Status tgkill(pid_t tgid, pid_t tid, int signum) override;

 private:
  struct Record {
    std::atomic<uint64_t> entered{0};
    std::atomic<uint64_t> returned{0};
    std::atomic<int64_t> last_entered{0};  // ns on CLOCK_MONOTONIC
    std::atomic<pid_t> thread{0};
    struct Return {
      std::atomic<int64_t> time{0};  // ns on CLOCK_MONOTONIC
      std::atomic<int> error{0};     // errno
    };
    std::array<Return, kRemembered> log;
  };
  static constexpr size_t kPoints = 4;

  static TimePoint Time(int64_t ns) { return TimePoint(Nanoseconds(ns)); }
  const Record& at(Point point) const { return records_[static_cast<size_t>(point)]; }
  int64_t Now();
  // Runs `call` between Enter and Return of `point`'s record.
  template <typename Call>
  auto Recorded(Point point, Call call);
  void Hold();

  const pid_t loop_thread_;
  std::function<void()> hold_;
  std::array<Record, kPoints> records_;
  std::atomic<int> last_eventfd_{-1};
};

}  // namespace pollux
