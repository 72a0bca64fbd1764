// How much of an answer may lie in its socket's queue beyond what the client's window has room for
// (TCP_NOTSENT_LOWAT, tcp(7)).
//
// That memory is the kernel's, out of net.ipv4.tcp_mem, which all sockets of the machine share:
// thousands of clients that hardly read would use it up at 4 MiB each, and then nobody's answers
// get on. So the more answers are being sent, the less each may queue.
//
// What was queued whole before its client stopped reading does not count as being sent: it goes
// with --idle-timeout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/base/units.h"

namespace pollux {

// --max-unsent-total
inline constexpr uint64_t kUnsentTotalBytes = 128_MiB;
// Less would cost more in system calls than it saves.
inline constexpr uint64_t kUnsentBytesMin = 16_KiB;

// What the next of `sending` answers (itself included) may queue: its part of `total`, from
// kUnsentBytesMin to `each_max`. Changes only at powers of two, as each change is a system call.
uint64_t UnsentShare(size_t sending, uint64_t total, uint64_t each_max);

}  // namespace pollux
