// Everything that a backend needs to live: a loop on epoll, a coordination, a worker pool and the
// backend itself, on a kernel of choice. And the two parties of a transfer as callbacks of that
// loop: a Sender that pumps as the server's connection does, and a Receiver that reads at a pace.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/aio/backend.h"
#include "core/event/event_loop.h"
#include "core/sys/log.h"
#include "tests/aio/loopback.h"
#include "tests/event/real_loop.h"

namespace pollux {

class AioWorld {
 public:
  static constexpr unsigned kWorkersMax = 4;

  AioWorld(Kernel& kernel, CoordinationKind coordination);
  // Every transfer must be gone.
  ~AioWorld();

  Kernel& kernel() { return kernel_; }
  EventLoop& loop() { return *loop_; }
  WorkerPool& workers() { return *workers_; }
  AioStats& stats() { return stats_; }

  // At most one in the life of a world: only one io_context can be attached to its coordination.
  Backend& MakeBackendOf(const BackendOptions& options);
  Backend& backend() { return *backend_; }

  // Turns the loop until `done`; fails the test and returns false after twenty seconds.
  bool RunUntil(const std::function<bool()>& done);
  // Turns until no job is out and nothing is being read.
  bool RunUntilIdle();

 private:
  Kernel& kernel_;
  SignalStateGuard restore_;
  Signals signals_;
  Logger log_;
  AioStats stats_;
  std::unique_ptr<FdeventHandler> handler_;
  std::unique_ptr<Coordination> coordination_;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<WorkerPool> workers_;
  std::unique_ptr<Backend> backend_;
};

// Pumps one transfer to its end.
class Sender final : private TransferWaiter, private FdeventCallback, private Job {
 public:
  // bytes_max of every Pump.
  static constexpr uint64_t kTurnBytes = 256 * 1024;

  Sender(AioWorld& world, std::shared_ptr<Fd> socket, std::shared_ptr<OpenFile> file,
         uint64_t offset, uint64_t length);
  ~Sender() override;

  bool ended() const { return result_.has_value(); }
  // How it ended; only then.
  const Status& result() const { return *result_; }
  uint64_t sent() const { return sent_; }
  // The last Pump found the socket full, and it has not been writable since.
  bool blocked() const { return blocked_; }
  // The last Pump answered kWaiting, and OnTransferReady has not come since.
  bool waiting() const { return waiting_; }

 private:
  void OnTransferReady() override;
  void OnFdevent(uint32_t revents) override;
  void RunJob() override { Pump(); }
  void Pump();
  void End(Status result);

  AioWorld& world_;
  std::shared_ptr<Fd> socket_;
  std::unique_ptr<Transfer> transfer_;
  Registration registration_;
  std::optional<Status> result_;
  uint64_t sent_ = 0;
  bool blocked_ = false;
  bool waiting_ = false;
};

// Reads what arrives at the far end, `bytes_per_turn` at most in a turn of the loop, from the
// moment it is made until the stream ends.
class Receiver final : private FdeventCallback {
 public:
  Receiver(AioWorld& world, Loopback& loopback, uint64_t bytes_per_turn = ~uint64_t{0});
  ~Receiver() override = default;

  const std::string& bytes() const { return bytes_; }
  bool ended() const { return loopback_.peer_ended(); }

 private:
  void OnFdevent(uint32_t revents) override;

  Loopback& loopback_;
  const uint64_t bytes_per_turn_;
  std::string bytes_;
  Registration registration_;
};

}  // namespace pollux
