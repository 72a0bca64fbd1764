// A transfer that does everything on the loop, step by step: what writev and linux-sendfile share.
#pragma once

#include <functional>
#include <memory>

#include "core/aio/backend.h"
#include "core/aio/send_step.h"

namespace pollux {

// Sends `count` bytes of `file` from `offset` to `socket`: one of send_step.h.
using StepFunction = std::function<SendStep(int socket, int file, uint64_t offset, uint64_t count)>;

// Never answers kWaiting. `stats` must outlive it.
std::unique_ptr<Transfer> MakeLoopTransfer(TransferRequest request, AioStats& stats,
                                           StepFunction step);

}  // namespace pollux
