#include "core/aio/loop_transfer.h"

#include <algorithm>
#include <utility>

namespace pollux {
namespace {

class LoopTransfer final : public Transfer {
 public:
  LoopTransfer(TransferRequest request, AioStats& stats, StepFunction step)
      : request_(std::move(request)), stats_(stats), step_(std::move(step)) {}

  Result<Outcome> Pump(uint64_t bytes_max) override {
    const uint64_t count = std::min(request_.length - sent_, bytes_max);
    const SendStep step =
        step_(request_.socket->get(), request_.file->fd.get(), request_.offset + sent_, count);
    sent_ += step.bytes;
    stats_.bytes_sent += step.bytes;
    if (step.end == SendStep::End::kFailed) return Err(step.error);
    if (sent_ == request_.length) return Outcome::kDone;
    return step.end == SendStep::End::kSocketFull ? Outcome::kSocketFull : Outcome::kYield;
  }

  uint64_t sent() const override { return sent_; }

 private:
  const TransferRequest request_;
  AioStats& stats_;
  const StepFunction step_;
  uint64_t sent_ = 0;
};

}  // namespace

std::unique_ptr<Transfer> MakeLoopTransfer(TransferRequest request, AioStats& stats,
                                           StepFunction step) {
  return std::make_unique<LoopTransfer>(std::move(request), stats, std::move(step));
}

}  // namespace pollux
