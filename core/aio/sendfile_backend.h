// linux-sendfile: sendfile(2) on the loop. The baseline of 2006: without fault while the page cache
// is warm; on a cold one every read holds up all connections.
#pragma once

#include <memory>

#include "core/aio/backend.h"

namespace pollux {

// `kernel` and `stats` must outlive the backend and its transfers. Transfers never answer kWaiting.
// Errors of Pump: see send_step.h.
std::unique_ptr<Backend> MakeSendfileBackend(Kernel& kernel, AioStats& stats);

}  // namespace pollux
