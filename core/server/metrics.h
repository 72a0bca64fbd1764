// What --metrics-path shows: plain counters, rendered as Prometheus text by prometheus-cpp.
//
// With --workers each worker answers for itself, and every sample says which one it is from:
// whoever asks on a new connection is answered by any of them, so one who wants all asks until all
// have answered, and adds up. Nothing is shared between workers, and numbers are no exception.
//
// No registry: its metrics are atomics behind locks, and everything here is counted on one thread.
// Loop thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "core/aio/aio_stats.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"

namespace pollux {

struct ServerCounters {
  static constexpr int kStatusMax = 600;

  std::array<uint64_t, kStatusMax> requests{};  // answered, by status
  uint64_t bytes_sent_memory = 0;               // heads and bodies that were in memory
  uint64_t connections = 0;                     // open now
  uint64_t connections_refused = 0;             // accepted, then closed for lack of something
  uint64_t timeouts_header = 0;
  uint64_t timeouts_idle = 0;
  uint64_t timeouts_send = 0;
  uint64_t responses_cut = 0;  // begun and not completed
};

// All of one server's numbers, where they are kept.
struct MetricsSources {
  const ServerCounters& server;
  const LoopStats& loop;
  const CoordinationStats& coordination;
  const AioStats& aio;
  uint64_t accepts = 0;
  uint64_t accept_shortages = 0;
  uint64_t workers_queued = 0;
  uint64_t workers_inline_runs = 0;
  uint64_t access_log_dropped_lines = 0;
  uint64_t error_log_lost_lines = 0;
  uint64_t open_files = 0;     // that descriptors are set aside for
  uint64_t opens_waiting = 0;  // for others to be closed
  uint64_t cache_hits = 0;
  uint64_t cache_misses = 0;
  // Which of several workers this is: a label of every sample.
  std::optional<size_t> worker = std::nullopt;
};

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

std::string RenderMetrics(const MetricsSources& sources);

}  // namespace pollux
