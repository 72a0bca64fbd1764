// Threads for what would block the loop: cold opens, first submits, cold sendfile(), listings.
//
// A job runs on a worker and is then handed back: its Done runs on the loop thread. Workers are
// made one by one as they are needed, up to a limit, and hold every handled signal blocked.
//
// There are short jobs and long ones. An open takes a few milliseconds where a slice of a download
// or of a listing may take a worker for as long as a slow disk wants; whoever asks for a small file
// should wait for neither. So short jobs start before long ones, and of several workers one is
// always left to the short ones. Jobs of one length start in the order in which they were given.
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

enum class JobLength {
  kShort,  // opens a file, submits reads
  kLong,   // moves a file's bytes, looks at a folder's entries
};

class WorkerPool final : public WakeSource {
 public:
  WorkerPool(Kernel& kernel, EventLoop& loop, unsigned threads_max);
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;
  ~WorkerPool() override;

  // Loop thread. If not even one worker can be made (EAGAIN), the job runs here and now: slow, but
  // it is served; `inline_runs()` counts them. Its Done still comes in a later turn. After Stop the
  // job is dropped.
  void Run(std::unique_ptr<WorkerJob> job, JobLength length = JobLength::kShort);

  // Loop thread: waits for running jobs, drops those not started, joins. Done is called for
  // neither; all are destroyed here, on the loop thread.
  void Stop();

  void OnWake() override;

  uint64_t queued() const { return outstanding_; }  // given, and not yet handed back
  uint64_t inline_runs() const { return inline_runs_; }

 private:
  // Jobs that ran inline wait here for the next turn. A Job, so that the next turn does not sleep.
  struct InlineDone final : public Job {
    explicit InlineDone(WorkerPool& p) : pool(p) {}
    void RunJob() override { pool.HandBackInline(); }
    WorkerPool& pool;
    std::deque<std::unique_ptr<WorkerJob>> jobs;
    uint64_t ready_turn = 0;  // not before this turn of the loop
  };

  // Jobs of one length. Guarded by mutex_.
  struct Lane {
    std::deque<std::unique_ptr<WorkerJob>> queue;
    size_t running = 0;
    size_t jobs() const { return queue.size() + running; }
  };

  size_t WorkersWanted() const;
  bool StartThread();
  void RunInline(Lane& lane);
  void WorkerMain();
  Lane* NextLane();
  void HandBack(std::unique_ptr<WorkerJob> job);
  void HandBackInline();

  Kernel& kernel_;
  EventLoop& loop_;
  const unsigned threads_max_;

  // Loop thread.
  std::vector<Thread> threads_;
  uint64_t outstanding_ = 0;
  uint64_t inline_runs_ = 0;
  bool stopped_ = false;
  InlineDone inline_done_{*this};

  std::unique_ptr<SharedWord> done_count_;  // written under mutex_: how many are in done_

  std::unique_ptr<Mutex> mutex_;  // guards what follows
  std::unique_ptr<CondVar> work_;
  Lane short_;
  Lane long_;
  size_t workers_ = 0;                            // threads that have begun
  std::vector<std::unique_ptr<WorkerJob>> done_;  // in the order of completion
  bool stop_ = false;
};

}  // namespace pollux
