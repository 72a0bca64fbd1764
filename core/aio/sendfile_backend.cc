#include "core/aio/sendfile_backend.h"

#include <algorithm>
#include <utility>

#include "core/aio/send_step.h"

namespace pollux {
namespace {

class SendfileTransfer final : public Transfer {
 public:
  SendfileTransfer(Kernel& kernel, AioStats& stats, TransferRequest request)
      : kernel_(kernel), stats_(stats), request_(std::move(request)) {}

  Result<Outcome> Pump(uint64_t bytes_max) override {
    const uint64_t count = std::min(request_.length - sent_, bytes_max);
    const SendStep step = SendfileStep(kernel_, request_.socket->get(), request_.file->fd.get(),
                                       request_.offset + sent_, count);
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
  const TransferRequest request_;
  uint64_t sent_ = 0;
};

class SendfileBackend final : public Backend {
 public:
  SendfileBackend(Kernel& kernel, AioStats& stats) : kernel_(kernel), stats_(stats) {}

  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return std::make_unique<SendfileTransfer>(kernel_, stats_, std::move(request));
  }

 private:
  Kernel& kernel_;
  AioStats& stats_;
};

}  // namespace

std::unique_ptr<Backend> MakeSendfileBackend(Kernel& kernel, AioStats& stats) {
  return std::make_unique<SendfileBackend>(kernel, stats);
}

}  // namespace pollux
