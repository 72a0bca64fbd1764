// Bytes that are not there: which bytes of which file would be. For runs of many gigabytes, where
// moving them would take longer than all the rest. Internal to fakes/kernel.
//
// Where a symbolic file (SimKernel::AddSymbolicFile) is read into memory, nothing is stored; it is
// noted what would have been. What is sent from there, or out of the page cache, stands in the
// socket's queue as a Symbol, and so it comes to the peer, who can compare it with what it should
// get. Pages of files in memory keep theirs in the page, so that a page that changes while a socket
// refers to it is found out as with bytes (memory.h).
//
// What the process stores into such memory itself is not seen.
#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <optional>

namespace pollux::sim {

struct Symbol {
  uint64_t file = 0;        // inode number; 0: zeroes
  uint64_t offset = 0;      // bytes
  uint64_t generation = 0;  // of the page: each store into it has another
  bool operator==(const Symbol&) const = default;
};

struct SymbolExtent {
  uint64_t file = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
};

// Memory other than that of files in memory: buffers of the heap and anonymous mappings.
class SymbolMemory {
 public:
  void Store(const void* at, const SymbolExtent& what) {
    Forget(at, what.length);
    if (what.length > 0) known_[Address(at)] = what;
  }

  // What stands from `at` on; nothing if that is plain bytes.
  std::optional<SymbolExtent> Find(const void* at) const {
    auto found = known_.upper_bound(Address(at));
    if (found == known_.begin()) return std::nullopt;
    --found;
    const uint64_t into = Address(at) - found->first;
    SymbolExtent what = found->second;
    if (into >= what.length) return std::nullopt;
    what.offset += into;
    what.length -= into;
    return what;
  }

  // Extents that reach into it: what is before and behind it stays.
  void Forget(const void* at, uint64_t length) {
    const uint64_t begin = Address(at), end = begin + length;
    auto next = known_.lower_bound(begin);
    if (next != known_.begin()) {
      auto& [start, before] = *std::prev(next);
      if (start + before.length > end) known_[end] = Rest(start, before, end);
      if (start + before.length > begin) before.length = begin - start;
    }
    while (next != known_.end() && next->first < end) {
      if (next->first + next->second.length > end) {
        known_[end] = Rest(next->first, next->second, end);
      }
      next = known_.erase(next);
    }
  }

 private:
  static uint64_t Address(const void* at) { return reinterpret_cast<uintptr_t>(at); }
  static SymbolExtent Rest(uint64_t start, const SymbolExtent& of, uint64_t end) {
    return {of.file, of.offset + (end - start), start + of.length - end};
  }

  std::map<uint64_t, SymbolExtent> known_;  // by address; nothing depends on their order
};

}  // namespace pollux::sim
