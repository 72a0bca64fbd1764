// The command line.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "core/aio/backend.h"
#include "core/event/coordination.h"
#include "core/http/request.h"
#include "core/server/address.h"
#include "core/server/file_cache.h"
#include "core/server/listener.h"
#include "core/server/static_file.h"
#include "core/server/unsent.h"
#include "core/sys/log.h"

namespace pollux {

enum class EventHandlerKind { kEpoll, kPoll };
const char* ToString(EventHandlerKind kind);

// What `pollux` does when nothing else is said. `eventfd` because it is free of every defect of the
// signal protocols and wakes the loop with the fewest context switches per read; `auto` because it
// sends what is cached without a read and what is cold without blocking the loop.
inline constexpr CoordinationKind kDefaultCoordination = CoordinationKind::kEventfd;
inline constexpr BackendKind kDefaultBackend = BackendKind::kAuto;

struct Config {
  std::string root = ".";
  SocketAddress listen;  // 127.0.0.1:8080
  BackendOptions backend;
  CoordinationKind coordination = kDefaultCoordination;
  EventHandlerKind event_handler = EventHandlerKind::kEpoll;
  unsigned io_threads = 32;
  Symlinks symlinks = Symlinks::kInside;
  size_t workers = 1;
  size_t max_connections = 10000;

  FileCacheLimits cache;

  std::string access_log;  // a path, "-" for standard output, empty for none
  spdlog::level::level_enum error_log_level = spdlog::level::info;
  std::string user;          // empty: stay who we are
  std::string metrics_path;  // empty: none

  std::chrono::milliseconds header_timeout = std::chrono::seconds(10);
  std::chrono::milliseconds idle_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds send_timeout = std::chrono::seconds(60);
  uint64_t unsent_bytes_max = kUnsentBytesMax;
  uint64_t unsent_total_bytes = kUnsentTotalBytes;
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
  http::Limits limits;
  ServingRules rules;

  // Of flags that were given and have no effect beside the others: a line each, to warn of.
  std::vector<std::string> warnings;
};

// The end of the command line's story: either a configuration, or a text and an exit status.
struct ParsedArguments {
  std::optional<Config> config;
  int exit_status = 0;  // without a config: 0 after --help and --version, 2 for a mistake
  std::string text;     // for standard output if exit_status is 0, else one line for standard error
};

// What a library, an argument or a file name brings along does not break a message's line.
std::string InOneLine(std::string text);

// Never throws; touches nothing but its arguments.
ParsedArguments ParseArguments(int argc, const char* const* argv);

}  // namespace pollux
