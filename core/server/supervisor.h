// --workers N: several processes, each with a loop of its own, and one that looks after them.
//
// Processes and not threads: the workers are to share nothing, and threads share what a server runs
// out of (descriptors, address space, aio contexts) and die together. A process can be killed and
// replaced while the transfers of the others go on; signal handlers' counters (signals.h), the
// umask, a mapping that faults are its own. What it costs is that memory for chunks and caches is
// there N times, which is stated in --help: every limit is each worker's.
//
// The supervisor acquires what needs rights or can be refused (root folder, sockets, log, --user),
// then forks. It binds one listening socket for each worker (SO_REUSEPORT, socket(7)) and keeps it:
// when a worker dies, the clients in its backlog wait for the next one instead of being reset. It
// runs no loop and makes no thread before it forks.
//
// A socket pair leads to each worker. The worker says kReady on it, the supervisor kTerminate or
// kHangup, and either learns of the other's death by its end. Workers take no SIGTERM or SIGINT
// themselves: a terminal and an init system send them to every process of a group, and one that
// heard of the same stop twice would take the second for "at once".
//
// The first worker is started alone: what it cannot do is said once. A worker that dies later is
// replaced, after kRestartMin, doubled up to kRestartMax as long as the new ones die young.
//
// Threads: there is one.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "core/event/event_loop.h"
#include "core/event/signals.h"
#include "core/sys/kernel.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

// What is to be supervised.
class WorkerBody {
 public:
  virtual ~WorkerBody() = default;
  // In the new process: serves until `control` says otherwise. Its result is the exit status.
  virtual int RunWorker(size_t index, int control) = 0;
  // In the supervisor, once: all workers accept connections.
  virtual void OnWorkersReady() = 0;
  // In the supervisor, once: nobody is to come in any more.
  virtual void OnWorkersDrain() = 0;
};

class Supervisor {
 public:
  static constexpr std::chrono::milliseconds kRestartMin{100};
  static constexpr std::chrono::milliseconds kRestartMax{10'000};
  // A worker that lived so long did not die of how it started.
  static constexpr std::chrono::seconds kSteadyAfter{10};

  static constexpr char kReady = 'R';
  static constexpr char kTerminate = 'T';
  static constexpr char kHangup = 'H';
  static constexpr int kStopsMax = 2;  // finish; at once

  Supervisor(Kernel& kernel, Logger& log, WorkerBody& body, size_t workers);

  // Returns in every process: in a worker with what RunWorker returned, in the supervisor when the
  // last worker has ended: 0 after SIGTERM or SIGINT, the worker's own status if one ends before
  // all were ready, 1 if the kernel refuses what is needed (told in the log).
  int Run();

 private:
  struct Worker {
    pid_t pid = 0;  // 0: there is none
    Fd control;
    TimePoint started{};
    std::optional<TimePoint> restart_at;
    std::chrono::milliseconds delay{0};  // of the last restart
    bool ready = false;
  };

  // A status in the new process; nothing in the supervisor.
  std::optional<int> Start(size_t index);
  std::optional<int> StartWhatIsDue();
  Status Sleep();
  void HandleSignals();
  void HandleWorker(size_t index);
  void OnReady(size_t index);
  void Bury(size_t index);
  void Replace(size_t index, const std::string& how_it_ended);
  void Terminate();
  void Hangup();
  bool AnyAlive() const;

  Kernel& kernel_;
  Logger& log_;
  WorkerBody& body_;
  Signals signals_;
  std::vector<Worker> workers_;
  std::vector<pollfd> polled_;  // of the last sleep
  size_t ready_ = 0;            // of the first ones
  bool all_ready_ = false;      // once
  bool terminating_ = false;
  int stops_told_ = 0;  // to each worker
  int exit_status_ = 0;
};

// The worker's end, in its loop. After each kTerminate `handler` hears OnTerminate, after kHangup
// OnHangup. The supervisor's death is a kTerminate unless there was one before: nobody asked for
// what runs to be cut.
class WorkerControl final : public FdeventCallback {
 public:
  // `fd` is not owned: it is closed by the end of the process, which is how the supervisor hears
  // of it.
  WorkerControl(Kernel& kernel, EventLoop& loop, int fd, SignalHandler& handler);

  // Says kReady. Errors of epoll_ctl and send: there is no living without a supervisor.
  Status Start();
  void OnFdevent(uint32_t revents) override;

 private:
  Kernel& kernel_;
  EventLoop& loop_;
  const int fd_;
  SignalHandler& handler_;
  bool terminating_ = false;
  Registration registration_;
};

}  // namespace pollux
