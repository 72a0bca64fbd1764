// A run of the core on Linux, under a recorder: what the model is held to.
#pragma once

#include <string>
#include <tl/expected.hpp>

#include "core/event/coordination.h"
#include "fakes/recording/recording.h"

namespace pollux::sim {

// The loop, with this coordination on epoll or poll (which `published` needs), reads a file chunk
// by chunk into one memfd, sends it on by reference to a peer over loopback, and punches it out.
// The peer's byte asks for it; a foreign signal comes on the way. The file is made in `folder`, and
// is gone at the end.
//
// Dispositions and masks of the calling thread's signals are the loop's afterwards. Or one line on
// what could not be done: no direct I/O there (EINVAL of open(2)), no AIO context to be had.
tl::expected<Recording, std::string> RecordRealRun(CoordinationKind kind, bool epoll,
                                                   const std::string& folder);

}  // namespace pollux::sim
