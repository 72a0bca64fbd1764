// linux-aio-sendfile, linux-aio-write and auto: direct reads into chunks, several ahead.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "core/aio/backend.h"
#include "core/aio/read_engine.h"
#include "core/aio/residency.h"

namespace pollux {

// Cold files below this go through the page cache even where cold reads are direct: what is asked
// for often should be hot the next time.
inline constexpr uint64_t kPopulateBelowBytes = 4_MiB;

// With it the backend is `auto`: looks before it sends, and sends cached pages by plain sendfile().
struct AutoSending {
  std::unique_ptr<Residency> residency;
  // Cold files smaller than this are sent by `fallback`, through the page cache.
  uint64_t populate_below = kPopulateBelowBytes;
};

// `fallback` sends what cannot be read directly: files on file systems without direct I/O, and
// whatever is left of a transfer when chunk memory cannot be had.
// `on_fallback`, if there is one, hears each time why a transfer's rest is sent by `fallback`.
// Stop the worker pool before destroying it; every Transfer must be gone.
std::unique_ptr<Backend> MakeAioBackend(Kernel& kernel, std::unique_ptr<ReadEngine> engine,
                                        std::unique_ptr<Backend> fallback,
                                        std::optional<AutoSending> automatic, AioStats& stats,
                                        std::function<void(const Error&)> on_fallback = {});

}  // namespace pollux
