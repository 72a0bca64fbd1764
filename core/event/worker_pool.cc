#include "core/event/worker_pool.h"

#include <algorithm>
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

void WorkerPool::Run(std::unique_ptr<WorkerJob> job, JobLength length) {
  if (stopped_) return;
  ++outstanding_;
  Lane& lane = length == JobLength::kShort ? short_ : long_;
  size_t wanted = 0;
  {
    const std::lock_guard<Mutex> lock(*mutex_);
    lane.queue.push_back(std::move(job));
    wanted = WorkersWanted();
  }
  work_->signal();  // outside, or whoever wakes up would meet the mutex held
  while (threads_.size() < wanted && StartThread()) {
  }
  if (threads_.empty()) RunInline(lane);
}

// One for each job, and one for short jobs to come when there are several long ones. (When there is
// but one long job, its worker gets company with the next job of either length.)
size_t WorkerPool::WorkersWanted() const {
  const size_t for_short = std::max<size_t>(short_.jobs(), long_.jobs() > 1 ? 1 : 0);
  return std::min<size_t>(long_.jobs() + for_short, threads_max_);
}

bool WorkerPool::StartThread() {
  // Inherited by the new thread: no signal of ours is ever handled on a worker. Blocked already in
  // `masked` and `eventfd`; in `published` only here.
  sigset_t before{};
  if (!kernel_.pthread_sigmask(SIG_BLOCK, Signals::Handled(), &before)) return false;
  const Result<ThreadId> id = kernel_.thread_create("pollux-worker", [this] { WorkerMain(); });
  CHECK(kernel_.pthread_sigmask(SIG_SETMASK, before, nullptr));
  // EAGAIN (RLIMIT_NPROC, threads-max, memory): those that exist must do, or the loop itself. The
  // next job tries again.
  if (!id) return false;
  threads_.emplace_back(kernel_, *id);
  return true;
}

// There is no worker, and so no job but this one.
void WorkerPool::RunInline(Lane& lane) {
  std::unique_ptr<WorkerJob> job = std::move(lane.queue.front());
  lane.queue.pop_front();
  ++inline_runs_;
  job->RunOnWorker(kernel_);
  inline_done_.jobs.push_back(std::move(job));
  inline_done_.ready_turn = loop_.stats().turns + 1;
  loop_.Post(inline_done_);
}

// Where the next job to start is; null if none may. What makes a long one startable, the end of
// another or a new worker, comes with a worker that looks here next.
WorkerPool::Lane* WorkerPool::NextLane() {
  if (!short_.queue.empty()) return &short_;
  const size_t long_max = std::max<size_t>(workers_, 2) - 1;
  return !long_.queue.empty() && long_.running < long_max ? &long_ : nullptr;
}

void WorkerPool::WorkerMain() {
  {
    const std::lock_guard<Mutex> lock(*mutex_);
    ++workers_;
  }
  for (;;) {
    Lane* lane = nullptr;
    std::unique_ptr<WorkerJob> job;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      while (!stop_ && (lane = NextLane()) == nullptr) work_->wait(*mutex_);
      if (stop_) return;
      job = std::move(lane->queue.front());
      lane->queue.pop_front();
      ++lane->running;
    }
    job->RunOnWorker(kernel_);
    bool was_empty = false;
    {
      const std::lock_guard<Mutex> lock(*mutex_);
      --lane->running;
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
  std::deque<std::unique_ptr<WorkerJob>> not_started[2];
  {
    const std::lock_guard<Mutex> lock(*mutex_);
    stop_ = true;
    not_started[0].swap(short_.queue);
    not_started[1].swap(long_.queue);
    work_->broadcast();
  }
  threads_.clear();  // joins
  done_.clear();     // no other thread is left
  inline_done_.jobs.clear();
  outstanding_ = 0;
}

}  // namespace pollux
