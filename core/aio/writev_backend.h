// writev: pread(2) into a buffer, send(2) from it. The plainest backend, and the one that works on
// every file system; blocks the loop on a cold cache as linux-sendfile does.
#pragma once

#include <cstdint>
#include <memory>

#include "core/aio/backend.h"
#include "core/base/units.h"

namespace pollux {

// One buffer serves all transfers, since each uses it only inside a Pump: a thousand clients that
// never read cost nothing. The price is that what a full socket did not take is read again later
// (from the page cache, where it was a moment ago), less than this many bytes per full socket.
inline constexpr uint64_t kWritevBufferBytes = 64_KiB;

// `kernel` and `stats` must outlive the backend, the backend its transfers. Transfers never answer
// kWaiting. Errors of Pump: ENODATA from pread when the file has become shorter, else those of
// pread(2) (EIO, ...) and send(2) (EPIPE, ECONNRESET, ENOMEM, ...).
std::unique_ptr<Backend> MakeWritevBackend(Kernel& kernel, AioStats& stats);

}  // namespace pollux
