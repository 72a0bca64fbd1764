// Sending files: one interface, six ways (--backend).
//
//   writev              pread() into a buffer, send(): the plainest.
//   linux-sendfile      sendfile() on the loop; blocks it on a cold cache. The baseline of 2006.
//   linux-aio-sendfile  direct reads into a memfd, sendfile() from there. 2006's, made sound.
//   linux-aio-write     direct reads into reused buffers, sent with a copy.
//   threads-sendfile    sendfile() on a pool of threads, as today's servers do.
//   auto                cached pages by plain sendfile; cold ones by threads-sendfile where the
//                       kernel reads far ahead by itself (read_ahead.h), else by linux-aio-write.
//
// Threads: loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/aio/aio_stats.h"
#include "core/aio/open_file.h"
#include "core/event/event_loop.h"
#include "core/event/worker_pool.h"

namespace pollux {

enum class BackendKind {
  kWritev,
  kLinuxSendfile,
  kLinuxAioSendfile,
  kLinuxAioWrite,
  kThreadsSendfile,
  kAuto,
};
std::optional<BackendKind> ParseBackend(std::string_view word);
const char* ToString(BackendKind kind);

// What happens to a chunk's pages once sendfile() has handed them to a socket.
enum class Retire {
  kPunch,  // the hole is punched: the socket keeps the old pages, the chunk gets new ones
  kFresh,  // a new memfd per chunk
  kReuse,  // 2006: overwritten while the socket may still hold them. A specimen; corrupts.
};
std::optional<Retire> ParseRetire(std::string_view word);
const char* ToString(Retire retire);

class TransferWaiter {
 public:
  virtual ~TransferWaiter() = default;
  // A transfer that answered kWaiting can go on, or has failed: Pump again (in this turn or later).
  virtual void OnTransferReady() = 0;
};

struct TransferRequest {
  std::shared_ptr<Fd> socket;  // shared: a worker may be inside sendfile() when the owner closes
  std::shared_ptr<OpenFile> file;
  uint64_t offset = 0;               // bytes; offset + length <= file->size()
  uint64_t length = 0;               // bytes
  TransferWaiter* waiter = nullptr;  // outlives the Transfer
};

// One range of one file on its way to one socket. Destroying it at any moment is safe: buffers that
// a read still aims at outlive it.
class Transfer {
 public:
  enum class Outcome {
    kDone,        // every byte was accepted by the socket
    kSocketFull,  // call again when the socket is writable
    kWaiting,     // call again after OnTransferReady
    kYield,       // a turn's share is sent: call again in the next turn
  };
  virtual ~Transfer() = default;

  // Sends at most about `bytes_max`. On an error (EPIPE, ECONNRESET, EIO, ENODATA for a file that
  // has become shorter, ...) the answer cannot be completed: close the connection. What was not
  // read is never sent.
  virtual Result<Outcome> Pump(uint64_t bytes_max) = 0;

  virtual uint64_t sent() const = 0;  // bytes accepted by the socket so far
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<Transfer> Start(TransferRequest request) = 0;
};

struct BackendOptions {
  BackendKind kind = BackendKind::kAuto;
  Retire retire = Retire::kPunch;
  uint64_t chunk_bytes = 512 * 1024;                 // a multiple of 4 KiB
  unsigned aio_depth = 128;                          // iocbs in flight at most
  uint64_t buffer_budget_bytes = 256 * 1024 * 1024;  // chunks, all together
  int root_fd = -1;     // the folder to serve, for `auto` to look at its device; need not be there
  std::string shm_dir;  // empty: memfd_create(2)
};

// Makes the backend and all it needs. AIO that the kernel refuses (io_setup: EAGAIN when
// fs.aio-max-nr is used up, ENOSYS) is no error: a warning names what to do and files are sent by
// threads-sendfile instead. Warns for Retire::kReuse. `stats` must outlive it.
class Logger;
Result<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options, Kernel& kernel,
                                             EventLoop& loop, WorkerPool& workers, Logger& log,
                                             AioStats& stats);

}  // namespace pollux
