#include "fakes/scenarios/table.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/server/server.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

constexpr uint64_t kFileBytes = 700'000'000;
constexpr unsigned kFilesMin = 10;
constexpr uint64_t kStepsMax = 1'000'000'000;
constexpr size_t kEverything = size_t{1} << 40;

struct ServedFile {
  std::string path;
  uint64_t number = 0;
};

// Which file is asked for next: each once, spread over the disk.
class Shelf {
 public:
  explicit Shelf(std::vector<ServedFile> files) : files_(std::move(files)) {
    taken_.resize(files_.size());
  }
  // The first free one from this part (0 to 1) of the disk on; null if none is left.
  const ServedFile* Take(double part) {
    const auto start = static_cast<size_t>(part * static_cast<double>(files_.size()));
    for (size_t i = 0; i < files_.size(); ++i) {
      const size_t at = (start + i) % files_.size();
      if (taken_[at]) continue;
      taken_[at] = true;
      return &files_[at];
    }
    return nullptr;
  }

 private:
  const std::vector<ServedFile> files_;
  std::vector<bool> taken_;
};

// Downloads one file after the other over one connection, as fast as bytes come.
class Downloader final : public Actor {
 public:
  Downloader(SimKernel& kernel, Shelf& shelf, double part)
      : kernel_(kernel), shelf_(shelf), part_(part) {
    kernel_.scheduler().AddActor(*this);
  }
  ~Downloader() override { kernel_.scheduler().RemoveActor(*this); }

  uint64_t body_bytes() const { return body_bytes_; }
  // Leaves in the middle of whatever it gets.
  void Leave() {
    left_ = true;
    if (connection_ != nullptr) connection_->PeerReset();
  }

  bool Enabled() const override {
    if (left_) return false;
    if (connection_ == nullptr) return kernel_.listening();
    return file_ == nullptr || connection_->peer_available() > 0 || connection_->peer_ended();
  }
  Footprint footprint() const override { return Footprint::Everything(); }
  const char* label() const override { return file_ == nullptr ? "client asks" : "client takes"; }
  Lane lane() const override { return Lane::kPeer; }

  void Happen() override {
    if (connection_ == nullptr) {
      connection_ = kernel_.ConnectToListener();
    } else if (file_ == nullptr) {
      Ask();
    } else {
      Take();
    }
  }

 private:
  void Ask() {
    file_ = shelf_.Take(part_);
    if (file_ == nullptr) return Complain("there are no more files");
    text_.clear();
    at_ = 0;
    connection_->PeerSend("GET " + file_->path + " HTTP/1.1\r\nHost: sim\r\n\r\n");
  }

  void Take() {
    symbols_.clear();
    (void)connection_->PeerTake(kEverything, &text_, &symbols_);
    if (symbols_.empty() && connection_->peer_ended()) return Complain("the answer was cut off");
    if (!symbols_.empty() &&
        (!text_.starts_with("HTTP/1.1 200 ") || !text_.ends_with("\r\n\r\n"))) {
      return Complain("a body without a head");
    }
    for (const SymbolExtent& extent : symbols_) {
      if (extent.file != file_->number || extent.offset != at_) {
        return Complain("bytes from " + std::to_string(extent.offset) + " of file " +
                        std::to_string(extent.file) + " came instead of those from " +
                        std::to_string(at_) + " of file " + std::to_string(file_->number));
      }
      at_ += extent.length;
      body_bytes_ += extent.length;
    }
    if (at_ == kFileBytes) file_ = nullptr;
  }

  void Complain(std::string text) {
    kernel_.scheduler().Report("bytes", std::move(text));
    Leave();
  }

  SimKernel& kernel_;
  Shelf& shelf_;
  const double part_;
  std::shared_ptr<Connection> connection_;
  const ServedFile* file_ = nullptr;  // being downloaded
  std::string text_;                  // the head, so far
  std::vector<SymbolExtent> symbols_;
  uint64_t at_ = 0;  // in the file
  uint64_t body_bytes_ = 0;
  bool left_ = false;
};

// Ends the run, at a given time or when nobody wants it any more.
class End final : public Actor {
 public:
  End(SimKernel& kernel, const TableOptions& options, std::function<void()> happen)
      : kernel_(kernel),
        options_(options),
        due_(kernel.scheduler().now() + options.duration),
        happen_(std::move(happen)) {
    kernel_.scheduler().AddActor(*this);
    NextLook();
  }
  ~End() override { kernel_.scheduler().RemoveActor(*this); }

  bool Enabled() const override { return !happened_; }
  TimePoint not_before() const override { return next_look_; }
  Footprint footprint() const override { return Footprint::Everything(); }
  const char* label() const override { return "looks at the clock"; }
  void Happen() override {
    happened_ = next_look_ == due_ || (options_.stopped != nullptr && options_.stopped());
    NextLook();
    if (happened_) happen_();
  }

 private:
  void NextLook() {
    next_look_ = std::min(due_, kernel_.scheduler().now() + std::chrono::seconds(1));
  }

  SimKernel& kernel_;
  const TableOptions& options_;
  const TimePoint due_;
  const std::function<void()> happen_;
  TimePoint next_look_;
  bool happened_ = false;
};

// Enough files that none is asked for twice, were the disk busy with transfers alone.
unsigned FilesFor(const TableOptions& options, unsigned connections) {
  const double seconds = std::chrono::duration<double>(options.duration).count();
  const double bytes = seconds * options.disk.media_bytes_per_second * options.disk.spindles;
  const auto read = static_cast<unsigned>(bytes / static_cast<double>(kFileBytes));
  return std::max(kFilesMin, read + connections);
}

SimOptions KernelOptions(const TableOptions& options, unsigned files) {
  SimOptions out;
  out.symbolic = true;
  out.scheduler.steps_max = kStepsMax;
  out.disk.shape = options.disk;
  out.disk.shape->capacity_bytes = files * kFileBytes;
  return out;
}

int Serve(SimKernel& kernel, const TableCell& cell, CoordinationKind coordination) {
  const bool published = coordination == CoordinationKind::kPublished;
  const std::vector<const char*> arguments = {
      "pollux",          "/srv",
      "--listen",        "127.0.0.1:8080",
      "--coordination",  ToString(coordination),
      "--event-handler", published ? "poll" : "epoll",
      "--backend",       ToString(cell.backend),
      "--chunk",         cell.chunk.c_str(),
  };
  return ServerMain(kernel, static_cast<int>(arguments.size()), arguments.data());
}

}  // namespace

TableResult RunTableCell(const TableCell& cell, const TableOptions& options, Resources& resources) {
  FirstChooser chooser;
  const unsigned file_count = FilesFor(options, cell.connections);
  SimKernel kernel(chooser, resources, KernelOptions(options, file_count));
  Scheduler& scheduler = kernel.scheduler();
  std::vector<ServedFile> files;
  for (unsigned i = 0; i < file_count; ++i) {
    const std::string path = "/file" + std::to_string(i);
    files.push_back({path, kernel.AddSymbolicFile("/srv" + path, kFileBytes)});
  }
  Shelf shelf(std::move(files));
  std::vector<std::unique_ptr<Downloader>> clients;
  for (unsigned i = 0; i < cell.connections; ++i) {
    clients.push_back(
        std::make_unique<Downloader>(kernel, shelf, static_cast<double>(i) / cell.connections));
  }
  const End end(kernel, options, [&] {
    for (const auto& client : clients) client->Leave();
    kernel.signals().SendToProcess(SIGTERM);
  });
  int status = 0;
  if (kernel.Run([&] { status = Serve(kernel, cell, options.coordination); }) && status != 0) {
    scheduler.Report(
        "exit", "the server ended with status " + std::to_string(status) + ": " + kernel.console());
  }
  TableResult result;
  uint64_t bytes = 0, least = UINT64_MAX;
  for (const auto& client : clients) {
    bytes += client->body_bytes();
    least = std::min(least, client->body_bytes());
  }
  const double seconds = std::chrono::duration<double>(options.duration).count();
  result.megabytes_per_second = static_cast<double>(bytes) / 1e6 / seconds;
  if (bytes > 0) {
    result.slowest = static_cast<double>(least) * cell.connections / static_cast<double>(bytes);
  }
  result.steps = scheduler.steps();
  result.violation = scheduler.violation();
  return result;
}

bool HasChunks(BackendKind backend) {
  return backend == BackendKind::kLinuxAioSendfile || backend == BackendKind::kLinuxAioWrite ||
         backend == BackendKind::kAuto;
}

std::optional<double> PublishedRate(const TableCell& cell) {
  struct Row {
    BackendKind backend;
    const char* chunk;  // null: any
    unsigned connections;
    double rate;
  };
  static constexpr std::array kPublished = {
      Row{BackendKind::kLinuxSendfile, nullptr, 1, 52.38},
      Row{BackendKind::kLinuxSendfile, nullptr, 2, 39.94},
      Row{BackendKind::kLinuxSendfile, nullptr, 5, 35.45},
      Row{BackendKind::kLinuxAioSendfile, "512K", 1, 89.85},
      Row{BackendKind::kLinuxAioSendfile, "512K", 2, 94.52},
      Row{BackendKind::kLinuxAioSendfile, "512K", 5, 31.81},
      Row{BackendKind::kLinuxAioSendfile, "512K", 10, 25.22},
      Row{BackendKind::kLinuxAioSendfile, "1M", 1, 107.50},
      Row{BackendKind::kLinuxAioSendfile, "1M", 2, 92.74},
      Row{BackendKind::kLinuxAioSendfile, "1M", 5, 72.84},
      Row{BackendKind::kLinuxAioSendfile, "1M", 10, 32.87},
  };
  for (const Row& row : kPublished) {
    if (row.backend == cell.backend && row.connections == cell.connections &&
        (row.chunk == nullptr || row.chunk == cell.chunk)) {
      return row.rate;
    }
  }
  return std::nullopt;
}

}  // namespace pollux::sim
