// What is in a folder, and what its entries are.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "fakes/kernel/sim_call.h"

#ifndef STATX_DIOALIGN  // Linux 6.1: not in every libc's headers
#define STATX_DIOALIGN 0x00002000U
#endif

namespace pollux::sim {
namespace {

constexpr uint32_t kDirectAlignment = 512;

void Fill(const Inode& inode, unsigned mask, struct statx* out) {
  *out = {};
  const bool directory = inode.kind == Inode::Kind::kDirectory;
  out->stx_mode = directory ? S_IFDIR | 0755 : S_IFREG | 0644;
  out->stx_size = inode.size();
  out->stx_ino = inode.number;
  out->stx_mtime.tv_sec = inode.mtime;
  out->stx_mask = STATX_TYPE | STATX_MODE | STATX_SIZE | STATX_INO | STATX_MTIME;
  if ((mask & STATX_DIOALIGN) != 0 && inode.kind == Inode::Kind::kRegular) {
    out->stx_mask |= STATX_DIOALIGN;
    out->stx_dio_mem_align = kDirectAlignment;
    out->stx_dio_offset_align = kDirectAlignment;
  }
}

// A record as getdents64(2) lays it out, which dirent64 of readdir(3) mirrors. Its length.
size_t RecordBytes(std::string_view name) {
  constexpr size_t kAlignment = alignof(dirent64);
  const size_t bytes = offsetof(dirent64, d_name) + name.size() + 1;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void WriteRecord(std::string_view name, const Inode& inode, size_t next, char* to) {
  const uint64_t number = inode.number, offset = next;
  const auto length = static_cast<uint16_t>(RecordBytes(name));
  std::memset(to, 0, length);
  std::memcpy(to + offsetof(dirent64, d_ino), &number, sizeof number);
  std::memcpy(to + offsetof(dirent64, d_off), &offset, sizeof offset);
  std::memcpy(to + offsetof(dirent64, d_reclen), &length, sizeof length);
  to[offsetof(dirent64, d_type)] = inode.kind == Inode::Kind::kDirectory ? DT_DIR : DT_REG;
  std::memcpy(to + offsetof(dirent64, d_name), name.data(), name.size());
}

}  // namespace

Status SimKernel::statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) {
  Call call(*this, "statx", Using(dirfd, false));
  const Description* found = Find(dirfd);
  if (found == nullptr) return Err(EBADF, "statx");
  if (found->inode == nullptr) NotModelled("statx of what is no file");
  if (path[0] == '\0') {
    if ((flags & AT_EMPTY_PATH) == 0) return Err(ENOENT, "statx");
    Fill(*found->inode, mask, out);
    return {};
  }
  const Result<std::string> full = Resolve(dirfd, path, false, "statx");
  if (!full) return Err(full.error());
  const auto inode = paths_.find(*full);
  if (inode == paths_.end()) return Err(ENOENT, "statx");
  Fill(*inode->second, mask, out);
  return {};
}

// The folder's position is how many of its entries were given; "." and ".." are the first two.
Result<size_t> SimKernel::getdents64(int fd, void* buf, size_t count) {
  Call call(*this, "getdents64", Using(fd, true));
  Description* folder = Find(fd);
  if (folder == nullptr || (folder->flags & O_PATH) != 0) return Err(EBADF, "getdents64");
  if (folder->inode == nullptr || folder->inode->kind != Inode::Kind::kDirectory) {
    return Err(ENOTDIR, "getdents64");
  }
  size_t used = 0, number = 0;
  bool full = false;
  const auto give = [&](std::string_view name, const Inode& inode) {
    if (full || number++ < folder->offset) return;
    full = used + RecordBytes(name) > count;
    if (full) return;
    WriteRecord(name, inode, number, static_cast<char*>(buf) + used);
    used += RecordBytes(name);
  };
  give(".", *folder->inode);
  give("..", *folder->inode);
  const std::string prefix = folder->inode->path + "/";
  for (auto entry = paths_.lower_bound(prefix);
       entry != paths_.end() && entry->first.starts_with(prefix); ++entry) {
    const std::string_view name = std::string_view(entry->first).substr(prefix.size());
    if (name.find('/') == std::string_view::npos) give(name, *entry->second);
  }
  if (full && used == 0) return Err(EINVAL, "getdents64");  // not even one fits
  Writes(*folder);
  folder->offset = full ? number - 1 : number;
  return used;
}

}  // namespace pollux::sim
