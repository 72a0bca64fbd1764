// Command lines: any words give a configuration that holds what the server relies on, or one line
// that says what is wrong. The input is words, a line each.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/units.h"
#include "core/server/config.h"
#include "fuzz/input.h"

namespace {

using pollux::Config;
using pollux::ParseArguments;
using pollux::ParsedArguments;
using pollux::SocketAddress;

constexpr size_t kWordsMax = 64;

void CheckConfig(const Config& config) {
  using pollux::operator""_KiB;
  CHECK(config.backend.chunk_bytes >= 4_KiB && config.backend.chunk_bytes % 4_KiB == 0);
  CHECK(config.backend.buffer_budget_bytes >= 2 * config.backend.chunk_bytes);
  CHECK(config.backend.aio_depth > 0 && config.io_threads > 0 && config.workers > 0);
  CHECK(config.max_connections > 0 && config.rules.ranges_max > 0);
  CHECK(config.header_timeout.count() > 0 && config.idle_timeout.count() > 0);
  CHECK(config.send_timeout.count() > 0 && config.drain_timeout.count() >= 0);
  CHECK(config.limits.head_bytes_max >= 256 && config.limits.target_bytes_max >= 64);
  CHECK(config.metrics_path.empty() || config.metrics_path.front() == '/');
  const auto again = SocketAddress::Parse(config.listen.ToString());
  CHECK(again && again->ToString() == config.listen.ToString());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  std::vector<std::string> words = {"pollux"};
  // A word of a command line ends at a NUL.
  while (!input.empty() && words.size() < kWordsMax) {
    words.emplace_back(std::string(input.Line()).c_str());
  }
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  const ParsedArguments parsed = ParseArguments(static_cast<int>(argv.size()), argv.data());
  if (parsed.config) {
    CheckConfig(*parsed.config);
    return 0;
  }
  CHECK(!parsed.text.empty() && parsed.text.back() == '\n');
  if (parsed.exit_status == 0) return 0;
  CHECK(parsed.exit_status == 2 && parsed.text.starts_with("pollux: "));
  CHECK(std::all_of(parsed.text.begin(), parsed.text.end() - 1,
                    [](unsigned char c) { return c >= 0x20 && c != 0x7f; }));
  return 0;
}
