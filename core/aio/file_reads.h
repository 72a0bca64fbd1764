// All direct reads of one file in one state (its FileKey): the descriptor they go through, their
// alignment, and the chunks that connections share.
//
// Threads: loop thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "core/aio/chunk.h"
#include "core/aio/open_file.h"
#include "core/base/units.h"
#include "core/event/worker_pool.h"
#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

class FileReads {
 public:
  enum class Direct { kUnknown, kOpening, kReady, kUnsupported };

  // One extent of ext4 maps at most this much, so this is how far one look at the extents reaches.
  static constexpr uint64_t kRegionBytes = 128_MiB;

  FileReads(std::shared_ptr<OpenFile> file, uint64_t chunk_bytes)
      : file_(std::move(file)), chunk_bytes_(chunk_bytes) {
    looked_up_.resize(file_->size() / kRegionBytes + 1);
  }

  const OpenFile& file() const { return *file_; }
  const std::shared_ptr<OpenFile>& open_file() const { return file_; }
  Direct direct() const { return direct_; }
  // Why the last try failed: EOPNOTSUPP for good, or a shortage.
  const Error& direct_error() const { return direct_error_; }
  int direct_fd() const { return direct_fd_.get(); }
  // Offsets and lengths of reads are multiples of this (statx(2) STATX_DIOALIGN, else 4096), and so
  // is the size of a chunk.
  uint64_t alignment() const { return alignment_; }

  // Opens the same inode once more, with O_DIRECT, on a worker; `done` runs on the loop thread when
  // direct() has become kReady or kUnsupported, or is kUnknown again: then descriptors or memory
  // are short (direct_error()), and the next one may try again. Only if direct() is kUnknown.
  void OpenDirect(WorkerPool& workers, std::shared_ptr<FileReads> self, std::function<void()> done);

  // Whether a read in this region has completed. Until then io_submit may have to read the extents
  // from the disk, or to wait for another io_submit that does.
  bool LookedUp(uint64_t offset) const { return looked_up_[Region(offset)]; }
  void SetLookedUp(uint64_t offset) { looked_up_[Region(offset)] = true; }

  // Whether the file system refused a read with RWF_NOWAIT because it does not know the flag.
  bool nowait_unknown() const { return nowait_unknown_; }
  void SetNowaitUnknown() { nowait_unknown_ = true; }

  // The chunk that holds or will hold all of [begin, end), if there is one. Failed ones do not
  // count.
  Chunk* Find(uint64_t begin, uint64_t end) const;
  void Insert(Chunk& chunk) { chunks_.emplace(chunk.begin, &chunk); }
  void Erase(const Chunk& chunk);
  std::vector<Chunk*> chunks() const;

 private:
  friend class OpenDirectJob;
  size_t Region(uint64_t offset) const;

  std::shared_ptr<OpenFile> file_;
  const uint64_t chunk_bytes_;
  Direct direct_ = Direct::kUnknown;
  Error direct_error_{};
  Fd direct_fd_;
  uint64_t alignment_ = 4096;
  std::vector<bool> looked_up_;
  bool nowait_unknown_ = false;
  std::multimap<uint64_t, Chunk*> chunks_;  // by begin
};

}  // namespace pollux
