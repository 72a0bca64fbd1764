#include "core/server/folder_reader.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

namespace pollux {
namespace {

using Details = FolderReader::Details;

// Whether an entry that cannot be looked at is one that a request could not have either.
bool IsOfTheEntry(int code) {
  switch (code) {
    case ENOENT:   // deleted since, or a link to nothing
    case ENOTDIR:  // a link through a file
    case ELOOP:    // links in a circle, a magic link, any link with --symlinks none
    case EXDEV:    // a link that leaves the root
    case EACCES:
    case EPERM:
    case ENAMETOOLONG:
    case EAGAIN:  // openat2: renames race with the walk
    case ESTALE:  // gone from the network file system's server
      return true;
    default:
      return false;
  }
}

bool IsListed(unsigned mode) { return S_ISREG(mode) || S_ISDIR(mode); }

}  // namespace

FolderReader::FolderReader(std::shared_ptr<OpenFile> folder, int root, std::string path,
                           Symlinks symlinks)
    : folder_(std::move(folder)),
      root_(root),
      path_(path == "." ? "" : std::move(path)),
      symlinks_(symlinks) {}

// A descriptor shares its position with whoever else reads from it: this one is nobody else's.
Status FolderReader::OpenOwn(Kernel& kernel) {
  Result<Fd> own =
      OwnFd(kernel, kernel.openat(folder_->fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0));
  if (!own) return Err(own.error());
  own_ = std::move(*own);
  return {};
}

Result<bool> FolderReader::ReadBlock(Kernel& kernel, NameBlock& block) {
  if (!own_.valid()) {
    if (const Status s = OpenOwn(kernel); !s) return Err(s.error());
  }
  std::vector<char> buffer(kReadBytes);
  const Result<size_t> got = kernel.getdents64(own_.get(), buffer.data(), buffer.size());
  if (!got) return Err(got.error());
  if (*got == 0) return false;
  for (size_t at = 0; at < *got;) {
    // linux_dirent64 of getdents64(2), which dirent64 of readdir(3) mirrors.
    const char* const record = buffer.data() + at;
    uint16_t record_bytes = 0;
    std::memcpy(&record_bytes, record + offsetof(dirent64, d_reclen), sizeof record_bytes);
    const auto type = static_cast<unsigned char>(record[offsetof(dirent64, d_type)]);
    const Status s = Take(kernel, record + offsetof(dirent64, d_name), type, block);
    if (!s) return Err(s.error());
    at += record_bytes;
  }
  block.Sort();
  return true;
}

Status FolderReader::Take(Kernel& kernel, std::string_view name, unsigned char type,
                          NameBlock& block) {
  if (name.empty() || name.front() == '.') return {};
  switch (type) {
    case DT_REG:
    case DT_DIR:
      block.Add(name, type == DT_DIR);
      return {};
    case DT_LNK:
    case DT_UNKNOWN: {  // not every file system says
      const Result<std::optional<Details>> details = Look(kernel, name);
      if (!details) return Err(details.error());
      if (*details) block.Add(name, (*details)->folder);
      return {};
    }
    default:
      return {};
  }
}

Result<std::optional<Details>> FolderReader::Look(Kernel& kernel, std::string_view name) {
  name_ = name;
  struct statx st {};
  const Status s = kernel.statx(own_.get(), name_.c_str(), AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
                                STATX_TYPE | STATX_SIZE | STATX_MTIME, &st);
  if (!s && !IsOfTheEntry(s.error().code)) return Err(s.error());
  if (!s) return std::nullopt;
  if (S_ISLNK(st.stx_mode)) return LookThrough(kernel);
  if (!IsListed(st.stx_mode)) return std::nullopt;
  return Details{S_ISDIR(st.stx_mode), st.stx_size, st.stx_mtime.tv_sec};
}

// From the root, as a request would: a link may climb out of its folder and stay inside.
Result<std::optional<Details>> FolderReader::LookThrough(Kernel& kernel) {
  if (symlinks_ == Symlinks::kNone) return std::nullopt;
  open_how how{};
  how.flags = O_PATH | O_CLOEXEC;
  how.resolve = ResolveFlags(symlinks_);
  const Result<Fd> target = OwnFd(kernel, kernel.openat2(root_, (path_ + name_).c_str(), how));
  if (!target && !IsOfTheEntry(target.error().code)) return Err(target.error());
  if (!target) return std::nullopt;
  struct stat st {};
  if (const Status s = kernel.fstat(target->get(), &st); !s) return Err(s.error());
  if (!IsListed(st.st_mode)) return std::nullopt;
  return Details{S_ISDIR(st.st_mode), static_cast<uint64_t>(st.st_size), st.st_mtim.tv_sec};
}

}  // namespace pollux
