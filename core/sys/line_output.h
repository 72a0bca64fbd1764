// Where lines of a log go: a descriptor that is written to and never waited for.
//
// Somebody else may hold the other end of standard output and standard error, and not read: a
// blocking write(2) would then hold the event loop. O_NONBLOCK belongs to the open file
// description, which is shared with everybody who inherited it, so it is not set; a pipe or a
// terminal is opened again instead (proc(5), /proc/self/fd). Where that is refused (the pipe
// belongs to another user, no /proc), poll(2) is asked before each write of at most PIPE_BUF
// bytes, which a pipe that is writable has room for (pipe(7)). A socket takes MSG_DONTWAIT.
// Regular files are used as they are: their writes wait for no reader, and whoever shares the
// descriptor shares its offset.
//
// Loop thread only.
#pragma once

#include <limits.h>

#include <string_view>

#include "core/base/result.h"
#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

// What one write to a pipe does not tear apart, whoever else writes (pipe(7)). No line of a log is
// longer.
inline constexpr size_t kLogLineBytesMax = PIPE_BUF;

class LineOutput {
 public:
  // Nowhere: Write fails with EBADF.
  LineOutput() = default;
  // `fd` as it is; not owned. Waits if `fd` does.
  LineOutput(Kernel& kernel, int fd) : kernel_(&kernel), fd_(fd) {}
  // `fd` (1 or 2, or what else was inherited; not owned) without waiting for its reader. Cannot
  // fail: what does is made up for, as told above. To be made before rights are given up.
  static LineOutput WithoutWaiting(Kernel& kernel, int fd);
  // A file opened with O_APPEND and O_NONBLOCK.
  LineOutput(Kernel& kernel, Fd file);

  // Makes one write of the front of `lines`: all of it, or, where a longer write could be torn
  // apart, as many whole lines as PIPE_BUF holds. Says how many bytes were taken. EAGAIN: nobody
  // reads just now. EPIPE, ENOSPC, EIO, EFBIG, ...: as write(2) has them.
  Result<size_t> Write(std::string_view lines);

  // Waits until there may be room, at most so long. Only for the last lines, when nobody is served
  // any more.
  void AwaitRoom(int timeout_ms);

 private:
  enum class Way {
    kWholeFile,  // a regular file: one write for everything
    kInPieces,   // a pipe, a terminal: non-blocking, or as it was given
    kAskFirst,   // the same, blocking: poll(2) goes first
    kSocket,
  };
  static Way WayFor(Kernel& kernel, int fd);

  Kernel* kernel_ = nullptr;
  Fd own_;
  int fd_ = -1;  // own_, or another's
  Way way_ = Way::kInPieces;
};

// Opens /dev/null for whichever of descriptors 0, 1 and 2 was closed at the start, so that no
// socket and no log gets the number that a stray write would go to. Best effort: without /dev/null
// there is nothing to put there.
void OccupyStandardDescriptors(Kernel& kernel);

}  // namespace pollux
