#include "core/server/metrics.h"

#include <prometheus/client_metric.h>
#include <prometheus/metric_family.h>
#include <prometheus/metric_type.h>
#include <prometheus/text_serializer.h>

#include <chrono>
#include <limits>
#include <utility>
#include <vector>

namespace pollux {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

double Seconds(Nanoseconds time) { return std::chrono::duration<double>(time).count(); }

class Families {
 public:
  void Counter(const char* name, const char* help, uint64_t value) {
    ClientMetric metric;
    metric.counter.value = static_cast<double>(value);
    Add(name, help, MetricType::Counter).metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, double value) {
    ClientMetric metric;
    metric.gauge.value = value;
    Add(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }
  void Gauge(const char* name, const char* help, uint64_t value) {
    Gauge(name, help, static_cast<double>(value));
  }
  void Seconds(const char* name, const char* help, const Histogram& source) {
    ClientMetric metric;
    metric.histogram.sample_count = source.count();
    metric.histogram.sample_sum = pollux::Seconds(source.sum());
    uint64_t cumulative = 0;
    for (int i = 0; i + 1 < Histogram::kBuckets; ++i) {
      cumulative += source.bucket(i);
      metric.histogram.bucket.push_back({cumulative, pollux::Seconds(Histogram::UpperBound(i))});
    }
    metric.histogram.bucket.push_back({source.count(), std::numeric_limits<double>::infinity()});
    Add(name, help, MetricType::Histogram).metric.push_back(std::move(metric));
  }
  MetricFamily& Add(const char* name, const char* help, MetricType type) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    families_.push_back(std::move(family));
    return families_.back();
  }
  void Label(const char* name, const std::string& value) {
    for (MetricFamily& family : families_) {
      for (ClientMetric& metric : family.metric) metric.label.push_back({name, value});
    }
  }
  std::string Text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
  std::vector<MetricFamily> families_;
};

void AddServer(Families& out, const MetricsSources& sources) {
  const ServerCounters& server = sources.server;
  MetricFamily& requests =
      out.Add("pollux_requests_total", "Requests answered, by status.", MetricType::Counter);
  for (int status = 0; status < ServerCounters::kStatusMax; ++status) {
    if (server.requests[status] == 0) continue;
    ClientMetric metric;
    metric.label.push_back({"status", std::to_string(status)});
    metric.counter.value = static_cast<double>(server.requests[status]);
    requests.metric.push_back(std::move(metric));
  }
  out.Gauge("pollux_connections", "Connections open now.", server.connections);
  out.Counter("pollux_accepts_total", "Connections accepted.", sources.accepts);
  out.Counter("pollux_accept_shortages_total",
              "Pauses in accepting for lack of descriptors or memory.", sources.accept_shortages);
  out.Counter("pollux_connections_refused_total", "Connections accepted and closed at once.",
              server.connections_refused);
  out.Counter("pollux_header_timeouts_total", "Request heads that came too slowly.",
              server.timeouts_header);
  out.Counter("pollux_idle_timeouts_total", "Connections closed between requests.",
              server.timeouts_idle);
  out.Counter("pollux_send_timeouts_total", "Answers given up on: the client took nothing.",
              server.timeouts_send);
  out.Counter("pollux_responses_cut_total", "Answers begun and not completed.",
              server.responses_cut);
  out.Counter("pollux_bytes_sent_total", "Bytes accepted by sockets, heads and bodies.",
              server.bytes_sent_memory + sources.aio.bytes_sent);
  out.Counter("pollux_access_log_dropped_lines_total", "Lines the access log had no room for.",
              sources.access_log_dropped_lines);
  out.Counter("pollux_error_log_lost_lines_total", "Lines that standard error did not take.",
              sources.error_log_lost_lines);
  out.Gauge("pollux_open_files", "Files open or being opened.", sources.open_files);
  out.Gauge("pollux_opens_waiting", "Files not opened yet for lack of descriptors.",
            sources.opens_waiting);
  out.Counter("pollux_file_cache_hits_total", "Requests for a file that was kept open.",
              sources.cache_hits);
  out.Counter("pollux_file_cache_misses_total", "Requests whose file was opened or looked at anew.",
              sources.cache_misses);
}

void AddLoop(Families& out, const MetricsSources& sources) {
  const LoopStats& loop = sources.loop;
  out.Counter("pollux_loop_turns_total", "Turns of the event loop.", loop.turns);
  out.Seconds("pollux_loop_turn_seconds", "From the return of a wait to the next wait.", loop.turn);
  out.Gauge("pollux_loop_turn_max_seconds", "The longest turn so far.", Seconds(loop.turn.max()));
  out.Seconds("pollux_completion_to_dispatch_seconds",
              "From user space's first sight of a completion to its dispatch.",
              loop.completion_delay);
  out.Gauge("pollux_completion_to_dispatch_max_seconds", "The longest such delay so far.",
            Seconds(loop.completion_delay.max()));

  const CoordinationStats& waits = sources.coordination;
  out.Counter("pollux_waits_total", "Sleeps of the loop.", waits.waits);
  out.Counter("pollux_waits_interrupted_total", "Sleeps that ended by EINTR.", waits.interrupted);
  out.Counter("pollux_waits_timed_out_total", "Sleeps that ended by their timeout.",
              waits.timeouts);
  out.Counter("pollux_timeout_rescues_total",
              "Sleeps that ended by their timeout although a completion was there.",
              waits.timeout_rescues);
  out.Counter("pollux_helper_kicks_total", "Signals sent to the helper.", waits.helper_kicks);
  out.Counter("pollux_loop_kicks_total", "Signals or eventfd writes sent to the loop.",
              waits.loop_kicks);
}

void AddAio(Families& out, const MetricsSources& sources) {
  const AioStats& aio = sources.aio;
  MetricFamily& chunks = out.Add("pollux_chunks", "Chunks, by state.", MetricType::Gauge);
  for (int i = 0; i < kChunkStates; ++i) {
    ClientMetric metric;
    metric.label.push_back({"state", ToString(static_cast<ChunkState>(i))});
    metric.gauge.value = static_cast<double>(aio.chunks[i]);
    chunks.metric.push_back(std::move(metric));
  }
  out.Gauge("pollux_chunk_bytes", "Memory in chunks now.", aio.chunk_bytes);
  out.Gauge("pollux_chunk_bytes_max", "Memory in chunks at most so far.", aio.chunk_bytes_max);
  out.Gauge("pollux_reads_in_flight", "Asynchronous reads under way.", aio.reads_in_flight);
  out.Gauge("pollux_reads_queued", "Reads waiting for an iocb, a chunk or a worker.",
            aio.reads_queued);
  out.Counter("pollux_reads_submitted_total", "Reads submitted.", aio.reads_submitted);
  out.Counter("pollux_reads_completed_total", "Reads completed.", aio.reads_completed);
  out.Counter("pollux_reads_left_to_workers_total",
              "Reads that the loop could not submit without waiting.", aio.reads_left_to_workers);
  out.Counter("pollux_reads_shared_total", "Chunks that a second connection used.",
              aio.reads_shared);
  out.Counter("pollux_reads_dropped_total", "Chunks dropped under pressure, to be read again.",
              aio.reads_dropped);
  out.Counter("pollux_short_reads_total", "Reads that came back short and were continued.",
              aio.short_reads);
  out.Counter("pollux_failed_reads_total", "Reads that failed.", aio.failed_reads);
  out.Counter("pollux_submit_again_total", "io_submit calls that said EAGAIN.", aio.submit_again);
  out.Counter("pollux_stale_completions_total", "Completions of another generation: none, ever.",
              aio.stale_completions);
  out.Counter("pollux_bytes_read_total", "Bytes read by asynchronous reads.", aio.bytes_read);
  out.Counter("pollux_file_bytes_sent_total", "Bytes of files accepted by sockets.",
              aio.bytes_sent);
  out.Counter("pollux_file_bytes_sent_cached_total", "Of these, straight from the page cache.",
              aio.bytes_sent_cached);
  out.Counter("pollux_fallbacks_total", "Transfers that could not use AIO and went to threads.",
              aio.fallbacks);
  out.Seconds("pollux_read_seconds", "From io_submit to completion.", aio.read_latency);
  out.Gauge("pollux_worker_jobs", "Jobs given to workers and not yet handed back.",
            sources.workers_queued);
  out.Counter("pollux_worker_inline_runs_total", "Jobs run on the loop for lack of a thread.",
              sources.workers_inline_runs);
}

}  // namespace

std::string RenderMetrics(const MetricsSources& sources) {
  Families families;
  AddServer(families, sources);
  AddLoop(families, sources);
  AddAio(families, sources);
  if (sources.worker) families.Label("worker", std::to_string(*sources.worker));
  return families.Text();
}

}  // namespace pollux
