// Stories of the whole server: ServerMain, as main() calls it, and clients that download files.
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/server/server.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

struct Plot {
  std::vector<size_t> files;    // bytes; each has a client of its own
  const char* chunk = "64K";    // --chunk
  const char* budget = "256K";  // --buffer-budget
  Nanoseconds pause{0};         // of clients, before they take bytes
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
  SimOptions out;
  out.scheduler.steps_max = options.steps_max;
  out.scheduler.early_timeouts = options.early_timeouts;
  out.disk.faults = options.faults;
  out.leader_first = options.leader_first;
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
    PrepareWorld();
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
  void PrepareWorld();
  int Serve();
  bool ClientsFinished() const;
  void JudgeTimeout(const SimThread& thread);
  void JudgeEnd(int status);

  const StoryOptions options_;
  const Plot plot_;
  SimKernel kernel_;
  Scheduler& scheduler_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Once>> signals_;
};

void ServerStory::PrepareWorld() {
  for (size_t i = 0; i < plot_.files.size(); ++i) {
    const std::string name = "/file" + std::to_string(i);
    Client::Order order;
    order.path = name;
    order.content = Contents(plot_.files[i], i);
    order.pause = plot_.pause;
    kernel_.AddFile("/srv" + name, order.content);
    clients_.push_back(std::make_unique<Client>(kernel_, std::move(order)));
  }
  const Footprint process = Footprint().Write(kProcessSignals);
  for (int i = 0; i < options_.signals; ++i) {
    // Not before the server has said what to do with it: until then it ends the process.
    signals_.push_back(std::make_unique<Once>(
        kernel_, "SIGALRM comes", process, [this] { kernel_.signals().SendToProcess(SIGALRM); },
        [this] { return kernel_.listening() && kernel_.signals().Handles(SIGALRM); }));
  }
  signals_.push_back(std::make_unique<Once>(
      kernel_, "SIGTERM comes", Footprint::Everything(),
      [this] { kernel_.signals().SendToProcess(SIGTERM); }, [this] { return ClientsFinished(); }));
}

int ServerStory::Serve() {
  const bool published = options_.coordination == CoordinationKind::kPublished;
  const std::vector<const char*> arguments = {
      "pollux",          "/srv",
      "--listen",        "127.0.0.1:8080",
      "--coordination",  ToString(options_.coordination),
      "--event-handler", published ? "poll" : "epoll",
      "--backend",       ToString(options_.backend),
      "--retire",        ToString(options_.retire),
      "--chunk",         plot_.chunk,
      "--buffer-budget", plot_.budget,
      "--aio-depth",     "8",
  };
  return ServerMain(kernel_, static_cast<int>(arguments.size()), arguments.data());
}

bool ServerStory::ClientsFinished() const {
  for (const auto& client : clients_) {
    if (!client->finished()) return false;
  }
  return true;
}

// Nothing could happen but this thread's time-out, and a client waits for bytes.
void ServerStory::JudgeTimeout(const SimThread& thread) {
  if (!kernel_.disk().idle()) return;
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
  const bool faults = kernel_.disk().faults_left() < options_.faults;
  for (const auto& client : clients_) {
    const std::string complaint = client->Complaint();
    // After a failed read an answer may be cut short, but no byte of it may be wrong.
    const bool cut = complaint.find("instead of") != std::string::npos;
    if (complaint.empty() || (faults && cut)) continue;
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

}  // namespace

Outcome TellDownload(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener) {
  Plot plot;
  plot.files = {200'000};
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellLateReader(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener) {
  Plot plot;
  plot.files = {60'000};
  plot.chunk = "4K";
  plot.budget = "8K";
  plot.pause = std::chrono::milliseconds(200);
  return Tell(options, std::move(plot), chooser, resources, listener);
}

Outcome TellTenDownloads(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener) {
  Plot plot;
  plot.files = {0, 1, 4095, 4096, 4097, 65'536, 100'001, 131'072, 200'000, 300'003};
  plot.budget = "512K";
  return Tell(options, std::move(plot), chooser, resources, listener);
}

}  // namespace pollux::sim
