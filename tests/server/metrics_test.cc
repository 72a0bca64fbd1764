#include "core/server/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace pollux {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Numbers {
  ServerCounters server;
  LoopStats loop;
  CoordinationStats coordination;
  AioStats aio;
  std::string Text() const {
    return RenderMetrics({server, loop, coordination, aio, 11, 12, 13, 14, 15});
  }
};

// The lines that are neither comments nor buckets.
std::string Plain(const std::string& text) {
  std::istringstream in(text);
  std::string out;
  for (std::string line; std::getline(in, line);) {
    if (line[0] != '#' && line.find("_bucket{") == std::string::npos) out += line + "\n";
  }
  return out;
}

TEST(MetricsTest, CountersAndGaugesCarryTheirNumbers) {
  Numbers numbers;
  numbers.server.requests[200] = 3;
  numbers.server.requests[404] = 1;
  numbers.server.connections = 7;
  numbers.server.bytes_sent_memory = 100;
  numbers.aio.bytes_sent = 1000;
  numbers.aio.bytes_read = 2000;
  numbers.aio.reads_in_flight = 4;
  numbers.aio.chunk_bytes = 4096;
  numbers.aio.chunk_bytes_max = 8192;
  numbers.aio.chunks = {1, 2, 3, 4, 5};
  numbers.coordination.waits = 21;
  numbers.coordination.timeout_rescues = 22;
  std::string text("\n");
  text += Plain(numbers.Text());
  for (const char* line : {"pollux_requests_total{status=\"200\"} 3",
                           "pollux_requests_total{status=\"404\"} 1",
                           "pollux_connections 7",
                           "pollux_bytes_sent_total 1100",
                           "pollux_bytes_read_total 2000",
                           "pollux_file_bytes_sent_total 1000",
                           "pollux_reads_in_flight 4",
                           "pollux_chunk_bytes 4096",
                           "pollux_chunk_bytes_max 8192",
                           "pollux_chunks{state=\"free\"} 1",
                           "pollux_chunks{state=\"reading\"} 2",
                           "pollux_chunks{state=\"ready\"} 3",
                           "pollux_chunks{state=\"sending\"} 4",
                           "pollux_chunks{state=\"retired\"} 5",
                           "pollux_waits_total 21",
                           "pollux_timeout_rescues_total 22",
                           "pollux_accepts_total 11",
                           "pollux_accept_shortages_total 12",
                           "pollux_worker_jobs 13",
                           "pollux_worker_inline_runs_total 14",
                           "pollux_access_log_dropped_lines_total 15"}) {
    EXPECT_THAT(text, HasSubstr(std::string("\n") + line + "\n"));
  }
  EXPECT_THAT(text, Not(HasSubstr("status=\"500\"")));
}

TEST(MetricsTest, LargeCountersAreExact) {
  Numbers numbers;
  numbers.aio.bytes_sent = uint64_t{1} << 50;
  EXPECT_THAT(numbers.Text(), HasSubstr("pollux_file_bytes_sent_total 1125899906842624\n"));
}

TEST(MetricsTest, HistogramsAreCumulativeAndInSeconds) {
  Numbers numbers;
  numbers.loop.completion_delay.Record(std::chrono::microseconds(40));
  numbers.loop.completion_delay.Record(std::chrono::microseconds(40));
  numbers.loop.completion_delay.Record(std::chrono::seconds(2));
  numbers.loop.completion_delay.Record(std::chrono::seconds(100));  // beyond the last bound
  const std::string text = numbers.Text();
  const std::string name = "pollux_completion_to_dispatch_seconds";
  EXPECT_THAT(text, HasSubstr("# TYPE " + name + " histogram\n"));
  EXPECT_THAT(text, HasSubstr(name + "_count 4\n"));
  EXPECT_THAT(text, HasSubstr(name + "_sum 102.00008\n"));
  EXPECT_THAT(text, HasSubstr(name + "_bucket{le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("pollux_completion_to_dispatch_max_seconds 100\n"));

  uint64_t last = 0, below_50us = 0, below_1s = 0;
  double last_bound = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    double bound = 0;
    unsigned long long count = 0;
    if (std::sscanf(line.c_str(), "pollux_completion_to_dispatch_seconds_bucket{le=\"%lf\"} %llu",
                    &bound, &count) != 2) {
      continue;
    }
    EXPECT_GE(count, last);
    EXPECT_GT(bound, last_bound);
    last = count;
    last_bound = bound;
    if (bound <= 50e-6) below_50us = count;
    if (bound <= 1.1) below_1s = count;
  }
  EXPECT_EQ(below_50us, 2u);
  EXPECT_EQ(below_1s, 2u);
}

TEST(MetricsTest, WhatFilesAndLogsHadToDoWithoutIsThere) {
  Numbers numbers;
  MetricsSources sources{numbers.server, numbers.loop, numbers.coordination, numbers.aio};
  sources.error_log_lost_lines = 31;
  sources.open_files = 32;
  sources.opens_waiting = 33;
  sources.cache_hits = 34;
  sources.cache_misses = 35;
  const std::string text = RenderMetrics(sources);
  EXPECT_THAT(text, HasSubstr("\npollux_error_log_lost_lines_total 31\n"));
  EXPECT_THAT(text, HasSubstr("\npollux_open_files 32\n"));
  EXPECT_THAT(text, HasSubstr("\npollux_opens_waiting 33\n"));
  EXPECT_THAT(text, HasSubstr("\npollux_file_cache_hits_total 34\n"));
  EXPECT_THAT(text, HasSubstr("\npollux_file_cache_misses_total 35\n"));
}

TEST(MetricsTest, EachSampleOfAWorkerSaysWhichOneItIs) {
  Numbers numbers;
  MetricsSources sources{numbers.server, numbers.loop, numbers.coordination, numbers.aio};
  EXPECT_THAT(RenderMetrics(sources), ::testing::Not(HasSubstr("worker=")));
  sources.worker = 3;
  std::istringstream in(RenderMetrics(sources));
  int samples = 0;
  for (std::string line; std::getline(in, line);) {
    if (line[0] == '#') continue;
    EXPECT_THAT(line, HasSubstr("worker=\"3\""));
    ++samples;
  }
  EXPECT_GT(samples, 40);
}

TEST(MetricsTest, EachFamilyIsDescribedOnce) {
  const std::string text = Numbers().Text();
  std::istringstream in(text);
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("# TYPE ", 0) == 0) names.push_back(line.substr(7, line.find(' ', 7) - 7));
  }
  std::vector<std::string> unique = names;
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  EXPECT_EQ(names.size(), unique.size());
  EXPECT_GE(names.size(), 40u);
}

}  // namespace
}  // namespace pollux
