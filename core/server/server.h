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
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

// Exit status: 0 after a drain or a stop by signal (and --help, --version), 2 for a command line,
// folder, address or user that cannot be served (one line on standard error), 1 if the loop's own
// wait fails.
int ServerMain(Kernel& kernel, int argc, const char* const* argv);

// Main thread only.
class Server final : public Acceptor, public ConnectionOwner, public SignalHandler {
 public:
  Server(Kernel& kernel, Config config);
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() override;

  // Opens, listens, drops privileges, builds. On failure: what to tell the user, without "pollux:".
  std::optional<std::string> Prepare();

  const SocketAddress& address() const { return address_; }

  // Announces the address on standard output, then serves until a signal ends it.
  Status Run();

  bool OnAccept(Fd socket, const SocketAddress& peer) override;
  void OnConnectionClosed(Connection& connection) override;
  void OnTerminate() override;
  void OnHangup() override;

 private:
  class Reaper;

  std::optional<std::string> OpenRoot();
  std::optional<std::string> Listen();
  std::optional<std::string> BecomeUser();
  std::optional<std::string> CheckRoot();
  std::optional<std::string> BuildLoop();
  std::optional<std::string> OpenAccessLog();
  std::optional<std::string> BuildServing();
  void RaiseDescriptorLimit();
  void WarnOfSpecimens();
  std::string ReadMimeTypes();
  std::string Metrics() const;
  void OnDrainTimeout();
  void StopIfDrained();
  void CloseConnections();

  Kernel& kernel_;
  const Config config_;
  Logger log_;
  ServerCounters counters_;
  AioStats aio_stats_;
  Fd root_;
  Fd listening_;
  SocketAddress address_;

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
  HeadReaderPool readers_;
  std::unique_ptr<SendQueue> send_queue_;
  std::unique_ptr<AccessLog> access_log_;
  std::unique_ptr<ConnectionContext> context_;
  std::unique_ptr<Listener> listener_;
  std::vector<std::shared_ptr<Connection>> connections_;  // by slot; null where free
  std::vector<size_t> free_slots_;
  std::vector<std::shared_ptr<Connection>> closed_;  // until the reaper's job
  std::unique_ptr<Reaper> reaper_;
  std::unique_ptr<Timer> drain_timer_;
};

}  // namespace pollux
