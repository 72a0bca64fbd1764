// Page frames: the memory of files in memory (memfd, /dev/shm), and who refers to it.
//
// A page of such a file is in a frame. sendfile() gives a socket's queue a reference to the frame,
// not a copy; a read on its way aims at it. While the file still has the frame, its contents are
// the file's: a plain store into a mapping changes what the socket will send. When the page is
// punched out, or the file ends, the frame lives on with those who refer to it and the contents it
// had; the page gets a new one. Frames are made visible only where somebody refers to them.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "fakes/kernel/access.h"
#include "fakes/kernel/stack_trace.h"
#include "fakes/kernel/symbols.h"

namespace pollux::sim {

inline constexpr size_t kPageBytes = 4096;

// Page-aligned zeroed memory, kept from one execution to the next.
class MemoryPool {
 public:
  MemoryPool() = default;
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  char* Take(size_t bytes);
  void Give(char* memory, size_t bytes);

 private:
  struct Block {
    char* memory;
    size_t bytes;
  };
  std::vector<Block> free_;
};

class MemoryFile;

struct Frame {
  MemoryFile* home = nullptr;  // null: detached, `copy` holds the contents
  size_t page = 0;             // of home
  std::unique_ptr<char[]> copy;
  Symbol symbol;                              // detached from a symbolic file: instead of `copy`
  uint32_t sockets = 0;                       // references from sockets' queues
  uint32_t reads = 0;                         // iocbs that aim at it
  std::shared_ptr<const StackTrace> sent_by;  // the last of the former; null if not kept

  char* data();
  Symbol& symbolic_data();
};

class Frames {
 public:
  // All of them, and what they hold, are `object`.
  Frames(const AccessCheck& access, ObjectId object) : access_(access), object_(object) {}

  void Reads() const { access_.Read(object_, "a page"); }
  void Writes() const { access_.Write(object_, "a page"); }
  Frame* Make(MemoryFile& home, size_t page);
  // Frees it if nobody refers to it any more.
  void Drop(Frame* frame);
  size_t in_use() const { return all_.size() - free_.size(); }

 private:
  const AccessCheck& access_;
  const ObjectId object_;
  std::vector<std::unique_ptr<Frame>> all_;
  std::vector<Frame*> free_;
};

// The contents of a file in memory.
class MemoryFile {
 public:
  // `symbolic`: its memory is never touched, pages hold symbols.
  MemoryFile(MemoryPool& pool, Frames& frames, bool symbolic)
      : pool_(pool), frames_(frames), symbolic_(symbolic) {}
  ~MemoryFile();
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  // ftruncate(2). Growing is for files that are not mapped yet: a mapping would move.
  bool Resize(size_t bytes);
  size_t size() const { return size_; }
  char* data() const { return data_; }
  bool symbolic() const { return symbolic_; }
  Symbol& symbol(size_t page) { return symbols_[page]; }

  // Whole pages get new frames; the rest is zeroed in place, as Linux does it.
  void PunchHole(size_t offset, size_t length);
  // The frame of a page that somebody begins to refer to.
  Frame* FrameOf(size_t page);
  // Null if nobody refers to that page.
  Frame* KnownFrame(size_t page) const { return page < known_.size() ? known_[page] : nullptr; }
  void Forget(size_t page) { known_[page] = nullptr; }
  // Pages that hold something. (A page of zeroes counts as none.)
  size_t PagesInUse() const;

  int mappings = 0;

 private:
  void Detach(size_t page);

  MemoryPool& pool_;
  Frames& frames_;
  const bool symbolic_;
  std::vector<Symbol> symbols_;  // by page
  char* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
  std::vector<Frame*> known_;  // by page
};

}  // namespace pollux::sim
