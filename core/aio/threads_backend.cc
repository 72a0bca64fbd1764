#include "core/aio/threads_backend.h"

#include <algorithm>
#include <utility>

#include "core/aio/send_step.h"
#include "core/base/check.h"

namespace pollux {
namespace {

class ThreadsTransfer;

// What a transfer and its jobs share; a job can outlive the transfer.
struct Tether {
  ThreadsTransfer* transfer = nullptr;  // loop thread only; null once it is destroyed
  // 1 once the transfer is destroyed, for the worker: what nobody waits for need not be read.
  std::unique_ptr<SharedWord> abandoned;
};

class SendfileJob final : public WorkerJob {
 public:
  SendfileJob(std::shared_ptr<Tether> tether, const TransferRequest& request, uint64_t sent)
      : tether_(std::move(tether)),
        socket_(request.socket),
        file_(request.file),
        offset_(request.offset + sent),
        count_(std::min(request.length - sent, kThreadsJobBytesMax)) {}

  void RunOnWorker(Kernel& kernel) override {
    if (tether_->abandoned->load() != 0) return;
    step_ = SendfileStep(kernel, socket_->get(), file_->fd.get(), offset_, count_);
  }

  void Done() override;

 private:
  const std::shared_ptr<Tether> tether_;
  const std::shared_ptr<Fd> socket_;
  const std::shared_ptr<OpenFile> file_;
  const uint64_t offset_;
  const uint64_t count_;
  SendStep step_;
};

class ThreadsTransfer final : public Transfer {
 public:
  ThreadsTransfer(Kernel& kernel, WorkerPool& workers, AioStats& stats, TransferRequest request)
      : workers_(workers),
        stats_(stats),
        request_(std::move(request)),
        tether_(std::make_shared<Tether>()) {
    tether_->transfer = this;
    tether_->abandoned = kernel.word_create(0);
  }

  ~ThreadsTransfer() override {
    tether_->transfer = nullptr;
    tether_->abandoned->store(1);
  }

  Result<Outcome> Pump(uint64_t /*bytes_max*/) override {
    if (job_out_) return Outcome::kWaiting;
    // What the last job came back with, told once: a full socket is asked again by the next Pump.
    const SendStep last = std::exchange(step_, SendStep{});
    if (last.end == SendStep::End::kFailed) {
      step_ = last;  // for good
      return Err(last.error);
    }
    if (sent_ == request_.length) return Outcome::kDone;
    if (last.end == SendStep::End::kSocketFull) return Outcome::kSocketFull;
    job_out_ = true;
    workers_.Run(std::make_unique<SendfileJob>(tether_, request_, sent_), JobLength::kLong);
    return Outcome::kWaiting;
  }

  uint64_t sent() const override { return sent_; }

  void OnJobDone(const SendStep& step) {
    CHECK(job_out_);
    job_out_ = false;
    step_ = step;
    sent_ += step.bytes;
    stats_.bytes_sent += step.bytes;
    request_.waiter->OnTransferReady();  // may destroy this transfer
  }

 private:
  WorkerPool& workers_;
  AioStats& stats_;
  const TransferRequest request_;
  const std::shared_ptr<Tether> tether_;
  bool job_out_ = false;
  SendStep step_;  // of the last job, not yet told by Pump
  uint64_t sent_ = 0;
};

void SendfileJob::Done() {
  if (tether_->transfer != nullptr) tether_->transfer->OnJobDone(step_);
}

class ThreadsBackend final : public Backend {
 public:
  ThreadsBackend(Kernel& kernel, WorkerPool& workers, AioStats& stats)
      : kernel_(kernel), workers_(workers), stats_(stats) {}

  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return std::make_unique<ThreadsTransfer>(kernel_, workers_, stats_, std::move(request));
  }

 private:
  Kernel& kernel_;
  WorkerPool& workers_;
  AioStats& stats_;
};

}  // namespace

std::unique_ptr<Backend> MakeThreadsBackend(Kernel& kernel, WorkerPool& workers, AioStats& stats) {
  return std::make_unique<ThreadsBackend>(kernel, workers, stats);
}

}  // namespace pollux
