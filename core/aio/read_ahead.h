// How far the kernel itself reads ahead on the device under a folder.
#pragma once

#include <cstdint>

#include "core/sys/kernel.h"

namespace pollux {

// From this on the page cache keeps a disk as busy as several direct reads would, at a tenth of
// the CPU: large folios, nothing copied. (One 700 MB file, cold: 0.02 s of CPU per GB read by
// kernel read-ahead of 8 MiB.) Linux starts with 128 KiB, too little for two spindles.
inline constexpr uint64_t kDeepReadAheadBytes = 2 * 1024 * 1024;

// The read-ahead of the device that holds `fd` (O_PATH will do), in bytes: read_ahead_kb under
// /sys/class/bdi or, for a partition, of its disk (Documentation/ABI/stable/sysfs-block). 0 where
// that cannot be known. A few opens and reads in sysfs, which do not wait for a disk.
uint64_t DeviceReadAhead(Kernel& kernel, int fd);

}  // namespace pollux
