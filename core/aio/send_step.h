// One visit to a socket: the loops around sendfile(2), pread(2) and send(2) that the backends
// share.
#pragma once

#include <cstdint>
#include <span>

#include "core/sys/kernel.h"

namespace pollux {

// How far one visit came. `bytes` were accepted by the socket in every case, an error included.
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

// Each sends to the non-blocking `socket` and blocks only in reading `file`. EINTR is retried. A
// short count ends the step as kSocketFull without a second call: that call would look up (and on a
// cold cache read) pages only to learn EAGAIN, and since waits are level-triggered nothing is lost
// where the socket was not full after all.
//
// Errors: ENODATA when the file ends before `count` (it was truncated; never padded), else those of
// the calls and of the socket: EIO, ENOMEM, EPIPE, ECONNRESET, ETIMEDOUT, ...
// Any thread.

// `count` bytes of `file` from `offset`, by reference. Where the file cannot be spliced from
// (EINVAL) they are copied. SIGPIPE must be ignored: sendfile has no MSG_NOSIGNAL.
SendStep SendfileStep(Kernel& kernel, int socket, int file, uint64_t offset, uint64_t count);

// The same by way of `buffer`. What a full socket did not take of it is read again the next time.
SendStep CopyStep(Kernel& kernel, int socket, int file, uint64_t offset, uint64_t count,
                  std::span<char> buffer);

// Bytes that are in memory already.
SendStep SendBytes(Kernel& kernel, int socket, std::span<const char> bytes);

}  // namespace pollux
