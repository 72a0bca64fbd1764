#include <cerrno>
#include <limits>

#include "core/aio/aio_backend.h"
#include "core/aio/backend.h"
#include "core/aio/chunk_memory.h"
#include "core/aio/read_ahead.h"
#include "core/aio/sendfile_backend.h"
#include "core/aio/threads_backend.h"
#include "core/aio/writev_backend.h"
#include "core/base/check.h"
#include "core/sys/log.h"

namespace pollux {
namespace {

constexpr uint64_t kPageBytes = 4_KiB;

bool ByReference(BackendKind kind) { return kind == BackendKind::kLinuxAioSendfile; }

Result<std::unique_ptr<ChunkMemory>> MakeMemory(const BackendOptions& options, Kernel& kernel,
                                                uint32_t chunks) {
  if (!ByReference(options.kind)) return MakeCopyMemory(kernel, options.chunk_bytes, chunks);
  return MakeShmMemory(kernel, options.chunk_bytes, chunks, options.retire, options.shm_dir);
}

void WarnNoAio(Logger& log, const Error& error) {
  const char* remedy = "lower --aio-depth, or see io_setup(2)";  // ENOMEM, EINVAL, EPERM (seccomp)
  if (error.code == ENOSYS) remedy = "this kernel has no AIO (CONFIG_AIO)";
  if (error.code == EAGAIN) {
    remedy =
        "fs.aio-max-nr is used up: compare /proc/sys/fs/aio-nr with fs.aio-max-nr and raise "
        "it (sysctl -w fs.aio-max-nr=1048576), or lower --aio-depth";
  }
  log.Warn("{}; {}. Files are sent by threads-sendfile until the next start", ToString(error),
           remedy);
}

// What a transfer could not get, the first time: files are served all the same, but not as asked.
// EINVAL and EOPNOTSUPP are no shortage: a file system without direct I/O is as good as another.
bool WarnOfShortage(Logger& log, const Error& error) {
  const char* remedy = nullptr;
  switch (error.code) {
    case EFAULT:  // the kernel found no page to read into
    case ENOSPC:
      remedy = "enlarge the file system of --shm-dir (/dev/shm) or lower --buffer-budget";
      break;
    case ENOMEM:
      remedy = "lower --buffer-budget, or raise the limits on memory";
      break;
    case EMFILE:
      remedy = "raise RLIMIT_NOFILE";
      break;
    case ENFILE:
      remedy = "raise fs.file-max";
      break;
    default:
      return false;
  }
  log.Warn("{}: what AIO has no room for is sent by threads-sendfile; {}", ToString(error), remedy);
  return true;
}

AutoSending ChooseSending(const BackendOptions& options, Kernel& kernel, Logger& log) {
  AutoSending automatic{.residency = std::make_unique<Residency>(kernel)};
  const uint64_t read_ahead = DeviceReadAhead(kernel, options.root_fd);
  const bool deep = read_ahead >= kDeepReadAheadBytes;
  if (deep) automatic.populate_below = std::numeric_limits<uint64_t>::max();
  log.Info("auto: the device reads ahead {} KiB; cold files are read {}", read_ahead / 1024,
           deep ? "through the page cache, by threads" : "directly, by AIO");
  return automatic;
}

Result<std::unique_ptr<Backend>> MakeAio(const BackendOptions& options, Kernel& kernel,
                                         EventLoop& loop, WorkerPool& workers, Logger& log,
                                         AioStats& stats) {
  if (options.chunk_bytes == 0 || options.chunk_bytes % kPageBytes != 0 ||
      options.buffer_budget_bytes < options.chunk_bytes || options.aio_depth == 0) {
    return Err(EINVAL, "chunk size and buffer budget");
  }
  const auto chunks = static_cast<uint32_t>(options.buffer_budget_bytes / options.chunk_bytes);
  auto threads = MakeThreadsBackend(kernel, workers, stats);
  // Memory first: the coordination takes a context only once, so no error may follow its set-up.
  auto memory = MakeMemory(options, kernel, chunks);
  if (!memory) return Err(memory.error());
  auto queue = AioQueue::Create(kernel, loop, workers, options.aio_depth, stats);
  if (!queue) {
    WarnNoAio(log, queue.error());
    return threads;
  }
  auto pool = std::make_unique<ChunkPool>(std::move(*memory), options.chunk_bytes, chunks, stats);
  auto engine =
      std::make_unique<ReadEngine>(loop, workers, std::move(*queue), std::move(pool), stats);
  std::optional<AutoSending> automatic;
  if (options.kind == BackendKind::kAuto) automatic = ChooseSending(options, kernel, log);
  if (ByReference(options.kind) && options.retire == Retire::kReuse) {
    log.Warn(
        "--retire reuse is the specimen of 2006: it overwrites pages that sockets still hold "
        "and corrupts what late readers get. Not for use");
  }
  return MakeAioBackend(kernel, std::move(engine), std::move(threads), std::move(automatic), stats,
                        [&log, told = false](const Error& error) mutable {
                          told = told || WarnOfShortage(log, error);
                        });
}

}  // namespace

Result<std::unique_ptr<Backend>> MakeBackend(const BackendOptions& options, Kernel& kernel,
                                             EventLoop& loop, WorkerPool& workers, Logger& log,
                                             AioStats& stats) {
  switch (options.kind) {
    case BackendKind::kWritev:
      return MakeWritevBackend(kernel, stats);
    case BackendKind::kLinuxSendfile:
      return MakeSendfileBackend(kernel, stats);
    case BackendKind::kThreadsSendfile:
      return MakeThreadsBackend(kernel, workers, stats);
    case BackendKind::kLinuxAioSendfile:
    case BackendKind::kLinuxAioWrite:
    case BackendKind::kAuto:
      return MakeAio(options, kernel, loop, workers, log, stats);
  }
  CHECK(false);
}

}  // namespace pollux
