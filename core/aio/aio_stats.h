// Counters of the sending side, exported under --metrics-path. Loop thread only.
#pragma once

#include <array>
#include <cstdint>

#include "core/base/histogram.h"

namespace pollux {

// A chunk's life; see chunk.h.
enum class ChunkState { kFree, kReading, kReady, kSending, kRetired };
inline constexpr int kChunkStates = 5;
const char* ToString(ChunkState state);

struct AioStats {
  std::array<uint64_t, kChunkStates> chunks{};  // how many are in each state now
  uint64_t chunk_bytes = 0;                     // memory in chunks now
  uint64_t chunk_bytes_max = 0;                 // and at most so far
  uint64_t chunks_lost = 0;                     // could not be retired: out of service for good

  uint64_t reads_in_flight = 0;
  uint64_t reads_queued = 0;  // waiting for an iocb, a chunk or a worker
  uint64_t reads_submitted = 0;
  uint64_t reads_completed = 0;        // with their last answer
  uint64_t reads_left_to_workers = 0;  // that the loop could not submit without waiting
  uint64_t reads_shared = 0;           // a chunk that a second connection used
  uint64_t reads_dropped = 0;          // read, dropped under pressure, to be read again
  uint64_t short_reads = 0;            // continued
  uint64_t failed_reads = 0;
  uint64_t submit_again = 0;       // io_submit said EAGAIN
  uint64_t stale_completions = 0;  // of another generation: must stay 0

  uint64_t bytes_read = 0;         // from disks, by AIO
  uint64_t bytes_sent = 0;         // all backends
  uint64_t bytes_sent_cached = 0;  // of these by plain sendfile() from the page cache (auto)
  uint64_t fallbacks = 0;          // transfers that could not use AIO and went to threads

  Histogram read_latency;  // from the first io_submit to the last answer
};

}  // namespace pollux
