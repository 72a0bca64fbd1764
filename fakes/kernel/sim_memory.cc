// Files in memory and mappings.
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "fakes/kernel/sim_call.h"

namespace pollux::sim {

std::shared_ptr<Inode> SimKernel::NewMemoryInode() {
  auto inode = std::make_shared<Inode>();
  inode->kind = Inode::Kind::kMemory;
  inode->object = kSharedMemory;
  inode->number = next_inode_++;
  inode->memory = std::make_unique<MemoryFile>(resources_.memory, frames_, options_.symbolic);
  inode->cached = true;
  return inode;
}

Result<int> SimKernel::memfd_create(const char*, unsigned flags) {
  if ((flags & ~(MFD_CLOEXEC | MFD_ALLOW_SEALING)) != 0) NotModelled("memfd_create flags");
  Call call(*this, "memfd_create", Opening());
  auto made = NewDescription(Description::Kind::kFile, O_RDWR);
  made->inode = NewMemoryInode();
  return Install(std::move(made), "memfd_create");
}

Status SimKernel::ftruncate(int fd, off_t length) {
  Call call(*this, "ftruncate", Using(fd, true).Write(kSharedMemory));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "ftruncate");
  if (found->inode == nullptr || found->inode->kind != Inode::Kind::kMemory || length < 0) {
    return Err(EINVAL, "ftruncate");
  }
  if (!found->inode->memory->Resize(static_cast<size_t>(length))) {
    NotModelled("ftruncate that makes a mapped file longer");
  }
  return {};
}

Status SimKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  if (mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) NotModelled("this fallocate mode");
  Call call(*this, "fallocate", Using(fd, true).Write(kSharedMemory));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "fallocate");
  if (offset < 0 || len <= 0) return Err(EINVAL, "fallocate");
  if (found->inode == nullptr) return Err(ESPIPE, "fallocate");
  if (found->inode->kind != Inode::Kind::kMemory) return Err(EBADF, "fallocate");
  found->inode->memory->PunchHole(static_cast<size_t>(offset), static_cast<size_t>(len));
  return {};
}

Result<void*> SimKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                              off_t offset) {
  if (addr != nullptr) NotModelled("mmap at a given address");
  // A mapping keeps a file from growing.
  Call call(*this, "mmap", Opening().Add(Using(fd, false)).Write(kSharedMemory));
  if (length == 0) return Err(EINVAL, "mmap");
  Region region;
  region.length = length;
  region.writable = (prot & PROT_WRITE) != 0;
  if ((flags & MAP_ANONYMOUS) != 0) {
    region.address = resources_.memory.Take(length);
  } else {
    const Description* found = Find(fd);
    if (found == nullptr) return Err(EBADF, "mmap");
    if (found->inode == nullptr || found->inode->kind != Inode::Kind::kMemory ||
        (flags & MAP_SHARED) == 0) {
      NotModelled("mmap of anything but a shared file in memory");
    }
    MemoryFile& memory = *found->inode->memory;
    if (static_cast<size_t>(offset) + length > memory.size()) {
      NotModelled("mmap past the end of a file");
    }
    region.inode = found->inode;
    region.offset = static_cast<size_t>(offset);
    region.address = memory.data() + offset;
    frames_.Writes();
    ++memory.mappings;
  }
  scheduler_.access().Write(kDescriptorTable, "the mappings");
  regions_.push_back(region);
  return static_cast<void*>(region.address);
}

Status SimKernel::munmap(void* addr, size_t length) {
  Call call(*this, "munmap", Opening().Write(kSharedMemory));  // the file may go with it
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const Region& region) {
    return region.address == addr && region.length == length;
  });
  if (found == regions_.end()) NotModelled("munmap of a part, or of what is not mapped");
  if (found->inode != nullptr) {
    frames_.Writes();
    --found->inode->memory->mappings;
  } else {
    symbols_.Forget(found->address, found->length);
    resources_.memory.Give(found->address, found->length);
  }
  scheduler_.access().Write(kDescriptorTable, "the mappings");
  regions_.erase(found);
  return {};
}

Status SimKernel::madvise(void* addr, size_t, int advice) {
  if (advice != MADV_NOHUGEPAGE && advice != MADV_HUGEPAGE) NotModelled("this madvise advice");
  Call call(*this, "madvise", Footprint().Read(kDescriptorTable));
  scheduler_.access().Read(kDescriptorTable, "the mappings");
  // Pages are 4 KiB here, with or without.
  return RegionOf(addr) != nullptr ? Status() : Err(ENOMEM, "madvise");
}

const SimKernel::Region* SimKernel::RegionOf(const void* address) const {
  const auto* at = static_cast<const char*>(address);
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const Region& region) {
    return at >= region.address && at < region.address + region.length;
  });
  return found != regions_.end() ? &*found : nullptr;
}

// What a call does with memory of its caller's.
Footprint SimKernel::Buffer(const void* address, bool writes) const {
  const Region* region = RegionOf(address);
  if (region == nullptr || region->inode == nullptr) return {};
  Footprint footprint = Footprint().Read(kDescriptorTable);
  return writes ? footprint.Write(kSharedMemory) : footprint.Read(kSharedMemory);
}

}  // namespace pollux::sim
