// The page cache of a file on a modelled disk, and how Linux reads ahead of a reader
// (mm/readahead.c). Internal to fakes/kernel; a kernel without a modelled disk has none of it.
//
// A page is absent, under read, there, or its read has failed (it is read again when somebody comes
// to it). A reader that misses one has a window of pages read, twice
// as large each time it goes on where the last window ended, up to the device's read-ahead (128
// KiB); in each window a page is marked, and whoever comes to it has the next window read while it
// goes on. A reader that jumps gets what it asked for.
//
// Not modelled: reclaim (what was read stays), large folios, read-ahead begun by RWF_NOWAIT, and
// the look at neighbouring cached pages that Linux takes before it calls a reader random.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "fakes/kernel/memory.h"

namespace pollux::sim {

class Disk;

// struct file_ra_state of an open file description. In pages.
struct ReadAhead {
  static constexpr size_t kPagesMax = 32;                // read_ahead_kb of 128
  size_t start = 0;                                      // the window,
  size_t size = 0;                                       // of which the last `async` are read
  size_t async = 0;                                      // while the reader is not there yet
  size_t previous = std::numeric_limits<size_t>::max();  // the page that was read last
  size_t pages_max = kPagesMax;                          // POSIX_FADV_SEQUENTIAL: twice as many
  bool random = false;                                   // POSIX_FADV_RANDOM
};

class PageCache {
 public:
  enum class State : uint8_t { kAbsent, kReading, kThere, kFailed };

  // A file of `bytes`, all in one piece on the disk, at `place`.
  PageCache(Disk& disk, uint64_t place, uint64_t bytes);
  void Resize(uint64_t bytes);

  uint64_t place() const { return place_; }
  size_t pages() const { return states_.size(); }
  State state(size_t page) const { return states_[page]; }
  // A reader comes to `page`, and wants `wanted` pages from there on: begins what is to be read.
  void Touch(ReadAhead& ahead, size_t page, size_t wanted);
  // Those that are there or under read, of [first, end).
  size_t Count(size_t first, size_t end) const;
  // Those that are there from `first` on, without a gap.
  size_t Prefix(size_t first, size_t end) const;
  // POSIX_FADV_WILLNEED and DONTNEED.
  void Fetch(size_t first, size_t end) { Read(first, end - first, kNoPage); }
  void Drop(size_t first, size_t end);

 private:
  static constexpr size_t kNoPage = std::numeric_limits<size_t>::max();

  bool Missing(size_t page) const {
    return states_[page] == State::kAbsent || states_[page] == State::kFailed;
  }
  void OnMiss(ReadAhead& ahead, size_t page, size_t wanted);
  void OnMarker(ReadAhead& ahead, size_t page, size_t wanted);
  void ReadWindow(ReadAhead& ahead, size_t page);
  void Read(size_t first, size_t count, size_t marked);
  void ReadRun(size_t first, size_t end);

  Disk& disk_;
  const uint64_t place_;
  uint64_t bytes_ = 0;
  std::vector<State> states_;
  std::vector<bool> marked_;
};

}  // namespace pollux::sim
