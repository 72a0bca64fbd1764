#include "core/event/worker_pool.h"

#include <mutex>
#include <utility>

#include "core/base/check.h"
#include "core/event/signals.h"

namespace pollux {

WorkerPool::WorkerPool(Kernel& kernel, EventLoop& loop, unsigned threads_max)
    : kernel_(kernel),
      loop_(loop),
      threads_max_(threads_max),
      done_count_(kernel.word_create(0)),
      mutex_(kernel.mutex_create()),
      work_(kernel.condvar_create()) {
  loop_.AddWakeSource(this);
}

WorkerPool::~WorkerPool() {
  Stop();
  loop_.RemoveWakeSource(this);
}

void WorkerPool::Run(std::unique_ptr<WorkerJob> job) {
  if (stopped_) return;
  ++outstanding_;
  if (WantsThread()) StartThread();
  if (threads_.empty()) {
    RunInline(std::move(job));
    return;
  }
  const std::lock_guard<Mutex> lock(*mutex_);
  queue_.push_back(std::move(job));
  work_->signal();
}

// If those that are not inside a job (idle, being started, or woken for a job that is still queued)
// all have a queued job to do.
bool WorkerPool::WantsThread() {
  if (threads_.size() >= threads_max_) return false;
  const std::lock_guard<Mutex> lock(*mutex_);
  return threads_.size() - busy_ <= queue_.size();
}

void WorkerPool::StartThread() {
  // Inherited by the new thread: no signal of ours is ever handled on a worker. Blocked already in
  // `masked` and `eventfd`; in `published` only here.
  sigset_t before{};
  if (!kernel_.pthread_sigmask(SIG_BLOCK, Signals::Handled(), &before)) return;
  const Result<ThreadId> id = kernel_.thread_create("pollux-worker", [this] { WorkerMain(); });
  CHECK(kernel_.pthread_sigmask(SIG_SETMASK, before, nullptr));
  // EAGAIN (RLIMIT_NPROC, threads-max, memory): those that exist must do, or the loop itself. The
  // next job tries again.
  if (id) threads_.emplace_back(kernel_, *id);
}

void WorkerPool::RunInline(std::unique_ptr<WorkerJob> job) {
  ++inline_runs_;
  job->RunOnWorker(kernel_);
  inline_done_.jobs.push_back(std::move(job));
  inline_done_.ready_turn = loop_.stats().turns + 1;
  loop_.Post(inline_done_);
}

void WorkerPool::WorkerMain() {
  for (;;) {
    std::unique_ptr<WorkerJob> job;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      while (queue_.empty() && !stop_) work_->wait(*mutex_);
      if (stop_) return;
      job = std::move(queue_.front());
      queue_.pop_front();
      ++busy_;
    }
    job->RunOnWorker(kernel_);
    bool was_empty = false;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      --busy_;
      was_empty = done_.empty();
      done_.push_back(std::move(job));
      done_count_->store(done_.size());
    }
    // If there were others, their wake-up is under way and the loop takes all at once.
    if (was_empty) loop_.coordination().Wake();
  }
}

void WorkerPool::OnWake() {
  if (done_count_->load() == 0) return;  // the usual turn: no lock
  std::vector<std::unique_ptr<WorkerJob>> done;
  {
    const std::lock_guard<Mutex> lock(*mutex_);
    done.swap(done_);
    done_count_->store(0);
  }
  for (std::unique_ptr<WorkerJob>& job : done) HandBack(std::move(job));
}

void WorkerPool::HandBack(std::unique_ptr<WorkerJob> job) {
  if (stopped_) return;  // by the Done of one before it
  --outstanding_;
  job->Done();
}

void WorkerPool::HandBackInline() {
  if (loop_.stats().turns < inline_done_.ready_turn) {
    loop_.Post(inline_done_);  // still the turn it was given in
    return;
  }
  std::deque<std::unique_ptr<WorkerJob>> done;
  done.swap(inline_done_.jobs);
  for (std::unique_ptr<WorkerJob>& job : done) HandBack(std::move(job));
}

void WorkerPool::Stop() {
  if (stopped_) return;
  stopped_ = true;
  std::deque<std::unique_ptr<WorkerJob>> not_started;
  {
    const std::lock_guard<Mutex> lock(*mutex_);
    stop_ = true;
    not_started.swap(queue_);
    work_->broadcast();
  }
  threads_.clear();  // joins
  done_.clear();     // no other thread is left
  inline_done_.jobs.clear();
  outstanding_ = 0;
}

}  // namespace pollux
