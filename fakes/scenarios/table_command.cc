// table: the table of 2006 in virtual time, beside the original.
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/table.h"

namespace pollux::sim {
namespace {

using nlohmann::json;

constexpr std::array kBackends = {
    BackendKind::kLinuxSendfile, BackendKind::kLinuxAioSendfile,
    BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile,
    BackendKind::kAuto,          BackendKind::kWritev,
};

// A disk as fast as this makes a cell need tens of thousands of files, which all have an inode.
constexpr double kCellBytesMax = 2e13;

struct Request {
  std::vector<std::string> backends;  // none: all
  std::vector<std::string> chunks = {"512K", "1M"};
  std::vector<unsigned> connections = {1, 2, 5, 10};
  std::string coordination = "masked";
  std::string disk = "raid1-2006";
  unsigned seconds = 60;
  bool as_json = false;
};

struct Row {
  BackendKind backend;
  std::string chunk;  // empty: has none
  std::vector<TableResult> results;
  std::vector<double> cpu_seconds;
};

constexpr const char* kFooter =
    "MB/s of 10^6 bytes; (x): times the figure of 2006, where there is one; !: the slowest client "
    "got\n"
    "less than half of an equal share.\n"
    "What differs from 2006:\n"
    "  - The server is Pollux, not lighttpd 1.5: it keeps several reads of each file in flight "
    "and\n"
    "    stays longer with each of many files. 2006's had one read a connection.\n"
    "  - Computing takes no time, and clients take bytes as they come: the disk is the only "
    "limit.\n"
    "    2006's processor was busy for 30 %, and its network carried 117 MB/s at most.\n"
    "  - Files lie in one piece each, spread evenly over a disk that holds nothing else; no look "
    "at\n"
    "    directories or extents reads from it. The page cache never forgets, and begins empty.\n"
    "  - Read-ahead is that of Linux today (128 KiB); in 2006 it was another algorithm.\n"
    "  - A short skip ahead on a spindle (up to 4 MiB) costs 1.5 ms at most. The published rates "
    "of\n"
    "    one client come out only if its chunks alternated between the spindles so cheaply.\n";

// Empty if all words are known.
std::string Understand(const Request& request, TableOptions* options, std::vector<Row>* rows) {
  const auto coordination = ParseCoordination(request.coordination);
  if (!coordination) {
    return "no coordination '" + request.coordination + "'; there are: published, masked, eventfd";
  }
  options->coordination = *coordination;
  const auto shape = disk::ParseShape(request.disk);
  if (!shape) return shape.error();
  if (!*shape) return "--disk none: without a disk there is nothing to measure";
  options->disk = **shape;
  if ((*shape)->media_bytes_per_second * (*shape)->spindles * request.seconds > kCellBytesMax) {
    return "--disk " + request.disk + " could read more than 20 TB in " +
           std::to_string(request.seconds) + " s: choose a slower one, or fewer --seconds";
  }
  options->duration = std::chrono::seconds(request.seconds);
  std::vector<BackendKind> backends;
  for (const std::string& word : request.backends) {
    const auto backend = ParseBackend(word);
    if (!backend) {
      return "no backend '" + word +
             "'; there are: writev, linux-sendfile, linux-aio-sendfile, linux-aio-write, "
             "threads-sendfile, auto";
    }
    backends.push_back(*backend);
  }
  if (backends.empty()) backends.assign(kBackends.begin(), kBackends.end());
  for (const BackendKind backend : backends) {
    if (!HasChunks(backend)) {
      rows->push_back({backend, "", {}, {}});
      continue;
    }
    for (const std::string& chunk : request.chunks) rows->push_back({backend, chunk, {}, {}});
  }
  return "";
}

TableCell CellOf(const Row& row, unsigned connections) {
  return {row.backend, row.chunk.empty() ? "512K" : row.chunk, connections};
}

void PrintText(const Request& request, const std::vector<Row>& rows) {
  std::printf("%s, %s, %u s of virtual time\n%-19s %-6s", request.disk.c_str(),
              request.coordination.c_str(), request.seconds, "MB/s", "chunk");
  for (const unsigned connections : request.connections) {
    std::printf(" | %8u conn. (2006)", connections);
  }
  std::printf("\n");
  for (const Row& row : rows) {
    std::printf("%-19s %-6s", ToString(row.backend), row.chunk.empty() ? "-" : row.chunk.c_str());
    for (size_t i = 0; i < row.results.size(); ++i) {
      const TableResult& result = row.results[i];
      const auto published = PublishedRate(CellOf(row, request.connections[i]));
      std::printf(" | %6.2f%c", result.megabytes_per_second, result.slowest < 0.5 ? '!' : ' ');
      if (published) {
        std::printf(" (%6.2f x%4.2f)", *published, result.megabytes_per_second / *published);
      } else {
        std::printf(" %14s", "");
      }
    }
    std::printf("\n");
  }
  std::fputs(kFooter, stdout);
}

void PrintJson(const Request& request, const std::vector<Row>& rows) {
  json cells = json::array();
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.results.size(); ++i) {
      const TableResult& result = row.results[i];
      const auto published = PublishedRate(CellOf(row, request.connections[i]));
      json cell = {{"backend", ToString(row.backend)},
                   {"chunk", row.chunk.empty() ? json() : json(row.chunk)},
                   {"connections", request.connections[i]},
                   {"mb_per_second", result.megabytes_per_second},
                   {"published_2006", published ? json(*published) : json()},
                   {"ratio", published ? json(result.megabytes_per_second / *published) : json()},
                   {"slowest_share", result.slowest},
                   {"steps", result.steps},
                   {"seconds_to_compute", row.cpu_seconds[i]}};
      cells.push_back(std::move(cell));
    }
  }
  const json out = {{"disk", request.disk},
                    {"coordination", request.coordination},
                    {"virtual_seconds", request.seconds},
                    {"cells", std::move(cells)},
                    {"differs", kFooter}};
  std::printf("%s\n", out.dump(1).c_str());
}

// kFound for a cell whose clients did not get what they asked for.
int Measure(const Request& request, const TableOptions& options, std::vector<Row>& rows) {
  Resources resources;
  size_t done = 0;
  for (Row& row : rows) {
    for (const unsigned connections : request.connections) {
      const auto start = std::chrono::steady_clock::now();
      row.results.push_back(RunTableCell(CellOf(row, connections), options, resources));
      const double seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      if (Stopped()) {  // cut short: no result
        row.results.pop_back();
        return kStopped;
      }
      row.cpu_seconds.push_back(seconds);
      std::fprintf(stderr, "pollux-sim: %zu of %zu: %s, %u connections: %.1f s\n", ++done,
                   rows.size() * request.connections.size(), ToString(row.backend), connections,
                   seconds);
      if (const auto& violation = row.results.back().violation) {
        std::fprintf(stderr, "pollux-sim: %s %s, %u connections: %s: %s\n", ToString(row.backend),
                     row.chunk.c_str(), connections, violation->oracle.c_str(),
                     violation->text.c_str());
        return kFound;
      }
    }
  }
  return 0;
}

int Table(const Request& request) {
  TableOptions options;
  std::vector<Row> rows;
  if (const std::string wrong = Understand(request, &options, &rows); !wrong.empty()) {
    return Complain(wrong);
  }
  options.stopped = Stopped;
  StopOnCtrlC();
  const int status = Measure(request, options, rows);
  if (request.as_json) {
    PrintJson(request, rows);
  } else {
    PrintText(request, rows);
  }
  if (status == kStopped) std::fprintf(stderr, "pollux-sim: stopped by Ctrl-C: not all cells\n");
  return status;
}

}  // namespace

void AddTableCommand(CLI::App& app, int* status) {
  const auto request = std::make_shared<Request>();
  auto* table = app.add_subcommand(
      "table", "The table of 2006 in virtual time: throughput of each backend on a modelled disk");
  table->add_option("--backend", request->backends, "Only these (all)")->delimiter(',');
  table->add_option("--chunk", request->chunks, "For backends that have one: --chunk of pollux")
      ->delimiter(',')
      ->check(CLI::IsMember({"64K", "128K", "256K", "512K", "1M", "2M", "4M"}))
      ->capture_default_str();
  table->add_option("--connections", request->connections, "Each downloads files of its own")
      ->delimiter(',')
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  table->add_option("--coordination", request->coordination, "published, masked, eventfd")
      ->capture_default_str();
  table
      ->add_option("--disk", request->disk,
                   "raid1-2006, hdd, ssd, or numbers: hdd,rate=80,seek=9,rpm=5400,spindles=3")
      ->capture_default_str();
  table->add_option("--seconds", request->seconds, "Of virtual time, each cell")
      ->check(CLI::Range(1, 3600))
      ->capture_default_str();
  table->add_flag("--json", request->as_json, "JSON instead of text");
  table->callback([request, status] { *status = Table(*request); });
}

}  // namespace pollux::sim
