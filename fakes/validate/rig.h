// What pollux-validate measures on: the core's own event loop and coordination on the real kernel,
// with the hold decorator between, and completions that happen when the measurement says so.
#pragma once

#include <libaio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/raii.h"
#include "fakes/hold_kernel.h"

namespace pollux::validate {

struct RigOptions {
  CoordinationKind coordination = CoordinationKind::kEventfd;
  bool epoll = true;
};

// The value, or the end of the program with one line and exit status 2: a measurement that cannot
// be set up has no result.
[[noreturn]] void Die(const std::string& message);
template <typename T>
T OrDie(Result<T> result) {
  if (!result) Die(ToString(result.error()));
  return std::move(*result);
}
inline void OrDie(const Status& status) {
  if (!status) Die(ToString(status.error()));
}

// A loop with its coordination and an AIO context. Made and used on the main thread.
class Rig final : public CompletionHandler {
 public:
  static constexpr unsigned kDepth = 64;  // iocbs

  explicit Rig(const RigOptions& options);
  ~Rig() override;

  HoldKernel& kernel() { return kernel_; }
  EventLoop& loop() { return *loop_; }
  Coordination& coordination() { return *coordination_; }
  io_context_t context() const { return context_; }

  // Counts it with the coordination and submits it.
  void Submit(iocb* request);
  // Turns the loop until `finished` or until a turn ends past `deadline`.
  void TurnUntil(const std::function<bool()>& finished, TimePoint deadline);
  void set_on_completion(std::function<void(const Completion&)> f) {
    on_completion_ = std::move(f);
  }

  TimePoint Now() { return MonotonicNow(linux_); }

  void OnCompletion(const Completion& completion) override { on_completion_(completion); }

 private:
  LinuxKernel linux_;
  HoldKernel kernel_{linux_};
  std::unique_ptr<FdeventHandler> handler_;
  Signals signals_{kernel_};
  std::unique_ptr<Coordination> coordination_;
  std::unique_ptr<EventLoop> loop_;
  io_context_t context_ = nullptr;
  std::function<void(const Completion&)> on_completion_;
};

// A pipe. Its ends close with it.
class Pipe {
 public:
  Pipe();
  ~Pipe();
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reading_end() const { return ends_[0]; }
  void Write() const;  // one byte
  void Read() const;   // one byte

 private:
  int ends_[2];
};

// An asynchronous request that completes when Complete is called: IOCB_CMD_POLL on a pipe. For the
// coordinations it is a read like any other.
class ControlledRead {
 public:
  explicit ControlledRead(Rig& rig);

  void Arm();       // main thread
  void Complete();  // any thread; once after each Arm

  uint64_t dispatched() const { return dispatched_; }       // completions dispatched so far
  TimePoint completed_at() const { return completed_at_; }  // just before the pipe was written
  TimePoint dispatched_at() const { return dispatched_at_; }

 private:
  Rig& rig_;
  Pipe pipe_;
  iocb request_{};
  uint64_t dispatched_ = 0;
  TimePoint completed_at_{};
  TimePoint dispatched_at_{};
};

// Whether the thread sleeps in the kernel (state S in /proc), and no longer only means to.
bool IsAsleep(pid_t thread);

// Looks at `condition` again and again, each time with a system call between, on whose return
// signals are delivered. False if it has not come true after `limit`.
bool Await(const std::function<bool()>& condition, Nanoseconds limit);

// Runs `body` on a thread that takes no signals. Join by the destructor.
class Partner {
 public:
  explicit Partner(std::function<void()> body);
  ~Partner();
  Partner(const Partner&) = delete;
  Partner& operator=(const Partner&) = delete;

 private:
  LinuxKernel linux_;
  Thread thread_;
};

inline double Seconds(Nanoseconds ns) { return std::chrono::duration<double>(ns).count(); }

}  // namespace pollux::validate
