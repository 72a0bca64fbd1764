// Connections over real loopback sockets, on a loop that the test turns by hand, with a backend
// that the test steers: what is between accept and close, without a process, a sleep or a disk.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/server/connection.h"
#include "core/server/listener.h"
#include "tests/server/steered_kernel.h"

namespace pollux {

// Sends the file's bytes with send(), as told. One Backend for all connections of a test.
class SteeredBackend final : public Backend {
 public:
  explicit SteeredBackend(Kernel& kernel) : kernel_(kernel) {}

  // The next Pump of each transfer first does what stands here (by transfers in order of start).
  enum class Then { kWait, kFail, kYield };
  std::deque<std::pair<Then, int>> script;  // for all transfers together; the errno of kFail
  uint64_t pump_bytes_max = UINT64_MAX;     // a Pump that stops earlier says kYield

  std::vector<TransferWaiter*> waiting;  // who was told kWaiting
  uint64_t started = 0;
  uint64_t alive = 0;
  std::vector<uint64_t> pumped;  // the limit of each Pump call
  std::vector<const Transfer*> pumped_by;

  std::unique_ptr<Transfer> Start(TransferRequest request) override;

 private:
  class SteeredTransfer;
  Kernel& kernel_;
};

// One client's end. Blocking is not in it: everything is what has arrived by now.
class Client {
 public:
  Client(const SocketAddress& server, int receive_buffer = 0);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void Send(std::string_view bytes);
  void ShutWrite();
  void Reset();  // RST
  void Close();
  // Takes what has arrived. `received` grows; `eof` or `error` tell of the end.
  void Receive(size_t bytes_max = SIZE_MAX);
  std::string received;
  bool eof = false;
  int error = 0;

 private:
  int fd_ = -1;
};

// A root with a few files, a listener and connections. Turn it until something holds.
class LiveServer : public ::testing::Test, public Acceptor, public ConnectionOwner {
 protected:
  LiveServer();
  ~LiveServer() override;

  // Before the first client: builds everything else.
  void StartServer();

  // Turns the loop without sleeping until `holds`; fails the test after many turns.
  void TurnUntil(const std::function<bool()>& holds, const char* what);
  void Turn();  // once
  // Turns until the client has got `count` complete responses, or its connection's end.
  void TurnUntilReceived(Client& client, const std::string& text);
  void TurnUntilEnd(Client& client);
  // Time passes for timers.
  void PassTime(std::chrono::milliseconds time);

  std::unique_ptr<Client> Connect(int receive_buffer = 0);
  void WriteFile(const std::string& name, const std::string& content);

  bool OnAccept(Fd socket, const SocketAddress& peer) override;
  void OnConnectionClosed(Connection& connection) override;

  SteeredKernel kernel_;
  Config config_;
  std::string root_path_;
  Logger log_{kernel_, 2, spdlog::level::info};
  std::unique_ptr<FdeventHandler> handler_;
  Signals signals_{kernel_};
  std::unique_ptr<Coordination> coordination_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerPool> workers_;
  SteeredBackend backend_{kernel_};
  Fd root_;
  DescriptorBudget descriptors_{1'000'000};  // of a test that has opener_ limited to it
  std::unique_ptr<FileOpener> opener_;
  std::unique_ptr<Lister> lister_;  // with config_.rules.listing
  StaticFiles files_{http::MimeTypes("text/plain txt\n")};
  std::unique_ptr<FileCache> cache_;
  std::unique_ptr<SendQueue> send_queue_;
  std::unique_ptr<HeadReaderPool> readers_;
  std::unique_ptr<AccessLog> access_log_;
  ServerCounters counters_;
  std::unique_ptr<ConnectionContext> context_;
  SocketAddress address_;
  std::unique_ptr<Listener> listener_;
  bool accept_more_ = true;
  std::vector<std::shared_ptr<Connection>> connections_;  // in the order of their coming
  std::vector<std::shared_ptr<Connection>> closed_;
};

}  // namespace pollux
