// The loop around sendfile(2) that linux-sendfile, threads-sendfile and `auto` share.
#pragma once

#include <cstdint>

#include "core/sys/kernel.h"

namespace pollux {

// How far one visit to a socket came. `bytes` were accepted by it in every case, an error included.
struct SendStep {
  enum class End {
    kAll,         // all that was asked for
    kSocketFull,  // the socket took less: come back when it is writable
    kFailed,      // `error` says why
  };
  End end = End::kAll;
  uint64_t bytes = 0;
  Error error{};
};

// Sends `count` bytes of `file` from `offset` to the non-blocking `socket`. Blocks only in reading
// `file`. EINTR is retried. A short count ends the step as kSocketFull without a second call: that
// call would look up (and on a cold cache read) pages only to learn EAGAIN, and since waits are
// level-triggered nothing is lost where the socket was not full after all.
//
// Errors: ENODATA when the file ends before `count` (it was truncated; sendfile returned 0), else
// those of sendfile(2) and of the socket: EIO, ENOMEM, EINVAL (a file system without it), EPIPE,
// ECONNRESET, ETIMEDOUT, ... SIGPIPE must be ignored: sendfile has no MSG_NOSIGNAL.
// Any thread.
SendStep SendfileStep(Kernel& kernel, int socket, int file, uint64_t offset, uint64_t count);

}  // namespace pollux
