#include "core/aio/sendfile_backend.h"

#include <utility>

#include "core/aio/loop_transfer.h"

namespace pollux {
namespace {

class SendfileBackend final : public Backend {
 public:
  SendfileBackend(Kernel& kernel, AioStats& stats) : kernel_(kernel), stats_(stats) {}

  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return MakeLoopTransfer(
        std::move(request), stats_,
        [&kernel = kernel_](int socket, int file, uint64_t offset, uint64_t count) {
          return SendfileStep(kernel, socket, file, offset, count);
        });
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
