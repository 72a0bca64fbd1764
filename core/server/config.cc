#include "core/server/config.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string_view>

#include "core/http/target.h"
#include "core/server/flag_values.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;

constexpr uint64_t kChunkGranularity = 4_KiB;  // what O_DIRECT asks for at most on Linux
constexpr uint64_t kChunkMax = 64_MiB;
// On two spindles of 58 MB/s five streams come to 102 MB/s, and to 92 with half of it (pollux-sim
// table): each read costs its skip.
constexpr uint64_t kDefaultChunk = 1_MiB;
// Disks take 128 requests as a rule, and a MiB of scattered pages makes two. What they have no room
// for waits inside io_submit, on workers, and comes out of order: more seeks.
constexpr unsigned kDefaultAioDepth = 64;
constexpr milliseconds kTimeoutMax = std::chrono::hours(24);

// Everything a flag can be wrong about ends here: "FLAG: 'WORD' is not valid: MEANT".
[[noreturn]] void Refuse(const std::string& flag, const std::string& word,
                         const std::string& meant) {
  throw CLI::ValidationError(flag, "'" + word + "' is not valid; give " + meant);
}

// `meant` is also the flag's type in --help.
template <typename T, typename Parse>
void AddParsed(CLI::App& app, const std::string& flag, T& target, Parse parse,
               const std::string& type, const std::string& meant, const std::string& about) {
  app.add_option_function<std::string>(
         flag,
         [flag, &target, parse, meant](const std::string& word) {
           const auto value = parse(word);
           if (!value) Refuse(flag, word, meant);
           target = static_cast<T>(*value);
         },
         about)
      ->type_name(type);
}

template <typename T>
void AddSize(CLI::App& app, const std::string& flag, T& target, uint64_t min, uint64_t max,
             const std::string& about) {
  AddParsed(
      app, flag, target,
      [min, max](const std::string& word) -> std::optional<uint64_t> {
        const std::optional<uint64_t> size = ParseSize(word);
        if (!size || *size < min || *size > max) return std::nullopt;
        return size;
      },
      "SIZE",
      "bytes from " + FormatSize(min) + " to " + FormatSize(max) + ", such as 512K, 1M or 1G",
      about + " [bytes; " + FormatSize(target) + "]");
}

template <typename T>
void AddCount(CLI::App& app, const std::string& flag, T& target, uint64_t min, uint64_t max,
              const std::string& about) {
  AddParsed(
      app, flag, target,
      [min, max](const std::string& word) -> std::optional<uint64_t> {
        if (word.empty() || word.find_first_not_of("0123456789") != std::string::npos) {
          return std::nullopt;
        }
        const std::optional<uint64_t> count = ParseSize(word);
        if (!count || *count < min || *count > max) return std::nullopt;
        return count;
      },
      "N", "a number from " + std::to_string(min) + " to " + std::to_string(max),
      about + " [" + std::to_string(target) + "]");
}

void AddTime(CLI::App& app, const std::string& flag, milliseconds& target, milliseconds min,
             const std::string& about) {
  AddParsed(
      app, flag, target,
      [min](const std::string& word) -> std::optional<milliseconds> {
        const std::optional<milliseconds> time = ParseDuration(word);
        if (!time || *time < min || *time > kTimeoutMax) return std::nullopt;
        return time;
      },
      "TIME",
      "a time from " + FormatDuration(min) + " to " + FormatDuration(kTimeoutMax) +
          ", such as 500ms, 10s or 2m",
      about + " [ms, s or m; " + FormatDuration(target) + "]");
}

// Flags that pick one of a few words. `parse` knows the words, `words` names them.
template <typename T, typename Parse>
void AddChoice(CLI::App& app, const std::string& flag, T& target, Parse parse,
               const std::string& words, const std::string& chosen, const std::string& about) {
  AddParsed(app, flag, target, parse, "WORD", "one of " + words,
            about + ": " + words + " [" + chosen + "]");
}

// A name or a path. An empty one is a variable that is not set where the command line was written:
// to go on without it would leave a server with root's rights, or without a log.
void AddText(CLI::App& app, const std::string& flag, std::string& target, const std::string& type,
             const std::string& meant, const std::string& about) {
  AddParsed(
      app, flag, target,
      [](const std::string& word) -> std::optional<std::string> {
        if (word.empty()) return std::nullopt;
        return word;
      },
      type, meant, about);
}

std::optional<EventHandlerKind> ParseEventHandler(std::string_view word) {
  if (word == "epoll") return EventHandlerKind::kEpoll;
  if (word == "poll") return EventHandlerKind::kPoll;
  return std::nullopt;
}

std::optional<spdlog::level::level_enum> ParseLevel(std::string_view word) {
  if (word == "debug") return spdlog::level::debug;
  if (word == "info") return spdlog::level::info;
  if (word == "warn") return spdlog::level::warn;
  if (word == "error") return spdlog::level::err;
  return std::nullopt;
}

void AddServing(CLI::App& app, Config& config) {
  app.add_option("ROOT", config.root, "The folder to serve [.]")->type_name("");
  AddParsed(app, "--listen", config.listen, SocketAddress::Parse, "ADDR:PORT",
            "ADDR:PORT with a numeric address, such as 127.0.0.1:8080 or [::1]:0",
            "Where to listen; port 0 picks a free one [" + config.listen.ToString() + "]");
  AddText(app, "--user", config.user, "NAME", "the name of a user",
          "Serve as this user; needs root to start; the --access-log's folder must be writable "
          "for SIGHUP to open it anew [stay]");
  AddChoice(
      app, "--symlinks", config.symlinks, [](const std::string& w) { return ParseSymlinks(w); },
      "inside, follow, none", ToString(config.symlinks), "Symbolic links that are followed");
  app.add_flag("--listing", config.rules.listing,
               "List folders without index.html, but for names that begin with a dot");
  AddSize(app, "--listing-memory", config.rules.listing_memory_max, 1_MiB, 64_GiB,
          "For all listings under way; folders that do not fit are not sorted");
  AddCount(app, "--workers", config.workers, 1, 256,
           "Processes that serve; each has all the other limits for itself");
  AddCount(app, "--max-connections", config.max_connections, 1, 1'000'000,
           "Connections at once; more wait in the backlog");
}

void AddSending(CLI::App& app, Config& config) {
  BackendOptions& backend = config.backend;
  AddChoice(
      app, "--backend", backend.kind, [](const std::string& w) { return ParseBackend(w); },
      "writev, linux-sendfile, linux-aio-sendfile, linux-aio-write, threads-sendfile, auto",
      ToString(backend.kind), "How files are sent");
  AddChoice(
      app, "--coordination", config.coordination,
      [](const std::string& w) { return ParseCoordination(w); }, "published, masked, eventfd",
      ToString(config.coordination), "How completions wake the loop");
  AddChoice(
      app, "--event-handler", config.event_handler,
      [](const std::string& w) { return ParseEventHandler(w); }, "epoll, poll",
      ToString(config.event_handler), "How the loop waits");
  AddSize(app, "--chunk", backend.chunk_bytes, kChunkGranularity, kChunkMax,
          "One read; a multiple of 4K");
  AddCount(app, "--aio-depth", backend.aio_depth, 1, 65536, "Reads in flight at most");
  AddSize(app, "--buffer-budget", backend.buffer_budget_bytes, 2 * kChunkGranularity,
          uint64_t{1} << 40, "Memory for chunks, all together");
  AddChoice(
      app, "--retire", backend.retire, [](const std::string& w) { return ParseRetire(w); },
      "punch, fresh, reuse", ToString(backend.retire),
      "What becomes of a sent chunk of linux-aio-sendfile");
  AddText(app, "--shm-dir", backend.shm_dir, "DIR", "a folder, such as /dev/shm",
          "Chunks in files of this folder, such as /dev/shm [memfd_create]");
  AddCount(app, "--io-threads", config.io_threads, 1, 256,
           "Threads for cold opens and blocking reads at most");
}

void AddCaching(CLI::App& app, Config& config) {
  FileCacheLimits& cache = config.cache;
  AddCount(app, "--open-files", cache.files_max, 0, 1'000'000,
           "Files kept open between requests; looked at anew twice a second; 0 keeps none");
  AddSize(app, "--small-file-cache", cache.content_bytes_max, 0, uint64_t{1} << 40,
          "Memory for the contents of small files among them; 0 keeps none");
  AddSize(app, "--small-file-max", cache.content_file_max, 0, kContentFileLimit,
          "The largest of these files");
}

void AddObserving(CLI::App& app, Config& config) {
  AddText(app, "--access-log", config.access_log, "FILE|-", "a file, or - for standard output",
          "Combined format, to a file or - for standard output; SIGHUP opens the file anew, as "
          "--user, for whom its folder must be writable [none]");
  AddChoice(
      app, "--error-log-level", config.error_log_level,
      [](const std::string& w) { return ParseLevel(w); }, "debug, info, warn, error", "info",
      "What standard error is told");
  AddParsed(
      app, "--metrics-path", config.metrics_path,
      [](const std::string& word) -> std::optional<std::string> {
        // Requests are compared after their path was made plain.
        const std::optional<http::Target> target = http::ParseTarget(word);
        if (!target || target->path != word) return std::nullopt;
        return word;
      },
      "PATH", "a plain path that begins with /, such as /metrics",
      "Answer this path with Prometheus text, such as /metrics [none]");
}

void AddLimits(CLI::App& app, Config& config) {
  using std::chrono::milliseconds;
  AddTime(app, "--header-timeout", config.header_timeout, milliseconds(1),
          "For a whole request head, from its first byte");
  AddTime(app, "--idle-timeout", config.idle_timeout, milliseconds(1), "Between requests");
  AddTime(app, "--send-timeout", config.send_timeout, milliseconds(1),
          "Without the client taking a byte");
  AddTime(app, "--drain-timeout", config.drain_timeout, milliseconds(0),
          "For running answers after SIGTERM or SIGINT");
  AddSize(app, "--max-unsent", config.unsent_bytes_max, 4_KiB, kUnsentBytesLimit,
          "Bytes in a socket's queue that its client's window has no room for");
  AddSize(app, "--max-unsent-total", config.unsent_total_bytes, 1_MiB, uint64_t{1} << 40,
          "The same for all sockets: beyond it each answer's part shrinks, to 16K at least");
  AddSize(app, "--max-head", config.limits.head_bytes_max, 256, 1_MiB, "A request head, else 431");
  AddCount(app, "--max-headers", config.limits.header_count_max, 1, 10000,
           "Header fields of a request, else 431");
  AddSize(app, "--max-target", config.limits.target_bytes_max, 64, 1_MiB,
          "A request target, else 414");
  AddCount(app, "--max-ranges", config.rules.ranges_max, 1, 1000,
           "Ranges of a request, else the whole file is sent");
}

// What only shows when all flags are known; empty if nothing is wrong.
std::string Contradiction(const Config& config) {
  const BackendOptions& backend = config.backend;
  if (backend.chunk_bytes % kChunkGranularity != 0) {
    return "--chunk: " + FormatSize(backend.chunk_bytes) + " is not a multiple of 4K";
  }
  if (backend.buffer_budget_bytes < 2 * backend.chunk_bytes) {
    return "--buffer-budget: " + FormatSize(backend.buffer_budget_bytes) +
           " does not hold two chunks of " + FormatSize(backend.chunk_bytes);
  }
  if (config.coordination == CoordinationKind::kPublished &&
      config.event_handler == EventHandlerKind::kEpoll) {
    return "--coordination published waits in poll(2) as in 2006: add --event-handler poll";
  }
  return "";
}

// CLI11 would say how many values it wanted; what happened is that a flag was repeated.
std::string Repeated(const CLI::App& app) {
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->count() > 1) {
      return option->get_name() + " is given " + std::to_string(option->count()) +
             " times; give it once";
    }
  }
  return "";
}

std::vector<std::string> FlagsWithoutUse(const CLI::App& app, const Config& config) {
  std::vector<std::string> out;
  if (app.count("--max-target") > 0 &&
      config.limits.target_bytes_max > config.limits.head_bytes_max) {
    out.push_back("--max-target is beyond --max-head, " + FormatSize(config.limits.head_bytes_max) +
                  ", of which a target is a part");
  }
  if (config.backend.kind == BackendKind::kLinuxAioSendfile) return out;
  for (const char* flag : {"--retire", "--shm-dir"}) {
    if (app.count(flag) == 0) continue;
    out.push_back(std::string(flag) + " has no effect with --backend " +
                  ToString(config.backend.kind) +
                  ": only linux-aio-sendfile sends from chunks by reference");
  }
  return out;
}

ParsedArguments Mistake(const std::string& message) {
  ParsedArguments result;
  result.exit_status = 2;
  result.text = "pollux: " + InOneLine(message) + "\n";
  return result;
}

}  // namespace

std::string InOneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return text;
}

const char* ToString(EventHandlerKind kind) {
  return kind == EventHandlerKind::kEpoll ? "epoll" : "poll";
}

ParsedArguments ParseArguments(int argc, const char* const* argv) {
  Config config;
  config.listen = *SocketAddress::Parse("127.0.0.1:8080");
  config.backend.kind = kDefaultBackend;
  config.backend.chunk_bytes = kDefaultChunk;
  config.backend.aio_depth = kDefaultAioDepth;

  CLI::App app("Serves a folder over HTTP/1.1. Defaults are in [brackets].", "pollux");
  app.set_version_flag("--version", "pollux " POLLUX_VERSION);
  AddServing(app, config);
  AddSending(app, config);
  AddCaching(app, config);
  AddObserving(app, config);
  AddLimits(app, config);

  // CLI11 speaks in exceptions; none gets past here.
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return {std::nullopt, 0, app.help()};
  } catch (const CLI::CallForVersion& version) {
    return {std::nullopt, 0, std::string(version.what()) + "\n"};
  } catch (const CLI::ParseError& error) {
    const std::string repeated = Repeated(app);
    return Mistake(repeated.empty() ? error.what() : repeated);
  }
  const std::string contradiction = Contradiction(config);
  if (!contradiction.empty()) return Mistake(contradiction);
  config.warnings = FlagsWithoutUse(app, config);
  return {std::move(config), 0, ""};
}

}  // namespace pollux
