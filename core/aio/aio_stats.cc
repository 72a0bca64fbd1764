#include "core/aio/aio_stats.h"

#include "core/base/check.h"

namespace pollux {

const char* ToString(ChunkState state) {
  switch (state) {
    case ChunkState::kFree:
      return "free";
    case ChunkState::kReading:
      return "reading";
    case ChunkState::kReady:
      return "ready";
    case ChunkState::kSending:
      return "sending";
    case ChunkState::kRetired:
      return "retired";
  }
  CHECK(false);
}

}  // namespace pollux
