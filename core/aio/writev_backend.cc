#include "core/aio/writev_backend.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "core/aio/send_step.h"

namespace pollux {
namespace {

class WritevTransfer final : public Transfer {
 public:
  WritevTransfer(Kernel& kernel, AioStats& stats, std::span<char> buffer, TransferRequest request)
      : kernel_(kernel), stats_(stats), buffer_(buffer), request_(std::move(request)) {}

  Result<Outcome> Pump(uint64_t bytes_max) override {
    const uint64_t count = std::min(request_.length - sent_, bytes_max);
    const SendStep step = CopyStep(kernel_, request_.socket->get(), request_.file->fd.get(),
                                   request_.offset + sent_, count, buffer_);
    sent_ += step.bytes;
    stats_.bytes_sent += step.bytes;
    if (step.end == SendStep::End::kFailed) return Err(step.error);
    if (sent_ == request_.length) return Outcome::kDone;
    return step.end == SendStep::End::kSocketFull ? Outcome::kSocketFull : Outcome::kYield;
  }

  uint64_t sent() const override { return sent_; }

 private:
  Kernel& kernel_;
  AioStats& stats_;
  const std::span<char> buffer_;  // the backend's; holds nothing between two Pumps
  const TransferRequest request_;
  uint64_t sent_ = 0;
};

class WritevBackend final : public Backend {
 public:
  WritevBackend(Kernel& kernel, AioStats& stats)
      : kernel_(kernel), stats_(stats), buffer_(kWritevBufferBytes) {}

  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return std::make_unique<WritevTransfer>(kernel_, stats_, buffer_, std::move(request));
  }

 private:
  Kernel& kernel_;
  AioStats& stats_;
  std::vector<char> buffer_;
};

}  // namespace

std::unique_ptr<Backend> MakeWritevBackend(Kernel& kernel, AioStats& stats) {
  return std::make_unique<WritevBackend>(kernel, stats);
}

}  // namespace pollux
