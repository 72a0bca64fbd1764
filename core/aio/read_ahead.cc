#include "core/aio/read_ahead.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <cstdio>

#include "core/sys/raii.h"

namespace pollux {
namespace {

// The number in a sysfs file; 0 if it is not there or is no number.
uint64_t ReadNumber(Kernel& kernel, const char* path) {
  auto fd = OwnFd(kernel, kernel.openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0));
  if (!fd) return 0;  // ENOENT: no such device here, or no /sys
  char text[32];
  auto got = kernel.read(fd->get(), text, sizeof text);
  if (!got) return 0;
  uint64_t number = 0;
  std::from_chars(text, text + *got, number);
  return number;
}

}  // namespace

uint64_t DeviceReadAhead(Kernel& kernel, int fd) {
  struct stat st {};
  if (!kernel.fstat(fd, &st)) return 0;
  const unsigned major_number = gnu_dev_major(st.st_dev), minor_number = gnu_dev_minor(st.st_dev);
  for (const char* format :
       {"/sys/class/bdi/%u:%u/read_ahead_kb", "/sys/dev/block/%u:%u/queue/read_ahead_kb",
        "/sys/dev/block/%u:%u/../queue/read_ahead_kb"}) {
    char path[80];
    std::snprintf(path, sizeof path, format, major_number, minor_number);
    if (const uint64_t kib = ReadNumber(kernel, path); kib > 0) return kib * 1024;
  }
  return 0;
}

}  // namespace pollux
