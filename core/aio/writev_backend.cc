#include "core/aio/writev_backend.h"

#include <utility>
#include <vector>

#include "core/aio/loop_transfer.h"

namespace pollux {
namespace {

class WritevBackend final : public Backend {
 public:
  WritevBackend(Kernel& kernel, AioStats& stats)
      : kernel_(kernel), stats_(stats), buffer_(kWritevBufferBytes) {}

  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return MakeLoopTransfer(std::move(request), stats_,
                            [this](int socket, int file, uint64_t offset, uint64_t count) {
                              return CopyStep(kernel_, socket, file, offset, count, buffer_);
                            });
  }

 private:
  Kernel& kernel_;
  AioStats& stats_;
  std::vector<char> buffer_;  // holds nothing between two Pumps
};

}  // namespace

std::unique_ptr<Backend> MakeWritevBackend(Kernel& kernel, AioStats& stats) {
  return std::make_unique<WritevBackend>(kernel, stats);
}

}  // namespace pollux
