// A run at the seam, call by call: what RecordingKernel keeps of a real one, and Accept() makes
// again on the simulated kernel.
#pragma once

#include <libaio.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/sys/kernel.h"

namespace pollux {

// Names of one run (descriptor numbers, contexts, threads, addresses) in another one, on `kernel`.
struct Translation {
  explicit Translation(Kernel& on) : kernel(on) {}

  // A request, and memory to read into, in the place of the recorded ones.
  struct Request {
    iocb control{};
    std::shared_ptr<std::vector<char>> own;  // if it does not aim into a mapping
  };
  struct Area {
    const char* recorded = nullptr;
    char* here = nullptr;
    size_t length = 0;
  };

  int Fd(int recorded) const;
  // Where a recorded address is: in a mapping; null if in none.
  char* Address(const void* recorded) const;
  iocb* RequestFor(const iocb& recorded, const iocb* at);

  Kernel& kernel;
  std::map<int, int> fds;
  std::map<io_context_t, io_context_t> contexts;
  std::map<pid_t, pid_t> tids;
  std::map<uint64_t, ThreadId> threads;
  std::vector<Area> areas;
  std::map<const iocb*, Request> requests;
  // What the acceptor does: the thread's calls, on a thread of their own; and what a peer did.
  std::function<Result<ThreadId>(int thread)> spawn;
  std::function<void()> peer_connects;
  std::function<void(const std::string&)> peer_sends;
  std::function<std::string(size_t)> peer_takes;
};

struct RecordedCall {
  int thread = 0;      // in the order of their making; 0 is the first
  uint64_t begin = 0;  // of all beginnings and ends of the run
  uint64_t end = 0;
  std::string name;
  std::string result;      // as text: a count, "EINTR", and what else came of the call
  bool timed_out = false;  // a wait that ended without a result
  std::function<std::string(Translation&)> again;  // the same call elsewhere: its result
};

struct Recording {
  std::vector<RecordedCall> calls;  // by their beginnings
  std::vector<pid_t> tids;          // by thread
  // A line a call, for readers.
  std::string Text() const;
};

}  // namespace pollux
