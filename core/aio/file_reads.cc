#include "core/aio/file_reads.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "core/base/check.h"

namespace pollux {

// The inode, not the path: between two opens of a path the file could have been replaced.
class OpenDirectJob final : public WorkerJob {
 public:
  OpenDirectJob(std::shared_ptr<FileReads> reads, std::function<void()> done)
      : reads_(std::move(reads)), source_(reads_->file_->fd.get()), done_(std::move(done)) {}

  void RunOnWorker(Kernel& kernel) override {
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", source_);
    auto fd = OpenRetrying(kernel, path);
    if (!fd) {
      // EINVAL: a file system without direct I/O. ENOENT: no /proc. EACCES, ...: for good. The file
      // is sent another way in any case.
      if (PassesAway(fd.error())) error_ = fd.error();
      return;
    }
    struct statx sx {};
    auto stat = kernel.statx(fd->get(), "", AT_EMPTY_PATH, STATX_DIOALIGN, &sx);
    if (stat && (sx.stx_mask & STATX_DIOALIGN) != 0) {
      if (sx.stx_dio_offset_align == 0) return;  // says: no direct I/O on this file
      alignment_ = std::max<uint64_t>({sx.stx_dio_offset_align, sx.stx_dio_mem_align, 512});
    }
    fd_ = std::move(*fd);
  }

  void Done() override {
    // Whole blocks of the file must fit into chunks: a read of one that is larger would end in the
    // chunk's neighbour.
    if (fd_.valid() && reads_->chunk_bytes_ % alignment_ == 0) {
      reads_->alignment_ = alignment_;
      reads_->direct_fd_ = std::move(fd_);
      reads_->direct_ = FileReads::Direct::kReady;
    } else {
      reads_->direct_ =
          PassesAway(error_) ? FileReads::Direct::kUnknown : FileReads::Direct::kUnsupported;
      reads_->direct_error_ = error_;
    }
    done_();
  }

 private:
  static bool PassesAway(const Error& error) {
    return error.code == EMFILE || error.code == ENFILE || error.code == ENOMEM;
  }
  static Result<Fd> OpenRetrying(Kernel& kernel, const char* path) {
    for (;;) {
      auto fd = kernel.openat(AT_FDCWD, path, O_RDONLY | O_DIRECT | O_CLOEXEC, 0);
      if (!fd && fd.error().code == EINTR) continue;  // a signal during a slow open
      return OwnFd(kernel, fd);
    }
  }

  std::shared_ptr<FileReads> reads_;
  const int source_;
  std::function<void()> done_;
  Fd fd_;
  uint64_t alignment_ = 4096;
  Error error_{EOPNOTSUPP, "O_DIRECT"};  // where fd_ is not valid, or of no use
};

void FileReads::OpenDirect(WorkerPool& workers, std::shared_ptr<FileReads> self,
                           std::function<void()> done) {
  CHECK(direct_ == Direct::kUnknown && self.get() == this);
  direct_ = Direct::kOpening;
  workers.Run(std::make_unique<OpenDirectJob>(std::move(self), std::move(done)));
}

size_t FileReads::Region(uint64_t offset) const {
  const auto region = static_cast<size_t>(offset / kRegionBytes);
  CHECK(region < looked_up_.size());
  return region;
}

Chunk* FileReads::Find(uint64_t begin, uint64_t end) const {
  // Chunks never cross a multiple of chunk_bytes_, so candidates begin between the last one and
  // `begin`: as many as there were different first offsets in there, usually one.
  for (auto it = chunks_.upper_bound(begin); it != chunks_.begin();) {
    --it;
    Chunk* chunk = it->second;
    if (chunk->begin / chunk_bytes_ != begin / chunk_bytes_) break;
    if (chunk->end >= end && !chunk->failed()) return chunk;
  }
  return nullptr;
}

void FileReads::Erase(const Chunk& chunk) {
  auto [from, to] = chunks_.equal_range(chunk.begin);
  auto it = std::find_if(from, to, [&](const auto& entry) { return entry.second == &chunk; });
  CHECK(it != to);
  chunks_.erase(it);
}

std::vector<Chunk*> FileReads::chunks() const {
  std::vector<Chunk*> out;
  out.reserve(chunks_.size());
  for (const auto& [begin, chunk] : chunks_) out.push_back(chunk);
  return out;
}

}  // namespace pollux
