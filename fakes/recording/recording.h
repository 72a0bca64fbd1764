// A run at the seam, call by call: what RecordingKernel keeps of a real one, and Accept() makes
// again on the simulated kernel. recording_file.h has its form in a file.
#pragma once

#include <libaio.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
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
    uint64_t recorded = 0;
    char* here = nullptr;
    size_t length = 0;
  };

  int Fd(int recorded) const;
  io_context_t Context(uint64_t recorded) const;
  // Where `length` bytes at a recorded address are: in a mapping; null if in none.
  char* Address(uint64_t recorded, size_t length) const;
  // The request that was at `at`, which asked for `recorded` (whose buffer is an address there).
  iocb* RequestFor(const iocb& recorded, uint64_t at);

  Kernel& kernel;
  std::map<int, int> fds;
  std::map<uint64_t, io_context_t> contexts;
  std::map<int, pid_t> tids;                       // by the thread's number, as the next
  std::map<int, std::optional<ThreadId>> threads;  // nothing: joined
  std::vector<Area> areas;
  std::map<uint64_t, Request> requests;
  // What the acceptor does: the thread's calls, on a thread of their own; and what a peer did.
  std::function<Result<ThreadId>(int thread)> spawn;
  std::function<bool()> peer_connects;  // false: nobody listens
  std::function<size_t(const std::string&)> peer_sends;
  std::function<std::string(size_t)> peer_takes;
};

struct RecordedCall {
  int thread = 0;      // in the order of their making; 0 is the first
  uint64_t begin = 0;  // of all beginnings and ends of the run
  uint64_t end = 0;
  std::string name;
  nlohmann::json arguments;  // an object; calls.cc has the names
  std::string result;        // as text: a count, "EINTR", and what else came of the call
  bool timed_out = false;    // a wait that ended without a result
  std::function<std::string(Translation&)> again;  // the same call elsewhere: its result
};

// A file that was there, with these bytes.
struct RecordedFile {
  std::string path;
  std::string contents;
};

struct Recording {
  int threads = 1;
  std::vector<RecordedFile> files;
  std::vector<RecordedCall> calls;  // by their beginnings
};

}  // namespace pollux
