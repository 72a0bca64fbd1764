// Stories of the whole server: ServerMain, as main() calls it, and clients that download files.
#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/units.h"
#include "core/server/server.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

// Those of the second come when the others have gone and all goes well again.
enum class Wave { kFirst, kSecond };

// A client and what it does; the client's own words are in world_actors.h.
struct Visitor {
  size_t file = 0;
  Nanoseconds pause{0};
  Client::Manner manner = Client::Manner::kReadsAll;
  size_t bytes_taken = 0;
  Wave wave = Wave::kFirst;
};

struct Plot {
  std::vector<size_t> files;  // bytes
  std::vector<Visitor> visitors;
  size_t truncated = 0;  // so many files, the first, lose their second half at any moment
  int faults = 0;        // beside those that were asked for
  uint64_t chunk_bytes = 64_KiB;
  uint64_t budget_bytes = 256_KiB;
  size_t socket_bytes = 128 * 1024;
};

// Kept: the same files are served in every execution.
std::shared_ptr<const std::string> Contents(size_t bytes, size_t seed) {
  static std::map<std::pair<size_t, size_t>, std::shared_ptr<const std::string>> known;
  auto& entry = known[{bytes, seed}];
  if (entry != nullptr) return entry;
  auto made = std::make_shared<std::string>(bytes, '\0');
  for (size_t i = 0; i < bytes; ++i) {
    // No two pages alike.
    (*made)[i] = static_cast<char>((i * 31 + (i >> 12) * 7 + seed * 13 + 11) % 251);
  }
  entry = std::move(made);
  return entry;
}

SimOptions KernelOptions(const StoryOptions& options, const Plot& plot) {
  SimOptions out = KernelOptions(options);
  out.disk.faults += plot.faults;
  out.submit_refusals = options.faults;
  out.send_buffer = plot.socket_bytes;
  out.peer_buffer = plot.socket_bytes;
  return out;
}

class ServerStory {
 public:
  ServerStory(const StoryOptions& options, Plot plot, Chooser& chooser, Resources& resources,
              StepListener* listener)
      : options_(options),
        plot_(std::move(plot)),
        kernel_(chooser, resources, KernelOptions(options, plot_)),
        scheduler_(kernel_.scheduler()) {
    scheduler_.set_listener(listener);
    scheduler_.set_on_timeout([this](const SimThread& thread) { JudgeTimeout(thread); });
  }

  Outcome Tell() {
    Invite();
    PlanEvents();
    int status = -1;
    if (kernel_.Run([&] { status = Serve(); })) JudgeEnd(status);
    Outcome out;
    out.violation = scheduler_.violation();
    out.steps = scheduler_.steps();
    out.trace_hash = scheduler_.trace_hash();
    for (const auto& client : clients_) out.state = out.state * 31 + client->received();
    return out;
  }

 private:
  // No byte comes from the page cache.
  bool ReadsDirectly() const {
    return options_.backend == BackendKind::kLinuxAioSendfile ||
           options_.backend == BackendKind::kLinuxAioWrite;
  }
  void Invite();
  void PlanEvents();
  int Serve();
  void BeginSecondWave();
  void JudgeTimeout(const SimThread& thread);
  void JudgeEnd(int status);

  const StoryOptions options_;
  const Plot plot_;
  SimKernel kernel_;
  Scheduler& scheduler_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Event>> events_;
  int first_wave_expected_ = 0;  // clients that are there, or to come
  int second_wave_expected_ = 0;
  bool second_wave_ = false;  // it is on
  Nanoseconds idle_{0};       // of the scheduler, at the last time-out
};

std::string PathOf(size_t file) { return "/file" + std::to_string(file); }

void ServerStory::Invite() {
  for (size_t i = 0; i < plot_.files.size(); ++i) {
    kernel_.AddFile("/srv" + PathOf(i), Contents(plot_.files[i], i));
  }
  for (const Visitor& visitor : plot_.visitors) {
    Client::Order order;
    order.path = PathOf(visitor.file);
    order.content = Contents(plot_.files[visitor.file], visitor.file);
    if (visitor.file < plot_.truncated && !ReadsDirectly()) {
      order.zeroes_from = plot_.files[visitor.file] / 2;
      order.zeroes_to = AlignUp(order.zeroes_from, kPageBytes);
    }
    order.pause = visitor.pause;
    order.manner = visitor.manner;
    order.bytes_taken = visitor.bytes_taken;
    if (visitor.wave == Wave::kSecond) order.may_connect = [this] { return second_wave_; };
    int& expected = visitor.wave == Wave::kFirst ? first_wave_expected_ : second_wave_expected_;
    ++expected;
    order.on_finished = [&expected] { --expected; };
    clients_.push_back(std::make_unique<Client>(kernel_, std::move(order)));
  }
}

void ServerStory::PlanEvents() {
  // Not before the server has said what to do with it: until then it ends the process.
  const auto serves = [this] { return kernel_.listening() && kernel_.signals().Handles(SIGALRM); };
  const auto happens = [this](const char* label, Footprint footprint, std::function<void()> what,
                              std::function<bool()> may) {
    events_.push_back(
        std::make_unique<Event>(kernel_, label, footprint, std::move(what), std::move(may)));
  };
  for (int i = 0; i < options_.signals; ++i) {
    happens(
        "SIGALRM comes", Footprint::Everything(),
        [this] { kernel_.signals().SendToProcess(SIGALRM); }, serves);
  }
  for (size_t i = 0; i < plot_.truncated; ++i) {
    happens(
        "a file is cut off", Footprint::Everything(),
        [this, i] { kernel_.Truncate("/srv" + PathOf(i), plot_.files[i] / 2); }, serves);
  }
  if (second_wave_expected_ > 0) {
    happens(
        "all goes well again", Footprint::Everything(), [this] { BeginSecondWave(); },
        [this] { return first_wave_expected_ == 0; });
  }
  happens(
      "SIGTERM comes", Footprint::Everything(),
      [this] { kernel_.signals().SendToProcess(SIGTERM); },
      [this] { return first_wave_expected_ + second_wave_expected_ == 0; });
}

void ServerStory::BeginSecondWave() {
  kernel_.disk().EndFaults();
  second_wave_ = true;
}

// Without its command line, which takes longer to understand than small files to serve.
int ServerStory::Serve() {
  Config config;
  config.root = "/srv";
  config.listen = *SocketAddress::Parse("127.0.0.1:8080");
  config.coordination = options_.coordination;
  if (options_.coordination == CoordinationKind::kPublished) {
    config.event_handler = EventHandlerKind::kPoll;
  }
  config.backend.kind = options_.backend;
  config.backend.retire = options_.retire;
  config.backend.chunk_bytes = plot_.chunk_bytes;
  config.backend.buffer_budget_bytes = plot_.budget_bytes;
  config.backend.aio_depth = 8;
  return ServerMain(kernel_, std::move(config));
}

// Nothing could happen but this thread's time-out, and a client waits for bytes.
void ServerStory::JudgeTimeout(const SimThread& thread) {
  if (!kernel_.disk().idle()) return;
  // What io_submit refused is submitted again by the clock, a moment later.
  const Nanoseconds slept = scheduler_.idle_time() - std::exchange(idle_, scheduler_.idle_time());
  if (kernel_.submit_refusals_left() < options_.faults && slept < kDispatchBound) return;
  for (const auto& client : clients_) {
    if (!client->waiting()) continue;
    scheduler_.Report("timeout rescue", "a client waited until the time-out of " +
                                            std::string(thread.operation) + " in thread " +
                                            thread.name);
    return;
  }
}

void ServerStory::JudgeEnd(int status) {
  if (status != 0) {
    scheduler_.Report("exit", "the server ended with status " + std::to_string(status) + ": " +
                                  kernel_.console());
  }
  // What a read meets is no reason to give up on AIO, and all these files can be read directly.
  if (ReadsDirectly() && kernel_.files_sent() > 0) {
    scheduler_.Report("fallback", "bytes were sent from the page cache, not from a buffer");
  }
  for (size_t i = 0; i < clients_.size(); ++i) {
    const Visitor& visitor = plot_.visitors[i];
    const bool failed = kernel_.disk().failures() > 0 && visitor.wave == Wave::kFirst;
    const std::string complaint = clients_[i]->Complaint();
    // After a failed read, or of a file that was cut off, an answer may be cut short, but no byte
    // of it may be wrong.
    const bool short_of = complaint.find("instead of") != std::string::npos;
    if (complaint.empty() || (short_of && (failed || visitor.file < plot_.truncated))) continue;
    scheduler_.Report("bytes", complaint);
  }
  const std::string leaks = kernel_.Leaks();
  if (!leaks.empty()) scheduler_.Report("leak", leaks);
}

Outcome Tell(const StoryOptions& options, Plot plot, Chooser& chooser, Resources& resources,
             StepListener* listener) {
  ServerStory story(options, std::move(plot), chooser, resources, listener);
  return story.Tell();
}

// Little memory: what is used again while somebody still aims at it, or refers to it, shows.
Plot SmallPlot(std::vector<size_t> files, std::vector<Visitor> visitors) {
  Plot plot;
  plot.files = std::move(files);
  plot.visitors = std::move(visitors);
  plot.chunk_bytes = 8_KiB;
  plot.budget_bytes = 24_KiB;
  plot.socket_bytes = 8_KiB;
  return plot;
}

}  // namespace

Outcome TellDownload(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener) {
  Plot plot;
  plot.files = {200'000};
  plot.visitors = {Visitor()};
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellSmallRequest(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener) {
  Plot plot;
  plot.files = {100};
  plot.visitors = {Visitor()};
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellLateReader(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener) {
  Plot plot;
  plot.files = {60'000};
  plot.visitors = {{.pause = std::chrono::milliseconds(200)}};
  plot.chunk_bytes = 4_KiB;
  plot.budget_bytes = 8_KiB;
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellLeaver(const StoryOptions& options, Chooser& chooser, Resources& resources,
                   StepListener* listener) {
  const Visitor leaves{.manner = Client::Manner::kResets, .bytes_taken = 1};
  return Tell(options, SmallPlot({60'000, 60'000}, {leaves, {.file = 1}}), chooser, resources,
              listener);
}

Outcome TellShrinkingFile(const StoryOptions& options, Chooser& chooser, Resources& resources,
                          StepListener* listener) {
  Plot plot = SmallPlot({60'000}, {Visitor()});
  plot.truncated = 1;
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellSharedFile(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener) {
  return Tell(options, SmallPlot({60'000}, {Visitor(), Visitor()}), chooser, resources, listener);
}

Outcome TellDeadReader(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener) {
  const Visitor dead{.manner = Client::Manner::kFallsSilent, .bytes_taken = 1};
  return Tell(options, SmallPlot({60'000, 60'000}, {dead, {.file = 1}}), chooser, resources,
              listener);
}

Outcome TellTenDownloads(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener) {
  Plot plot;
  plot.files = {0, 1, 4095, 4096, 4097, 65'536, 100'001, 131'072, 200'000, 300'003};
  for (size_t i = 0; i < plot.files.size(); ++i) plot.visitors.push_back({.file = i});
  plot.budget_bytes = 512_KiB;
  return Tell(options, std::move(plot), chooser, resources, listener);
}

// A hundred clients, of which some are late, some die, and some ask for files that are cut off
// meanwhile, while reads fail; then one a file, when all goes well again. The memory for chunks is
// a fraction of what they ask for, and silent clients hold what their sockets have not taken.
Outcome TellCrowd(const StoryOptions& options, Chooser& chooser, Resources& resources,
                  StepListener* listener) {
  constexpr size_t kVisitors = 100;
  Plot plot;
  plot.files = {30'000, 50'001, 0, 1, 500, 4096, 4097, 12'288, 20'001, 60'001};
  plot.truncated = 2;
  plot.faults = 5;
  plot.chunk_bytes = 8_KiB;
  plot.budget_bytes = 64_KiB;
  plot.socket_bytes = 8_KiB;
  for (size_t i = 0; i < kVisitors; ++i) {
    Visitor visitor;
    visitor.file = i % plot.files.size();
    if (i % 7 == 3) visitor.pause = std::chrono::milliseconds(50);
    if (i % 11 == 5) {
      visitor.manner = Client::Manner::kFallsSilent;
      visitor.bytes_taken = 3000;
    } else if (i % 13 == 7) {
      visitor.manner = Client::Manner::kResets;
      visitor.bytes_taken = 5000;
    }
    plot.visitors.push_back(visitor);
  }
  for (size_t file = plot.truncated; file < plot.files.size(); ++file) {
    plot.visitors.push_back({.file = file, .wave = Wave::kSecond});
  }
  return Tell(options, std::move(plot), chooser, resources, listener);
}

}  // namespace pollux::sim
