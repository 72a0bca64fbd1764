// Threads for what would block the loop: cold opens, first submits, sendfile() from a cold cache.
//
// A job runs on a worker and is then handed back: its Done runs on the loop thread. Workers are made
// one by one as they are needed, up to a limit, and hold every handled signal blocked. Jobs start in
// the order in which they were given.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/event/event_loop.h"
#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

class WorkerJob {
 public:
  virtual ~WorkerJob() = default;
  virtual void RunOnWorker(Kernel& kernel) = 0;  // a worker: touches only what the job owns
  virtual void Done() = 0;                       // loop thread
};

class WorkerPool final : public WakeSource {
 public:
  WorkerPool(Kernel& kernel, EventLoop& loop, unsigned threads_max);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() override;

  // Loop thread. If not even one worker can be made (EAGAIN), the job runs here and now: slow, but
  // it is served; `inline_runs()` counts them. Its Done still comes in a later turn.
  void Run(std::unique_ptr<WorkerJob> job);

  // Loop thread: waits for running jobs, drops those not started, joins. Done is called for neither.
  void Stop();

  void OnWake() override;

  uint64_t queued() const { return outstanding_; }  // given, and not yet handed back
  uint64_t inline_runs() const { return inline_runs_; }

 private:
  // To be laid out by the implementation.
  Kernel& kernel_;
  EventLoop& loop_;
  unsigned threads_max_;
  std::vector<Thread> threads_;
  uint64_t outstanding_ = 0;
  uint64_t inline_runs_ = 0;
};

}  // namespace pollux
