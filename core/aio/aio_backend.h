// linux-aio-sendfile, linux-aio-write and auto: direct reads into chunks, several ahead.
#pragma once

#include <memory>

#include "core/aio/backend.h"
#include "core/aio/read_engine.h"
#include "core/aio/residency.h"

namespace pollux {

// `fallback` sends what cannot be read directly: files on file systems without direct I/O, and
// whatever is left of a transfer when chunk memory cannot be had. With `residency` this is `auto`:
// cached pages go out by plain sendfile(), and cold files below kPopulateBelow through the page
// cache, by `fallback`, so that what is asked for often is hot the next time.
// Stop the worker pool before destroying it; every Transfer must be gone.
std::unique_ptr<Backend> MakeAioBackend(Kernel& kernel, std::unique_ptr<ReadEngine> engine,
                                        std::unique_ptr<Backend> fallback,
                                        std::unique_ptr<Residency> residency, AioStats& stats);

inline constexpr uint64_t kPopulateBelow = 4_MiB;

}  // namespace pollux
