// threads-sendfile: sendfile(2) on the worker pool, so that a cold page cache holds up a worker and
// not the loop. What today's servers do (nginx `aio threads`), and the fall-back where the kernel
// refuses AIO.
#pragma once

#include <cstdint>
#include <memory>

#include "core/aio/backend.h"
#include "core/base/units.h"
#include "core/event/worker_pool.h"

namespace pollux {

// What one job sends at most. Handing a job over and back costs some 20 µs of CPU, sending a MiB
// some hundreds: the hand-over stays small beside it. More would hold a worker longer on a cold
// disk (2 MiB: 35 ms at 58 MB/s) than other downloads that wait for one should.
inline constexpr uint64_t kThreadsJobBytesMax = 2_MiB;

// `kernel`, `workers` and `stats` must outlive the backend and its transfers.
//
// A transfer has at most one job out, and answers kWaiting until it is back; OnTransferReady then
// follows on the loop thread. Pump's bytes_max bounds the time of a turn on the loop; a job takes
// none of it and is bounded by kThreadsJobBytesMax instead.
//
// A transfer destroyed while its job is out leaves the job behind: it holds the socket and the file
// open, starts no further sendfile(), and nobody is told of its end. Bytes of a call that was under
// way may still reach the peer: they are the right ones, in the right place.
// Errors of Pump: see send_step.h.
std::unique_ptr<Backend> MakeThreadsBackend(Kernel& kernel, WorkerPool& workers, AioStats& stats);

}  // namespace pollux
