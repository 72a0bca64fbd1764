#include "core/aio/chunk_memory.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <cerrno>
#include <vector>

#include "core/base/units.h"
#include "core/sys/raii.h"

namespace pollux {
namespace {

constexpr uint64_t kHugePageBytes = 2_MiB;

class CopyMemory final : public ChunkMemory {
 public:
  CopyMemory(Mapping arena, uint64_t chunk_bytes)
      : arena_(std::move(arena)), chunk_bytes_(chunk_bytes) {
    const auto address = reinterpret_cast<uintptr_t>(arena_.data());
    base_ = arena_.data() + (AlignUp(address, kHugePageBytes) - address);
  }
  Status Provide(Chunk& chunk) override {
    chunk.memory = base_ + chunk.index * chunk_bytes_;
    return {};
  }
  Status Retire(Chunk&) override { return {}; }
  bool by_reference() const override { return false; }

 private:
  Mapping arena_;
  const uint64_t chunk_bytes_;
  char* base_;
};

// EINTR of open(2), ftruncate(2) and fallocate(2): a signal came first, nothing was done.
template <typename Call>
auto UnlessInterrupted(Call call) {
  for (;;) {
    auto result = call();
    if (result || result.error().code != EINTR) return result;
  }
}

// A new file for chunks: memfd, or unlinked in a directory.
Result<Fd> NewShmFile(Kernel& kernel, const std::string& shm_dir, uint64_t bytes) {
  auto fd = OwnFd(kernel, UnlessInterrupted([&] {
                    return shm_dir.empty() ? kernel.memfd_create("pollux-chunks", MFD_CLOEXEC)
                                           : kernel.openat(AT_FDCWD, shm_dir.c_str(),
                                                           O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
                  }));
  if (!fd) return fd;
  auto sized =
      UnlessInterrupted([&] { return kernel.ftruncate(fd->get(), static_cast<off_t>(bytes)); });
  if (!sized) return Err(sized.error());
  return fd;
}

Result<Mapping> MapShared(Kernel& kernel, int fd, uint64_t bytes) {
  auto address = kernel.mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (!address) return Err(address.error());
  Mapping mapping(kernel, *address, bytes);
  // Huge folios would be punched in part, that is, zeroed in place. EINVAL: a kernel without
  // transparent huge pages, which cannot make them either.
  if (auto advised = kernel.madvise(mapping.data(), bytes, MADV_NOHUGEPAGE);
      !advised && advised.error().code != EINVAL) {
    return Err(advised.error());
  }
  return mapping;
}

// One file holds every chunk; retiring punches the hole (or, for the specimen, does nothing).
class ArenaMemory final : public ChunkMemory {
 public:
  ArenaMemory(Kernel& kernel, Fd fd, Mapping mapping, uint64_t chunk_bytes, bool punch)
      : kernel_(kernel),
        fd_(std::move(fd)),
        mapping_(std::move(mapping)),
        chunk_bytes_(chunk_bytes),
        punch_(punch) {}
  Status Provide(Chunk& chunk) override {
    chunk.shm_fd = fd_.get();
    chunk.shm_offset = chunk.index * chunk_bytes_;
    chunk.memory = mapping_.data() + chunk.shm_offset;
    return {};
  }
  Status Retire(Chunk& chunk) override {
    if (!punch_) return {};
    chunk.warm = false;
    return UnlessInterrupted([&] {
      return kernel_.fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               static_cast<off_t>(chunk.shm_offset),
                               static_cast<off_t>(chunk_bytes_));
    });
  }
  bool by_reference() const override { return true; }

 private:
  Kernel& kernel_;
  Fd fd_;
  Mapping mapping_;
  const uint64_t chunk_bytes_;
  const bool punch_;
};

// A file a chunk, thrown away after use: the pages go when the last socket lets go of them.
class FreshMemory final : public ChunkMemory {
 public:
  FreshMemory(Kernel& kernel, std::string shm_dir, uint64_t chunk_bytes)
      : kernel_(kernel), shm_dir_(std::move(shm_dir)), chunk_bytes_(chunk_bytes) {}
  Status Provide(Chunk& chunk) override {
    if (chunk.index >= files_.size()) files_.resize(chunk.index + 1);
    File& file = files_[chunk.index];
    if (!file.mapping.valid()) {
      auto fd = NewShmFile(kernel_, shm_dir_, chunk_bytes_);
      if (!fd) return Err(fd.error());
      auto mapping = MapShared(kernel_, fd->get(), chunk_bytes_);
      if (!mapping) return Err(mapping.error());
      file = File{std::move(*fd), std::move(*mapping)};
    }
    chunk.shm_fd = file.fd.get();
    chunk.shm_offset = 0;
    chunk.memory = file.mapping.data();
    return {};
  }
  Status Retire(Chunk& chunk) override {
    files_[chunk.index] = File{};
    chunk.shm_fd = -1;
    chunk.memory = nullptr;
    chunk.warm = false;
    return {};
  }
  bool by_reference() const override { return true; }

 private:
  struct File {
    Fd fd;
    Mapping mapping;
  };
  Kernel& kernel_;
  const std::string shm_dir_;
  const uint64_t chunk_bytes_;
  std::vector<File> files_;
};

}  // namespace

Result<std::unique_ptr<ChunkMemory>> MakeCopyMemory(Kernel& kernel, uint64_t chunk_bytes,
                                                    uint32_t count) {
  // One page more than needed, to begin on a huge page's boundary. Memory is committed on touch.
  const uint64_t bytes = chunk_bytes * count + kHugePageBytes;
  auto address = kernel.mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (!address) return Err(address.error());
  Mapping arena(kernel, *address, bytes);
  // Fewer pages to pin for each read. Only a hint: kernels without huge pages say EINVAL.
  (void)kernel.madvise(arena.data(), bytes, MADV_HUGEPAGE);
  return std::unique_ptr<ChunkMemory>(new CopyMemory(std::move(arena), chunk_bytes));
}

Result<std::unique_ptr<ChunkMemory>> MakeShmMemory(Kernel& kernel, uint64_t chunk_bytes,
                                                   uint32_t count, Retire retire,
                                                   const std::string& shm_dir) {
  if (retire == Retire::kFresh) {
    return std::unique_ptr<ChunkMemory>(new FreshMemory(kernel, shm_dir, chunk_bytes));
  }
  const uint64_t bytes = chunk_bytes * count;
  auto fd = NewShmFile(kernel, shm_dir, bytes);
  if (!fd) return Err(fd.error());
  auto mapping = MapShared(kernel, fd->get(), bytes);
  if (!mapping) return Err(mapping.error());
  return std::unique_ptr<ChunkMemory>(new ArenaMemory(kernel, std::move(*fd), std::move(*mapping),
                                                      chunk_bytes, retire == Retire::kPunch));
}

}  // namespace pollux
