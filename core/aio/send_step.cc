#include "core/aio/send_step.h"

#include <algorithm>
#include <cerrno>
#include <memory>

#include "core/base/check.h"
#include "core/base/units.h"

namespace pollux {
namespace {

// sendfile(2): "at most 0x7ffff000 bytes" are moved by one call.
constexpr uint64_t kSendfileBytesMax = 0x7ffff000;

// Where sendfile() cannot. Allocated for the step: such file systems are rare.
constexpr size_t kCopyBytes = 64_KiB;

SendStep Failed(SendStep step, Error error) {
  step.end = SendStep::End::kFailed;
  step.error = error;
  return step;
}

SendStep SocketFull(SendStep step) {
  step.end = SendStep::End::kSocketFull;
  return step;
}

Result<size_t> PreadRetrying(Kernel& kernel, int fd, std::span<char> out, uint64_t offset) {
  for (;;) {
    auto got = kernel.pread(fd, out.data(), out.size(), static_cast<off_t>(offset));
    // A signal before the first byte: nothing was read.
    if (!got && got.error().code == EINTR) continue;
    return got;
  }
}

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
      if (sent.error().code == EAGAIN) return SocketFull(step);
      if (sent.error().code == EINVAL) {  // a file system without splice_read
        const auto buffer = std::make_unique_for_overwrite<char[]>(kCopyBytes);
        const uint64_t before = step.bytes;
        step = CopyStep(kernel, socket, file, offset + before, count - before,
                        {buffer.get(), kCopyBytes});
        step.bytes += before;
        return step;
      }
      // EIO (the disk), EPIPE, ECONNRESET, ETIMEDOUT (the peer), ENOMEM: the answer cannot be
      // completed, whichever it is.
      return Failed(step, sent.error());
    }
    CHECK(*sent <= asked);
    // The end of the file, though its size promised more: truncated since it was opened.
    if (*sent == 0) return Failed(step, {ENODATA, "sendfile"});
    step.bytes += *sent;
    if (*sent < asked) return SocketFull(step);
  }
  return step;
}

SendStep CopyStep(Kernel& kernel, int socket, int file, uint64_t offset, uint64_t count,
                  std::span<char> buffer) {
  SendStep step;
  while (step.bytes < count) {
    const auto room = buffer.first(std::min<uint64_t>(buffer.size(), count - step.bytes));
    const auto got = PreadRetrying(kernel, file, room, offset + step.bytes);
    // EIO, or whatever else the file system says: the answer cannot be completed.
    if (!got) return Failed(step, got.error());
    // As above.
    if (*got == 0) return Failed(step, {ENODATA, "pread"});
    CHECK(*got <= room.size());
    const SendStep sent = SendBytes(kernel, socket, room.first(*got));
    step.bytes += sent.bytes;
    if (sent.end == SendStep::End::kFailed) return Failed(step, sent.error);
    if (sent.end == SendStep::End::kSocketFull) return SocketFull(step);
  }
  return step;
}

SendStep SendBytes(Kernel& kernel, int socket, std::span<const char> bytes) {
  for (;;) {
    // MSG_NOSIGNAL: a peer that is gone is an EPIPE here, not a signal.
    const auto sent = kernel.send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent) {
      CHECK(*sent <= bytes.size());
      const SendStep step{.bytes = *sent};
      return *sent < bytes.size() ? SocketFull(step) : step;
    }
    if (sent.error().code == EINTR) continue;  // nothing went out
    if (sent.error().code == EAGAIN) return SocketFull({});
    // EPIPE, ECONNRESET, ETIMEDOUT (the peer), ENOMEM, ENOBUFS: the answer cannot be completed.
    return Failed({}, sent.error());
  }
}

}  // namespace pollux
