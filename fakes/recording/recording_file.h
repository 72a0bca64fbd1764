// A recording in a file: JSON, one object a line, to be read and compared by eye and by diff.
//
//   {"format": "pollux-sim recording 1", "threads": 2, "files": 1, "calls": 3}
//   {"file": "/srv/a", "contents": "hello"}
//   {"thread": 0, "begin": 1, "end": 2, "call": "openat",
//    "arguments": {"dirfd": -100, "path": "/srv/a", ...}, "result": "a descriptor"}
//   ...
//
// The first line says how many there are of the others: a file that was cut off is known by it.
// Then come the files that were there, and the calls by their beginnings. `begin` and `end` count
// all beginnings and ends of the run; a thread's calls do not overlap. `timed_out` is true of a
// wait that ended without a result, and else left out. Descriptors, addresses and contexts are the
// recorded run's own: they only tell one from another. Bytes are text of code points up to 255. The
// names of a call's arguments are those of calls.cc, those of man pages mostly.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "fakes/recording/recording.h"

namespace pollux {

std::string WriteRecording(const Recording& recording);

// A recording that Accept() can make again; or what is wrong with the text, in one line that begins
// with the number of the wrong line.
tl::expected<Recording, std::string> ReadRecording(std::string_view text);

// The line of a call, which is counted from 0, in its file.
size_t LineOf(const Recording& recording, size_t call);

}  // namespace pollux
