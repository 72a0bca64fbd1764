// Names, files on the disk, files in memory, mappings.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "core/base/check.h"
#include "core/base/units.h"
#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

constexpr dev_t kDevice = 0x801;
constexpr std::string_view kProcSelfFd = "/proc/self/fd/";

// "/a/./b//../c" as "/a/c". False if it would leave `root`, its first part.
bool Normalise(std::string* path, size_t root) {
  std::string out = path->substr(0, root);
  std::string_view rest = std::string_view(*path).substr(root);
  while (!rest.empty()) {
    const size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (out.size() <= root) return false;
      out.resize(out.rfind('/'));
    } else {
      out.append("/").append(part);
    }
  }
  if (out.empty()) out.push_back('/');
  path->swap(out);
  return true;
}

}  // namespace

Inode& SimKernel::NewRegularInode(const std::string& path) {
  CHECK(path.front() == '/');
  for (size_t slash = path.find('/', 1); slash != std::string::npos;
       slash = path.find('/', slash + 1)) {
    auto& directory = paths_[path.substr(0, slash)];
    if (directory != nullptr) continue;
    directory = std::make_shared<Inode>();
    directory->kind = Inode::Kind::kDirectory;
    directory->number = next_inode_++;
    directory->path = path.substr(0, slash);
  }
  scheduler_.access().Write(kDescriptorTable, "the names of files");
  auto made = std::make_shared<Inode>();
  made->object = scheduler_.NewObject();
  made->number = next_inode_++;
  made->path = path;
  made->mtime = 1'700'000'000;
  return *(paths_[path] = std::move(made));
}

void SimKernel::AddFile(const std::string& path, std::shared_ptr<const std::string> content) {
  Inode& made = NewRegularInode(path);
  made.content = std::move(content);
  PlaceOnDisk(made);
}

uint64_t SimKernel::AddSymbolicFile(const std::string& path, uint64_t bytes) {
  CHECK(options_.symbolic);
  Inode& made = NewRegularInode(path);
  made.symbolic_bytes = bytes;
  PlaceOnDisk(made);
  return made.number;
}

void SimKernel::Truncate(const std::string& path, size_t bytes) {
  const auto found = paths_.find(path);
  CHECK(found != paths_.end());
  // Whose queue refers to its pages is not told apart.
  scheduler_.access().Touch(Footprint::Everything(), "pages of the page cache");
  Inode& inode = *found->second;
  if (inode.zeroed != nullptr && bytes % kPageBytes != 0) {
    inode.zeroed->push_back({bytes, AlignUp(bytes, kPageBytes)});
  }
  inode.content = std::make_shared<std::string>(inode.content->substr(0, bytes));
  ++inode.mtime;
  if (inode.pages != nullptr) inode.pages->Resize(inode.size());
}

// The absolute path. `beneath`: RESOLVE_BENEATH.
Result<std::string> SimKernel::Resolve(int dirfd, const char* path, bool beneath,
                                       const char* operation) {
  std::string base;
  if (path[0] != '/' || beneath) {
    const Description* directory = At(dirfd);  // what kind of thing it is does not change
    if (directory == nullptr) return Err(EBADF, operation);
    if (directory->inode == nullptr || directory->inode->kind != Inode::Kind::kDirectory) {
      return Err(ENOTDIR, operation);
    }
    if (path[0] == '/') return Err(EXDEV, operation);
    base = directory->inode->path;
  }
  std::string full = base;
  full.append(1, '/').append(path);
  if (!Normalise(&full, beneath ? base.size() : 0)) {
    if (beneath) return Err(EXDEV, operation);
    full.assign(1, '/');
  }
  if (UsesFileAsFolder(full, std::string_view(path).ends_with('/'))) {
    return Err(ENOTDIR, operation);
  }
  return full;
}

// Whether something before the last part of `path`, or that too with a slash behind it, is no
// folder.
bool SimKernel::UsesFileAsFolder(const std::string& path, bool slash) const {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const bool last = end == std::string::npos;
    if (last && !slash) return false;
    const auto found = paths_.find(path.substr(0, end));
    if (found == paths_.end()) return false;
    if (found->second->kind != Inode::Kind::kDirectory) return true;
    if (last) return false;
  }
}

Result<int> SimKernel::OpenPath(std::string path, int flags, const char* operation) {
  std::shared_ptr<Inode> inode;
  if (path.starts_with(kProcSelfFd)) {
    int fd = -1;
    std::from_chars(path.data() + kProcSelfFd.size(), path.data() + path.size(), fd);
    const Description* known = At(fd);
    if (known == nullptr) return Err(ENOENT, operation);
    if (known->kind == Description::Kind::kConsole) {
      return Install(NewDescription(Description::Kind::kConsole, flags), operation);
    }
    if (known->inode == nullptr) NotModelled("openat of a /proc/self/fd that is no file");
    inode = known->inode;
  } else {
    const auto found = paths_.find(path);
    if (found == paths_.end()) {
      if ((flags & O_CREAT) != 0) NotModelled("openat with O_CREAT");
      return Err(ENOENT, operation);
    }
    inode = found->second;
  }
  const bool directory = inode->kind == Inode::Kind::kDirectory;
  if ((flags & O_TMPFILE) == O_TMPFILE) {
    if (!directory) return Err(ENOTDIR, operation);
    inode = NewMemoryInode();
  } else if ((flags & O_DIRECTORY) != 0 && !directory) {
    return Err(ENOTDIR, operation);
  } else if ((flags & O_ACCMODE) != O_RDONLY) {
    if (directory) return Err(EISDIR, operation);
    NotModelled("writing to a file on the disk");
  }
  auto made = NewDescription(Description::Kind::kFile, flags);
  made->inode = std::move(inode);
  return Install(std::move(made), operation);
}

Result<int> SimKernel::openat(int dirfd, const char* path, int flags, mode_t) {
  Call call(*this, "openat", Opening());
  Result<std::string> full = Resolve(dirfd, path, false, "openat");
  if (!full) return Err(full.error());
  return OpenPath(std::move(*full), flags, "openat");
}

Result<int> SimKernel::openat2(int dirfd, const char* path, const open_how& how) {
  constexpr uint64_t kKnown = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_CACHED;
  if ((how.resolve & ~kKnown) != 0) NotModelled("openat2 with other resolve flags");
  Call call(*this, "openat2", Opening());
  if ((how.resolve & RESOLVE_CACHED) != 0 && !options_.names_cached) {
    return Err(EAGAIN, "openat2");
  }
  const bool beneath = (how.resolve & RESOLVE_BENEATH) != 0;
  Result<std::string> full = Resolve(dirfd, path, beneath, "openat2");
  if (!full) return Err(full.error());
  return OpenPath(std::move(*full), static_cast<int>(how.flags), "openat2");
}

Status SimKernel::fstat(int fd, struct stat* out) {
  Footprint footprint = Using(fd, false);
  const Description* known = At(fd);
  if (known != nullptr && known->inode != nullptr && known->inode->memory != nullptr) {
    footprint.Read(kSharedMemory);
  }
  Call call(*this, "fstat", footprint);
  const Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "fstat");
  *out = {};
  if (found->inode == nullptr) {
    out->st_mode = found->kind == Description::Kind::kConsole ? S_IFCHR | 0600 : S_IFSOCK | 0777;
    return {};
  }
  const Inode& inode = *found->inode;
  out->st_dev = kDevice;
  out->st_ino = inode.number;
  out->st_nlink = 1;
  out->st_mode = inode.kind == Inode::Kind::kDirectory ? S_IFDIR | 0755 : S_IFREG | 0644;
  out->st_size = static_cast<off_t>(inode.size());
  out->st_blksize = static_cast<blksize_t>(kPageBytes);
  const size_t pages = inode.memory != nullptr ? inode.memory->PagesInUse()
                                               : (inode.size() + kPageBytes - 1) / kPageBytes;
  out->st_blocks = static_cast<blkcnt_t>(pages * kPageBytes / 512);
  out->st_mtim.tv_sec = inode.mtime;
  return {};
}

Result<size_t> SimKernel::ReadContent(Description& file, char* to, size_t count, size_t offset,
                                      const char* operation) {
  if ((file.flags & O_PATH) != 0) return Err(EBADF, operation);
  if (file.inode->kind == Inode::Kind::kDirectory) return Err(EISDIR, operation);
  const bool in_memory = file.inode->kind == Inode::Kind::kMemory;
  scheduler_.access().Touch(
      in_memory ? Footprint().Read(kSharedMemory) : Footprint().Write(file.inode->object),
      "a file");
  scheduler_.access().Touch(Buffer(to, true), "a page");
  size_t size = file.inode->size();
  if (offset >= size) return 0;
  count = std::min(count, size - offset);
  if (file.inode->pages != nullptr) {
    if (const Status there = FaultIn(file, offset, count, operation); !there) {
      return Err(there.error());
    }
    size = file.inode->size();  // it may have become shorter meanwhile
    if (offset >= size) return 0;
    count = std::min(count, size - offset);
  }
  if (!in_memory) file.inode->cached = true;
  if (!in_memory && file.inode->content == nullptr) {
    symbols_.Store(to, {file.inode->number, offset, count});
    return count;
  }
  const char* from = in_memory ? file.inode->memory->data() : file.inode->content->data();
  std::copy_n(from + offset, count, to);
  return count;
}

// How many bytes from `offset` on, `count` at most, are there without a read of the disk.
size_t SimKernel::CachedBytes(const Inode& file, size_t offset, size_t count) {
  if (file.pages == nullptr) {
    return file.kind != Inode::Kind::kRegular || file.cached ? count : 0;
  }
  const size_t end = std::min(offset + count, file.size());
  const size_t first = offset / kPageBytes;
  const size_t there = file.pages->Prefix(first, (end + kPageBytes - 1) / kPageBytes);
  return there == 0 ? 0 : std::min(end, (first + there) * kPageBytes) - offset;
}

// Of a call that reads from a file, or an eventfd, into a buffer.
Footprint SimKernel::Reading(int fd, bool moves, const void* buffer) const {
  Footprint footprint = Using(fd, moves).Add(Buffer(buffer, true)).Add(UsesDisk());
  const Description* found = At(fd);
  if (found == nullptr || found->inode == nullptr) return footprint;
  if (found->inode->kind == Inode::Kind::kMemory) return footprint.Read(kSharedMemory);
  return footprint.Write(found->inode->object);  // it is cached then
}

Result<size_t> SimKernel::read(int fd, void* buf, size_t count) {
  Call call(*this, "read", Reading(fd, true, buf));
  const DescriptionPtr found = Hold(fd);
  if (found == nullptr) return Err(EBADF, "read");
  switch (found->kind) {
    case Description::Kind::kEventfd: {
      if (count < sizeof found->counter) return Err(EINVAL, "read");
      if (found->counter == 0) {
        if (found->nonblocking()) return Err(EAGAIN, "read");
        NotModelled("read of an eventfd that blocks");
      }
      Writes(*found);
      tsan::Acquire(found.get());
      std::memcpy(buf, &found->counter, sizeof found->counter);
      found->counter = 0;
      return sizeof found->counter;
    }
    case Description::Kind::kFile: {
      auto got = ReadContent(*found, static_cast<char*>(buf), count, found->offset, "read");
      Writes(*found);
      if (got) found->offset += *got;
      return got;
    }
    default:
      NotModelled("read of this kind of descriptor");
  }
}

Result<size_t> SimKernel::pread(int fd, void* buf, size_t count, off_t offset) {
  Call call(*this, "pread", Reading(fd, false, buf));
  const DescriptionPtr found = Hold(fd);
  if (found == nullptr) return Err(EBADF, "pread");
  if (found->kind != Description::Kind::kFile) return Err(ESPIPE, "pread");
  if (offset < 0) return Err(EINVAL, "pread");
  return ReadContent(*found, static_cast<char*>(buf), count, static_cast<size_t>(offset), "pread");
}

Result<size_t> SimKernel::preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) {
  if (iovcnt != 1 || (flags & ~RWF_NOWAIT) != 0) NotModelled("preadv2 of more than one buffer");
  Call call(*this, "preadv2", Reading(fd, false, iov->iov_base));
  const DescriptionPtr found = Hold(fd);
  if (found == nullptr) return Err(EBADF, "preadv2");
  if (found->kind != Description::Kind::kFile) return Err(ESPIPE, "preadv2");
  const auto from = static_cast<size_t>(offset);
  size_t count = iov->iov_len;
  if ((flags & RWF_NOWAIT) != 0 && from < found->inode->size()) {
    count = CachedBytes(*found->inode, from, count);
    if (count == 0) return Err(EAGAIN, "preadv2");
  }
  return ReadContent(*found, static_cast<char*>(iov->iov_base), count, from, "preadv2");
}

Result<size_t> SimKernel::write(int fd, const void* buf, size_t count) {
  Call call(*this, "write", Using(fd, true));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "write");
  Writes(*found);
  if (found->kind == Description::Kind::kConsole) {
    console_.append(static_cast<const char*>(buf), count);
    return count;
  }
  if (found->kind != Description::Kind::kEventfd) NotModelled("write to this kind of descriptor");
  uint64_t value = 0;
  if (count < sizeof value) return Err(EINVAL, "write");
  std::memcpy(&value, buf, sizeof value);
  if (value == UINT64_MAX) return Err(EINVAL, "write");
  if (UINT64_MAX - 1 - found->counter < value) {
    if (found->nonblocking()) return Err(EAGAIN, "write");
    NotModelled("write to an eventfd that blocks");
  }
  tsan::Release(found);
  found->counter += value;
  return sizeof value;
}

Status SimKernel::cachestat(int fd, const CachestatRange& range, Cachestat* out) {
  Call call(*this, "cachestat", Using(fd, false));
  const Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "cachestat");
  if (found->inode == nullptr) return Err(EOPNOTSUPP, "cachestat");
  *out = {};
  const uint64_t size = found->inode->size();
  const uint64_t end = range.len == 0 ? size : std::min(size, range.off + range.len);
  const uint64_t first_page = range.off / kPageBytes;
  const uint64_t end_page = (end + kPageBytes - 1) / kPageBytes;
  if (range.off >= end) return {};
  if (found->inode->pages != nullptr) {
    out->nr_cache = found->inode->pages->Count(first_page, end_page);
  } else if (found->inode->cached) {
    out->nr_cache = end_page - first_page;
  }
  return {};
}

Status SimKernel::posix_fadvise(int fd, off_t offset, off_t len, int advice) {
  Footprint footprint = Using(fd, false).Add(UsesDisk());
  const Description* known = At(fd);
  if (known != nullptr && known->inode != nullptr) footprint.Write(known->inode->object);
  Call call(*this, "posix_fadvise", footprint);
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "posix_fadvise");
  if (found->inode == nullptr) return Err(ESPIPE, "posix_fadvise");
  scheduler_.access().Write(found->inode->object, "a file");
  if (advice == POSIX_FADV_DONTNEED) found->inode->cached = false;
  if (found->inode->pages != nullptr) Advise(*found, offset, len, advice);
  return {};
}

}  // namespace pollux::sim
