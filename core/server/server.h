// The server: puts the parts together, and takes them apart again.
//
// ServerMain is the whole program behind a seam, so that a decorated or simulated kernel can run
// the very same server.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/aio/backend.h"
#include "core/aio/descriptor_budget.h"
#include "core/aio/open_file.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/event/worker_pool.h"
#include "core/server/access_log.h"
#include "core/server/config.h"
#include "core/server/connection.h"
#include "core/server/head_reader.h"
#include "core/server/listener.h"
#include "core/server/listing.h"
#include "core/server/metrics.h"
#include "core/server/send_queue.h"
#include "core/server/static_file.h"
#include "core/server/supervisor.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

// Exit status: 0 after a drain or a stop by signal (and --help, --version), 2 for a command line,
// folder, address or user that cannot be served (one line on standard error), 1 if the loop's own
// wait fails. With --workers it returns in every process, in a worker with that worker's status.
int ServerMain(Kernel& kernel, int argc, const char* const* argv);
// The same without a command line: what ParseArguments would have made of one.
int ServerMain(Kernel& kernel, Config config);

// Main thread only: Acquire, Build, Announce, Run.
class Server final : public Acceptor, public ConnectionOwner, public SignalHandler {
 public:
  Server(Kernel& kernel, Config config);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() override;

  // First what needs rights or can be refused: opens, listens, drops privileges. With --workers
  // this is done once, and the rest in each worker. On failure of either: what to tell the user,
  // without "pollux:".
  std::optional<std::string> Acquire();
  std::optional<std::string> Build();

  // A worker's, before Build: only this one of the sockets is served, `control` (supervisor.h) is
  // obeyed, and signals to stop are not.
  void BecomeWorker(size_t index, int control);
  // The supervisor's, when nobody is to come in any more.
  void CloseSockets() { listening_.clear(); }

  const SocketAddress& address() const { return address_; }
  const Config& config() const { return config_; }
  Logger& log() { return log_; }

  // The first line on standard output.
  void Announce();
  // Serves until a signal ends it.
  Status Run();

  bool OnAccept(Fd socket, const SocketAddress& peer) override;
  void OnConnectionClosed(Connection& connection) override;
  void OnTerminate() override;
  void OnHangup() override;

 private:
  class Reaper;
  class RoomMaker;
  class WorkerSignals;

  std::optional<std::string> OpenRoot();
  std::optional<std::string> Listen();
  std::optional<std::string> AttachControl();
  std::optional<std::string> BecomeUser();
  std::optional<std::string> CheckRoot();
  std::optional<std::string> BuildLoop();
  std::optional<std::string> OpenAccessLog();
  std::optional<std::string> BuildServing();
  void ShareOutDescriptors();
  std::optional<uint64_t> RaiseDescriptorLimit();
  void WarnOfFlags();
  std::string ReadMimeTypes();
  std::string Metrics() const;
  void OnDrainTimeout();
  std::string StillUnderWay() const;
  void StopIfDrained();
  bool RoomForConnection() const;
  bool FilesAreInTheWay(size_t files) const;
  void CloseKeptFiles();
  void TryAgainIfFilesAreInTheWay();
  void MakeRoom();
  void AcceptIfRoom();
  void CloseConnections();

  Kernel& kernel_;
  const Config config_;
  Logger log_;
  ServerCounters counters_;
  AioStats aio_stats_;
  std::unique_ptr<DescriptorBudget> descriptors_;
  Fd root_;
  std::vector<Fd> listening_;  // one a worker
  SocketAddress address_;
  LineOutput access_output_;
  std::optional<size_t> worker_;  // which one, if there are several
  int control_fd_ = -1;

  // In the order of their making; they end in the opposite one.
  Signals signals_;
  std::unique_ptr<FdeventHandler> handler_;
  std::unique_ptr<Coordination> coordination_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<FileOpener> opener_;
  std::unique_ptr<Lister> lister_;  // null without --listing
  std::unique_ptr<StaticFiles> files_;
  FileCacheLimits cache_limits_;
  std::unique_ptr<FileCache> cache_;
  HeadReaderPool readers_;
  std::unique_ptr<SendQueue> send_queue_;
  std::unique_ptr<AccessLog> access_log_;
  std::unique_ptr<ConnectionContext> context_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::shared_ptr<Connection>> connections_;  // by slot; null where free
  std::vector<size_t> free_slots_;
  std::vector<std::shared_ptr<Connection>> closed_;  // until the reaper's job
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<RoomMaker> room_maker_;
  std::unique_ptr<Timer> room_timer_;  // armed while files keep connections out
  std::unique_ptr<Timer> drain_timer_;
  std::unique_ptr<WorkerSignals> worker_signals_;
  std::unique_ptr<WorkerControl> control_;
};

}  // namespace pollux
