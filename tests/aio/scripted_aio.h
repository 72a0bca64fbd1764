// An event loop with AIO that the test plays, in one thread and on a clock of its own:
//   - io_submit gives its iocbs to the test, which completes them when and as it likes;
//   - workers run at once (no thread can be made), and are handed back in the next turn;
//   - a loop that would sleep moves the clock to its timeout instead.
// Everything else (files, sockets, memory) is the real kernel's.
#pragma once

#include <libaio.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/aio/aio_stats.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/worker_pool.h"
#include "core/sys/linux_kernel.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {

class ScriptedKernel final : public ForwardingKernel {
 public:
  struct InFlight {
    iocb* address = nullptr;
    iocb request{};  // as it was when io_submit took it
  };

  explicit ScriptedKernel(Kernel& below) : ForwardingKernel(below) {}

  // What the next calls of io_submit answer: how many iocbs they take, or an errno. Beyond the last
  // answer each call takes all.
  std::deque<Result<int>> submit_answers;
  std::function<void()> inside_submit;  // runs before io_submit returns
  int setup_error = 0;
  int direct_open_error = 0;         // of openat with O_DIRECT; 0: the real one
  unsigned direct_open_eintrs = 0;   // so many fail with EINTR first
  std::optional<unsigned> dioalign;  // what statx says of direct I/O; none: the real answer
  int fallocate_error = 0;
  // Whether the page at an offset is in the page cache, as cachestat and preadv2 tell it of every
  // file; none: the real answer.
  std::function<bool(uint64_t)> cached;
  // What sysfs says of every device; none: nothing, as in a container without /sys.
  std::optional<unsigned> read_ahead_kib;

  std::deque<InFlight> in_flight;  // taken and not completed, oldest first
  std::vector<size_t> batches;     // how many iocbs each io_submit was called with
  unsigned contexts = 0;           // set up and not destroyed
  unsigned depth = 0;              // as io_setup was asked
  unsigned direct_opens = 0;
  TimePoint now{std::chrono::hours(1)};

  Result<io_context_t> io_setup(unsigned nr_events) override;
  Status io_destroy(io_context_t ctx) override;
  Result<int> io_submit(io_context_t ctx, long nr, iocb** iocbs) override;
  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override;
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override;
  Status fallocate(int fd, int mode, off_t offset, off_t len) override;
  Status cachestat(int fd, const CachestatRange& range, Cachestat* out) override;
  Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) override;
  timespec clock_gettime(clockid_t clock) override;
  Result<ThreadId> thread_create(const char* name, std::function<void()> body) override;

 private:
  Result<int> OpenReadAhead();
};

class ScriptedCoordination final : public Coordination {
 public:
  explicit ScriptedCoordination(ScriptedKernel& kernel) : kernel_(kernel) {}

  int refuse_submit = 0;  // errno of BeforeSubmit
  // Announced by BeforeSubmit, and neither completed nor withdrawn by SubmitFailed.
  size_t pending = 0;
  size_t withdrawn = 0;  // by SubmitFailed, in all
  unsigned attached_depth = 0;
  // No sleep lasts longer than this, and one without a timeout lasts so long.
  std::optional<TimePoint> sleep_until;

  void Complete(const io_event& event) { completions_.push_back({event, kernel_.now}); }

  CoordinationKind kind() const override { return CoordinationKind::kEventfd; }
  Status Start() override { return {}; }
  void Attach(io_context_t, unsigned depth) override { attached_depth = depth; }
  Status BeforeSubmit(std::span<iocb*> iocbs) override;
  void SubmitFailed(size_t count) override;
  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override;
  size_t Collect(std::span<Completion> out) override;
  void Wake() override {}
  void Stop() override {}
  const CoordinationStats& stats() const override { return stats_; }

 private:
  ScriptedKernel& kernel_;
  std::deque<Completion> completions_;
  CoordinationStats stats_;
};

class ScriptedAio {
 public:
  ScriptedAio();
  ~ScriptedAio();

  ScriptedKernel& kernel() { return kernel_; }
  ScriptedCoordination& coordination() { return coordination_; }
  EventLoop& loop() { return *loop_; }
  WorkerPool& workers() { return *workers_; }
  AioStats& stats() { return stats_; }

  void Turn(int turns = 1);
  // Turns until the clock has moved so far; time passes only where the loop would sleep.
  void Pass(Nanoseconds time);

  std::deque<ScriptedKernel::InFlight>& in_flight() { return kernel_.in_flight; }
  // Completes the i-th of in_flight() in the next turn: with `res` as its result (a count or
  // -errno), or with what the file holds, `max` bytes at most.
  void Complete(size_t i, long res);
  void CompleteFromFile(size_t i = 0, uint64_t max = ~uint64_t{0});
  // Everything that is in flight, and what follows from it, until nothing is.
  void CompleteAll();

 private:
  class NoDescriptors;

  LinuxKernel linux_;
  ScriptedKernel kernel_{linux_};
  ScriptedCoordination coordination_{kernel_};
  std::unique_ptr<FdeventHandler> handler_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerPool> workers_;
  AioStats stats_;
};

}  // namespace pollux
