// Is this part of a file in the page cache? A hint for `auto`, never a promise: pages can be
// evicted a moment later, or be there but still under read.
//
// cachestat(2) (Linux 6.5) counts resident pages without touching them, those under read included:
// what it finds is confirmed by one byte of preadv2(2) with RWF_NOWAIT, which a page that is not
// yet filled refuses. It answers EPERM to those who neither own the file nor may write it (6.14 and
// stable kernels since). They, and older kernels, get such probes only; these may start read-ahead
// where a page is missing, and where the disk answers within the call the page then counts as
// cached: there it would not have been waited for long either. Rejected: mincore(2), which reports
// everything resident to unprivileged callers.
//
// On overlayfs neither can tell (cachestat counts 0, RWF_NOWAIT is EOPNOTSUPP: the pages belong to
// the file below), so that nothing there counts as cached.
#pragma once

#include <cstdint>
#include <optional>

#include "core/aio/open_file.h"
#include "core/sys/kernel.h"

namespace pollux {

class Residency {
 public:
  // No query makes more calls than this.
  static constexpr int kCallsMax = 19;

  explicit Residency(Kernel& kernel) : kernel_(kernel) {}

  // How many bytes from `offset`, `length` at most, seem to be cached without a gap; 0 where that
  // cannot be known. Does not read from the disk itself. Loop thread only.
  uint64_t CachedPrefix(const OpenFile& file, uint64_t offset, uint64_t length);

 private:
  enum class Probe { kReady, kNotReady, kCannotTell };
  Probe ProbeByte(int fd, uint64_t at);
  std::optional<uint64_t> ByCachestat(int fd, uint64_t offset, uint64_t length);
  uint64_t ByProbes(int fd, uint64_t offset, uint64_t length);

  Kernel& kernel_;
  bool cachestat_missing_ = false;  // ENOSYS once is ENOSYS for ever
};

}  // namespace pollux
