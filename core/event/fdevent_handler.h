// The wait for descriptors behind one interface: epoll(7) or poll(2).
//
// Level-triggered: a descriptor that is still ready is reported again by the next wait, so nothing
// is lost by a caller that stops half way. Events and revents are poll(2)'s POLL* bits; epoll's
// values are the same on Linux (checked at compile time).
//
// Threads: loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/base/units.h"
#include "core/sys/kernel.h"

namespace pollux {

struct FdReady {
  uint64_t token = 0;    // as given to Add or Modify
  uint32_t revents = 0;  // POLL* bits; POLLERR and POLLHUP may come unasked
};

class FdeventHandler {
 public:
  virtual ~FdeventHandler() = default;
  virtual const char* name() const = 0;

  // `events` may be 0: only POLLERR and POLLHUP are reported then. ENOMEM, ENOSPC
  // (/proc/sys/fs/epoll/max_user_watches) or EEXIST on failure.
  virtual Status Add(int fd, uint32_t events, uint64_t token) = 0;
  virtual Status Modify(int fd, uint32_t events, uint64_t token) = 0;
  virtual void Remove(int fd) = 0;

  // Sleeps until a descriptor is ready, a signal handler has run, or the timeout (none: for ever;
  // rounded up to what the system call can express, never down to a spin) is over. Returns how
  // many entries of `ready` were filled, 0 for a timeout, or the error of the wait: EINTR, which
  // carries no information here.
  //
  // `sigmask` is swapped in atomically for the duration of the sleep (ppoll, epoll_pwait). Null
  // leaves the mask alone: with poll that is poll(2) as 2006 called it, with its race.
  virtual Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
                              const sigset_t* sigmask) = 0;
};

std::unique_ptr<FdeventHandler> MakePollHandler(Kernel& kernel);
Result<std::unique_ptr<FdeventHandler>> MakeEpollHandler(Kernel& kernel);

}  // namespace pollux
