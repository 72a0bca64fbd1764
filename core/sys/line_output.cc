#include "core/sys/line_output.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

namespace pollux {
namespace {

// As many whole lines as fit; of a line that alone is too long, its beginning.
std::string_view Piece(std::string_view lines) {
  if (lines.size() <= kLogLineBytesMax) return lines;
  lines = lines.substr(0, kLogLineBytesMax);
  const size_t end = lines.rfind('\n');
  return end == std::string_view::npos ? lines : lines.substr(0, end + 1);
}

}  // namespace

LineOutput::LineOutput(Kernel& kernel, Fd file)
    : kernel_(&kernel), own_(std::move(file)), fd_(own_.get()), way_(WayFor(kernel, fd_)) {}

LineOutput::Way LineOutput::WayFor(Kernel& kernel, int fd) {
  struct stat st {};
  // EBADF and the like: whatever it is, it is treated with the most care.
  if (!kernel.fstat(fd, &st)) return Way::kInPieces;
  if (S_ISREG(st.st_mode)) return Way::kWholeFile;
  return S_ISSOCK(st.st_mode) ? Way::kSocket : Way::kInPieces;
}

LineOutput LineOutput::WithoutWaiting(Kernel& kernel, int fd) {
  LineOutput output(kernel, fd);
  output.way_ = WayFor(kernel, fd);
  if (output.way_ != Way::kInPieces) return output;
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  // O_NOCTTY: a terminal must not become ours by being written to.
  Result<Fd> own = OwnFd(
      kernel,
      kernel.openat(AT_FDCWD, path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0));
  // EACCES: another user's pipe. ENOENT: no /proc. ENXIO: a pipe whose reader has left. EMFILE, ...
  if (!own) {
    output.way_ = Way::kAskFirst;
    return output;
  }
  output.own_ = std::move(*own);
  output.fd_ = output.own_.get();
  return output;
}

Result<size_t> LineOutput::Write(std::string_view lines) {
  if (fd_ < 0) return Err(EBADF, "write");
  if (way_ == Way::kWholeFile) return kernel_->write(fd_, lines.data(), lines.size());
  const std::string_view piece = Piece(lines);
  if (way_ == Way::kSocket) {
    return kernel_->send(fd_, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  if (way_ == Way::kAskFirst) {
    pollfd ask{fd_, POLLOUT, 0};
    const Result<int> ready = kernel_->poll(&ask, 1, 0);
    // EINTR: a signal of `published`; ENOMEM: no answer is no. POLLERR and POLLHUP do not wait:
    // write tells what is the matter.
    if (!ready) return Err(ready.error());
    if (*ready == 0) return Err(EAGAIN, "write");
  }
  return kernel_->write(fd_, piece.data(), piece.size());
}

void LineOutput::AwaitRoom(int timeout_ms) {
  if (fd_ < 0) return;
  pollfd room{fd_, POLLOUT, 0};
  (void)kernel_->poll(&room, 1, timeout_ms);  // whatever it says, Write tells
}

void OccupyStandardDescriptors(Kernel& kernel) {
  for (;;) {
    // Without O_CLOEXEC, as every process expects of these three.
    const Result<int> fd = kernel.openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    if (!fd) return;
    if (*fd > STDERR_FILENO) {
      (void)kernel.close(*fd);
      return;
    }
  }
}

}  // namespace pollux
