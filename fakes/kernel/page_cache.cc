#include "fakes/kernel/page_cache.h"

#include <algorithm>
#include <bit>

#include "fakes/kernel/aio_context.h"

namespace pollux::sim {
namespace {

// get_init_ra_size(), get_next_ra_size().
size_t FirstWindow(size_t wanted, size_t max) {
  const size_t size = std::bit_ceil(wanted);
  if (size <= max / 32) return size * 4;
  return size <= max / 4 ? size * 2 : max;
}

size_t NextWindow(size_t size, size_t max) {
  if (size < max / 16) return size * 4;
  return size <= max / 2 ? size * 2 : max;
}

}  // namespace

PageCache::PageCache(Disk& disk, uint64_t place, uint64_t bytes) : disk_(disk), place_(place) {
  Resize(bytes);
}

void PageCache::Resize(uint64_t bytes) {
  bytes_ = bytes;
  states_.resize((bytes + kPageBytes - 1) / kPageBytes, State::kAbsent);
  marked_.resize(states_.size());
}

void PageCache::Touch(ReadAhead& ahead, size_t page, size_t wanted) {
  if (Missing(page)) {
    OnMiss(ahead, page, wanted);
  } else if (marked_[page]) {
    marked_[page] = false;
    OnMarker(ahead, page, wanted);
  }
  ahead.previous = page;
}

// page_cache_sync_ra(), ondemand_readahead()
void PageCache::OnMiss(ReadAhead& ahead, size_t page, size_t wanted) {
  const size_t max = ahead.pages_max;
  const bool window_ended = ahead.size > 0 && page == ahead.start + ahead.size;
  // From the file's start, more than a window, or the page after the last one read.
  const bool sequential = page == 0 || wanted > max || page - ahead.previous <= 1;
  if (page != 0 && window_ended && !ahead.random) {
    ahead.start += ahead.size;
    ahead.size = NextWindow(ahead.size, max);
    ahead.async = ahead.size;
    ReadWindow(ahead, page);
  } else if (sequential && !ahead.random) {
    ahead.start = page;
    ahead.size = FirstWindow(wanted, max);
    ahead.async = ahead.size > wanted ? ahead.size - wanted : ahead.size;
    ReadWindow(ahead, page);
  } else {
    Read(page, wanted, kNoPage);
  }
}

// page_cache_async_ra(): the next window, from the first page that nobody reads yet.
void PageCache::OnMarker(ReadAhead& ahead, size_t page, size_t wanted) {
  const size_t max = ahead.pages_max;
  if (ahead.size > 0 && page == ahead.start + ahead.size - ahead.async) {
    ahead.start += ahead.size;
    ahead.size = NextWindow(ahead.size, max);
  } else {  // another reader of the same description has moved the window
    size_t start = page + 1;
    while (start < pages() && !Missing(start)) ++start;
    if (start - page > max) return;
    ahead.start = start;
    ahead.size = NextWindow(start - page + wanted, max);
  }
  ahead.async = ahead.size;
  ReadWindow(ahead, page);
}

void PageCache::ReadWindow(ReadAhead& ahead, size_t page) {
  // The reader would come to the marked page at once: the next window goes with this one.
  if (page == ahead.start && ahead.size == ahead.async) {
    const size_t more = NextWindow(ahead.size, ahead.pages_max);
    if (ahead.size + more <= ahead.pages_max) {
      ahead.async = more;
      ahead.size += more;
    } else {
      ahead.size = ahead.pages_max;
      ahead.async = ahead.pages_max / 2;
    }
  }
  Read(ahead.start, ahead.size, ahead.start + ahead.size - ahead.async);
}

void PageCache::Read(size_t first, size_t count, size_t marked) {
  const size_t end = std::min(first + count, pages());
  for (size_t page = first; page < end;) {
    if (!Missing(page)) {
      ++page;
      continue;
    }
    size_t run_end = page;
    while (run_end < end && Missing(run_end)) {
      states_[run_end] = State::kReading;
      if (run_end == marked) marked_[run_end] = true;
      ++run_end;
    }
    ReadRun(page, run_end);
    page = run_end;
  }
}

void PageCache::ReadRun(size_t first, size_t end) {
  disk_.ReadPages(place_ + first * kPageBytes, (end - first) * kPageBytes,
                  [this, first, end](bool good) {
                    // The file may have become shorter.
                    const auto from = static_cast<ptrdiff_t>(std::min(first, pages()));
                    const auto to = static_cast<ptrdiff_t>(std::min(end, pages()));
                    std::fill(states_.begin() + from, states_.begin() + to,
                              good ? State::kThere : State::kFailed);
                  });
}

size_t PageCache::Count(size_t first, size_t end) const {
  size_t count = 0;
  for (size_t page = first; page < std::min(end, pages()); ++page) {
    count += Missing(page) ? 0 : 1;
  }
  return count;
}

size_t PageCache::Prefix(size_t first, size_t end) const {
  size_t page = first;
  while (page < std::min(end, pages()) && states_[page] == State::kThere) ++page;
  return page - first;
}

// What is under read stays.
void PageCache::Drop(size_t first, size_t end) {
  for (size_t page = first; page < std::min(end, pages()); ++page) {
    if (states_[page] != State::kThere) continue;
    states_[page] = State::kAbsent;
    marked_[page] = false;
  }
}

}  // namespace pollux::sim
