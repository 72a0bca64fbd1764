#include "core/aio/residency.h"

#include <algorithm>
#include <cerrno>

#include "core/base/units.h"

namespace pollux {
namespace {

// What cachestat counts in. On a kernel with larger pages there are fewer of them than expected
// here, so that cached files look cold: slower, never wrong.
constexpr uint64_t kPageBytes = 4_KiB;

// After these the prefix is known to 1/256 of the range: enough for a hint.
constexpr int kBisectionsMax = 8;
// Beyond the first one. They go in order and stop at the first miss, so that at most one place of a
// cold file sees read-ahead.
constexpr uint64_t kProbesMax = 8;
static_assert(1 + kBisectionsMax + 1 + 1 + kProbesMax <= Residency::kCallsMax);

uint64_t PagesIn(uint64_t offset, uint64_t end) {
  return (AlignUp(end, kPageBytes) - AlignDown(offset, kPageBytes)) / kPageBytes;
}

}  // namespace

uint64_t Residency::CachedPrefix(const OpenFile& file, uint64_t offset, uint64_t length) {
  if (length == 0) return 0;
  if (!cachestat_missing_) {
    const auto counted = ByCachestat(file.fd.get(), offset, length);
    if (counted) {
      // Reads fill pages in order: if the last one is filled, so are those before it, most likely.
      const bool filling =
          *counted != 0 && ProbeByte(file.fd.get(), offset + *counted - 1) == Probe::kNotReady;
      return filling ? ByProbes(file.fd.get(), offset, *counted) : *counted;
    }
  }
  return ByProbes(file.fd.get(), offset, length);
}

// Nothing if cachestat cannot say.
std::optional<uint64_t> Residency::ByCachestat(int fd, uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  Cachestat stat;
  const Status all = kernel_.cachestat(fd, {offset, length}, &stat);
  if (!all) {
    // ENOSYS: a kernel before 6.5. EPERM: not our file (or a seccomp filter; then it costs one
    // refused call a query). EOPNOTSUPP: hugetlbfs. Others are not expected; probes answer too.
    cachestat_missing_ = all.error().code == ENOSYS;
    return std::nullopt;
  }
  if (stat.nr_cache == 0) return 0;
  if (stat.nr_cache >= PagesIn(offset, end)) return length;

  // Some pages are there: is it a prefix? [offset, cached_to) is, [offset, gap_before) is not.
  uint64_t cached_to = offset;
  uint64_t gap_before = end;
  for (int i = 0; i < kBisectionsMax; ++i) {
    const uint64_t middle = AlignDown(cached_to + (gap_before - cached_to) / 2, kPageBytes);
    if (middle <= cached_to) break;
    const Status part = kernel_.cachestat(fd, {cached_to, middle - cached_to}, &stat);
    if (!part) break;  // it worked a moment ago; what is known so far is true
    if (stat.nr_cache >= PagesIn(cached_to, middle)) {
      cached_to = middle;
    } else {
      gap_before = middle;
    }
  }
  return cached_to - offset;
}

Residency::Probe Residency::ProbeByte(int fd, uint64_t at) {
  char byte;
  const iovec iov{&byte, 1};
  const auto got = kernel_.preadv2(fd, &iov, 1, static_cast<off_t>(at), RWF_NOWAIT);
  if (got) return *got == 1 ? Probe::kReady : Probe::kNotReady;  // 0: past the end of the file
  // EOPNOTSUPP: this file system cannot tell.
  if (got.error().code == EOPNOTSUPP) return Probe::kCannotTell;
  // EAGAIN: missing, or still under read. Anything else will be met, and reported, by whoever
  // reads.
  return Probe::kNotReady;
}

uint64_t Residency::ByProbes(int fd, uint64_t offset, uint64_t length) {
  const uint64_t end = offset + length;
  const uint64_t stride = AlignUp((length + kProbesMax - 1) / kProbesMax, kPageBytes);
  uint64_t cached_to = offset;
  for (uint64_t at = offset;; at = std::min(at + stride, end - 1)) {
    // What cannot be told counts as not cached.
    if (ProbeByte(fd, at) != Probe::kReady) break;
    if (at == end - 1) return length;
    // Between two hits the pages are taken to be there; beyond the last one only its own page is.
    cached_to = std::min(AlignDown(at, kPageBytes) + kPageBytes, end);
  }
  return cached_to - offset;
}

}  // namespace pollux
