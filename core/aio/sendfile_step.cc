#include "core/aio/sendfile_step.h"

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"

namespace pollux {
namespace {

// sendfile(2): "at most 0x7ffff000 bytes" are moved by one call.
constexpr uint64_t kSendfileBytesMax = 0x7ffff000;

}  // namespace

SendStep SendfileStep(Kernel& kernel, int socket, int file, uint64_t offset, uint64_t count) {
  SendStep step;
  while (step.bytes < count) {
    const size_t asked = std::min(count - step.bytes, kSendfileBytesMax);
    auto position = static_cast<off_t>(offset + step.bytes);
    const auto sent = kernel.sendfile(socket, file, &position, asked);
    if (!sent) {
      // A signal before the first byte: nothing was moved.
      if (sent.error().code == EINTR) continue;
      if (sent.error().code == EAGAIN) {
        step.end = SendStep::End::kSocketFull;
        return step;
      }
      // EIO (the disk), EPIPE, ECONNRESET, ETIMEDOUT (the peer), ENOMEM, EINVAL: the answer cannot
      // be completed, whichever it is.
      step.end = SendStep::End::kFailed;
      step.error = sent.error();
      return step;
    }
    CHECK(*sent <= asked);
    if (*sent == 0) {
      // The end of the file, though its size promised more: truncated since it was opened. Never
      // padded.
      step.end = SendStep::End::kFailed;
      step.error = Error{ENODATA, "sendfile"};
      return step;
    }
    step.bytes += *sent;
    if (*sent < asked) {
      step.end = SendStep::End::kSocketFull;
      return step;
    }
  }
  return step;
}

}  // namespace pollux
