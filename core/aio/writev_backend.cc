#include "core/aio/writev_backend.h"

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace pollux {
namespace {

Result<size_t> PreadRetrying(Kernel& kernel, int fd, std::span<char> out, uint64_t offset) {
  for (;;) {
    auto got = kernel.pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    // A signal before the first byte: nothing was read.
    if (!got && got.error().code == EINTR) continue;
    return got;
  }
}

// The bytes that the socket took; 0 when it is full.
Result<size_t> SendRetrying(Kernel& kernel, int fd, std::span<const char> bytes) {
  for (;;) {
    // MSG_NOSIGNAL: a peer that is gone is an EPIPE here, not a signal.
    auto sent = kernel.send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (!sent && sent.error().code == EINTR) continue;
    if (!sent && sent.error().code == EAGAIN) return size_t{0};
    return sent;
  }
}

class WritevTransfer final : public Transfer {
 public:
  WritevTransfer(Kernel& kernel, AioStats& stats, std::span<char> buffer, TransferRequest request)
      : kernel_(kernel), stats_(stats), buffer_(buffer), request_(std::move(request)) {}

  Result<Outcome> Pump(uint64_t bytes_max) override {
    const uint64_t turn_end = sent_ + std::min(request_.length - sent_, bytes_max);
    while (sent_ < turn_end) {
      const auto room = buffer_.first(std::min<uint64_t>(buffer_.size(), turn_end - sent_));
      const auto got =
          PreadRetrying(kernel_, request_.file->fd.get(), room, request_.offset + sent_);
      // EIO, or whatever else the file system says: the answer cannot be completed.
      if (!got) return Err(got.error());
      // The end of the file, though its size promised more: truncated. Never padded.
      if (*got == 0) return Err(ENODATA, "pread");
      CHECK(*got <= room.size());

      const auto taken = SendRetrying(kernel_, request_.socket->get(), room.first(*got));
      // EPIPE, ECONNRESET, ETIMEDOUT (the peer), ENOMEM, ENOBUFS: likewise.
      if (!taken) return Err(taken.error());
      CHECK(*taken <= *got);
      sent_ += *taken;
      stats_.bytes_sent += *taken;
      if (*taken < *got) return Outcome::kSocketFull;
    }
    return sent_ == request_.length ? Outcome::kDone : Outcome::kYield;
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
