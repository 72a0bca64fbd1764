// Files on the modelled disk: where they are, and threads that wait for their pages.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "core/base/units.h"
#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

// Files begin at multiples of this.
constexpr uint64_t kExtentBytes = 1_MiB;
// splice(2) goes through a pipe of sixteen pages.
constexpr size_t kSpliceBytes = 16 * kPageBytes;

class PageIsRead final : public Condition {
 public:
  PageIsRead(const PageCache& cache, size_t page) : cache_(cache), page_(page) {}
  bool Holds() const override {
    return page_ >= cache_.pages() || cache_.state(page_) != PageCache::State::kReading;
  }

 private:
  const PageCache& cache_;
  const size_t page_;
};

struct DirectRead final : public Condition {
  bool Holds() const override { return done; }
  bool done = false;
  bool good = false;
};

}  // namespace

void SimKernel::PlaceOnDisk(Inode& file) {
  if (!disk_.modelled()) return;
  file.pages = std::make_unique<PageCache>(disk_, next_place_, file.size());
  next_place_ += AlignUp(std::max<uint64_t>(file.size(), 1), kExtentBytes);
}

Status SimKernel::FaultIn(Description& file, size_t offset, size_t count, const char* operation) {
  PageCache& cache = *file.inode->pages;
  if ((file.flags & O_DIRECT) != 0) {
    const auto read = std::make_shared<DirectRead>();
    disk_.ReadPages(cache.place() + offset, count, [read](bool good) {
      read->done = true;
      read->good = good;
    });
    scheduler_.WaitFor(operation, Footprint::Everything(), *read);
    return read->good ? Status() : Err(EIO, operation);
  }
  const size_t end = (offset + count + kPageBytes - 1) / kPageBytes;
  for (size_t page = offset / kPageBytes; page < std::min(end, cache.pages()); ++page) {
    do {
      cache.Touch(file.ahead, page, end - page);
      scheduler_.WaitFor(operation, Footprint::Everything(), PageIsRead(cache, page));
      if (page >= cache.pages()) return {};                    // the file became shorter
    } while (cache.state(page) == PageCache::State::kAbsent);  // read, and dropped at once
    if (cache.state(page) == PageCache::State::kFailed) return Err(EIO, operation);
  }
  return {};
}

void SimKernel::Advise(Description& file, off_t offset, off_t length, int advice) {
  PageCache& cache = *file.inode->pages;
  // Of a part of a page DONTNEED says nothing, WILLNEED everything (posix_fadvise(2)).
  const auto from = static_cast<size_t>(offset);
  const size_t to = length > 0 ? from + static_cast<size_t>(length) : file.inode->size();
  const size_t end = (to + kPageBytes - 1) / kPageBytes;
  file.ahead.random =
      advice == POSIX_FADV_RANDOM || (file.ahead.random && advice >= POSIX_FADV_WILLNEED);
  if (advice == POSIX_FADV_NORMAL) file.ahead.pages_max = ReadAhead::kPagesMax;
  if (advice == POSIX_FADV_SEQUENTIAL) file.ahead.pages_max = 2 * ReadAhead::kPagesMax;
  if (advice == POSIX_FADV_WILLNEED) cache.Fetch(from / kPageBytes, end);
  if (advice == POSIX_FADV_DONTNEED) {
    cache.Drop((from + kPageBytes - 1) / kPageBytes,
               to >= file.inode->size() ? end : to / kPageBytes);
  }
}

// A piece after the other, as a pipe takes them: each is read into the page cache, if it is not
// there, whether or not the socket has room for it.
Result<size_t> SimKernel::SendfileFromDisk(Connection& out, Description& in, size_t offset,
                                           size_t count) {
  size_t total = 0;
  while (total < count) {
    const size_t at = offset + total;
    const size_t piece = std::min(count - total, kSpliceBytes - at % kPageBytes);
    if (const Status read = FaultIn(in, at, piece, "sendfile"); !read) {
      return total > 0 ? Result<size_t>(total) : Err(read.error());
    }
    const size_t size = in.inode->size();
    if (at >= size) break;
    const size_t there = std::min(piece, size - at);
    const long sent = in.inode->content != nullptr
                          ? out.SendCached(in.inode->content, in.inode->Zeroed(), at, there)
                          : out.SendSymbols({in.inode->number, at, there});
    if (sent < 0) return total > 0 ? Result<size_t>(total) : Sent(sent, 0, "sendfile");
    total += static_cast<size_t>(sent);
    if (static_cast<size_t>(sent) < piece) break;
  }
  return total;
}

// send(2) from memory that symbols stand for.
long SimKernel::SendSymbols(Connection& out, const char* from, size_t length) const {
  size_t total = 0;
  while (total < length) {
    std::optional<SymbolExtent> what = symbols_.Find(from + total);
    if (!what) NotModelled("send of symbols and bytes together");
    what->length = std::min<uint64_t>(what->length, length - total);
    const long sent = out.SendSymbols(*what);
    if (sent < 0) return total > 0 ? static_cast<long>(total) : sent;
    total += static_cast<size_t>(sent);
    if (static_cast<size_t>(sent) < what->length) break;
  }
  return static_cast<long>(total);
}

}  // namespace pollux::sim
