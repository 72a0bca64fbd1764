#include "core/server/unsent.h"

#include <algorithm>
#include <bit>

namespace pollux {

uint64_t UnsentShare(size_t sending, uint64_t total, uint64_t each_max) {
  const uint64_t parts = std::bit_ceil(std::max<uint64_t>(sending, 1));
  return std::min(std::max(total / parts, kUnsentBytesMin), each_max);
}

}  // namespace pollux
