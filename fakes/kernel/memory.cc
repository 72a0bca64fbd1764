#include "fakes/kernel/memory.h"

#include <sys/mman.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/base/units.h"

namespace pollux::sim {
namespace {

// Up to here clearing memory is cheaper than asking the system for fresh pages.
constexpr size_t kPooledBytesMax = 1_MiB;

}  // namespace

MemoryPool::~MemoryPool() {
  for (const Block& block : free_) ::munmap(block.memory, block.bytes);
}

char* MemoryPool::Take(size_t bytes) {
  bytes = AlignUp(std::max<size_t>(bytes, 1), kPageBytes);
  const auto found = std::find_if(free_.begin(), free_.end(),
                                  [&](const Block& block) { return block.bytes == bytes; });
  if (found != free_.end()) {
    char* memory = found->memory;
    free_.erase(found);
    std::memset(memory, 0, bytes);
    return memory;
  }
  void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(memory != MAP_FAILED);
  return static_cast<char*>(memory);
}

void MemoryPool::Give(char* memory, size_t bytes) {
  bytes = AlignUp(std::max<size_t>(bytes, 1), kPageBytes);
  if (bytes <= kPooledBytesMax) {
    free_.push_back({memory, bytes});
  } else {
    ::munmap(memory, bytes);
  }
}

char* Frame::data() { return home != nullptr ? home->data() + page * kPageBytes : copy.get(); }

Symbol& Frame::symbolic_data() { return home != nullptr ? home->symbol(page) : symbol; }

Frame* Frames::Make(MemoryFile& home, size_t page) {
  Writes();
  if (free_.empty()) {
    all_.push_back(std::make_unique<Frame>());
    free_.push_back(all_.back().get());
  }
  Frame* frame = free_.back();
  free_.pop_back();
  frame->home = &home;
  frame->page = page;
  return frame;
}

void Frames::Drop(Frame* frame) {
  Writes();
  if (frame->sockets != 0 || frame->reads != 0) return;
  if (frame->home != nullptr) frame->home->Forget(frame->page);
  frame->home = nullptr;
  frame->copy.reset();
  frame->sent_by.reset();
  free_.push_back(frame);
}

MemoryFile::~MemoryFile() {
  for (size_t page = 0; page < known_.size(); ++page) Detach(page);
  if (data_ != nullptr) pool_.Give(data_, capacity_);
}

bool MemoryFile::Resize(size_t bytes) {
  frames_.Writes();
  if (bytes > capacity_) {
    if (data_ != nullptr && mappings > 0) return false;
    const size_t capacity = AlignUp(bytes, kPageBytes);
    char* grown = pool_.Take(capacity);
    if (data_ != nullptr) {
      if (!symbolic_) std::memcpy(grown, data_, size_);
      pool_.Give(data_, capacity_);
    }
    data_ = grown;
    capacity_ = capacity;
    known_.resize(capacity / kPageBytes);
    if (symbolic_) symbols_.resize(capacity / kPageBytes);
  } else if (bytes < size_) {
    PunchHole(bytes, size_ - bytes);
  }
  size_ = bytes;
  return true;
}

void MemoryFile::PunchHole(size_t offset, size_t length) {
  frames_.Writes();
  const size_t end = std::min(offset + length, AlignUp(size_, kPageBytes));
  if (offset >= end) return;
  for (size_t page = (offset + kPageBytes - 1) / kPageBytes; page < end / kPageBytes; ++page) {
    Detach(page);
  }
  if (!symbolic_) {
    std::memset(data_ + offset, 0, end - offset);
    return;
  }
  const size_t end_page = (end + kPageBytes - 1) / kPageBytes;
  for (size_t page = offset / kPageBytes; page < end_page; ++page) symbols_[page] = Symbol();
}

Frame* MemoryFile::FrameOf(size_t page) {
  frames_.Reads();
  if (known_[page] == nullptr) known_[page] = frames_.Make(*this, page);
  return known_[page];
}

void MemoryFile::Detach(size_t page) {
  Frame* frame = known_[page];
  if (frame == nullptr) return;
  frames_.Writes();
  if (symbolic_) {
    frame->symbol = symbols_[page];
  } else {
    frame->copy = std::make_unique_for_overwrite<char[]>(kPageBytes);
    std::memcpy(frame->copy.get(), data_ + page * kPageBytes, kPageBytes);
  }
  frame->home = nullptr;
  known_[page] = nullptr;
}

size_t MemoryFile::PagesInUse() const {
  frames_.Reads();
  size_t count = 0;
  if (symbolic_) {
    return static_cast<size_t>(std::count_if(symbols_.begin(), symbols_.end(),
                                             [](const Symbol& page) { return page.file != 0; }));
  }
  for (size_t at = 0; at < size_; at += kPageBytes) {
    const char* page = data_ + at;
    if (std::any_of(page, page + std::min(kPageBytes, size_ - at), [](char c) { return c != 0; })) {
      ++count;
    }
  }
  return count;
}

}  // namespace pollux::sim
