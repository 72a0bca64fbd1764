#include "integration/disk/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FUSE_USE_VERSION FUSE_MAKE_VERSION(3, 12)
#include <fuse_lowlevel.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace pollux::disk {
namespace {

constexpr size_t kRequestBytesMax = 1_MiB;  // FUSE's: 256 pages
constexpr unsigned kBackgroundMax = 4096;   // more than a loop device keeps in flight
constexpr double kForever = 1e9;

struct Entry {
  const char* name;
  fuse_ino_t inode;
  mode_t mode;
};
constexpr fuse_ino_t kDisk = 2, kModel = 3, kReads = 4;
constexpr std::array kEntries = {Entry{"disk", kDisk, S_IFREG | 0600},
                                 Entry{"model", kModel, S_IFREG | 0644},
                                 Entry{"reads", kReads, S_IFREG | 0444}};

FileSystem& Of(fuse_req_t request) { return *static_cast<FileSystem*>(fuse_req_userdata(request)); }

// False: there is no such inode.
bool Stat(const FileSystem& files, fuse_ino_t inode, struct stat* out) {
  *out = {};
  out->st_ino = inode;
  out->st_nlink = 1;
  if (inode == FUSE_ROOT_ID) {
    out->st_mode = S_IFDIR | 0755;
    return true;
  }
  for (const Entry& entry : kEntries) {
    if (entry.inode != inode) continue;
    out->st_mode = entry.mode;
    out->st_size = inode == kDisk ? static_cast<off_t>(files.bytes()) : 0;
    return true;
  }
  return false;
}

void Init(void* /*files*/, fuse_conn_info* connection) {
  connection->max_write = kRequestBytesMax;
  connection->max_background = connection->congestion_threshold = kBackgroundMax;
}

void Lookup(fuse_req_t request, fuse_ino_t /*parent*/, const char* name) {
  for (const Entry& entry : kEntries) {
    if (std::strcmp(entry.name, name) != 0) continue;
    fuse_entry_param found{};
    found.ino = entry.inode;
    found.attr_timeout = found.entry_timeout = kForever;
    Stat(Of(request), entry.inode, &found.attr);
    fuse_reply_entry(request, &found);
    return;
  }
  fuse_reply_err(request, ENOENT);
}

void GetAttributes(fuse_req_t request, fuse_ino_t inode, fuse_file_info* /*file*/) {
  struct stat st;
  if (!Stat(Of(request), inode, &st)) {
    fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_reply_attr(request, &st, kForever);
}

// Of opening `model` with O_TRUNC, and of touching: nothing to keep.
void SetAttributes(fuse_req_t request, fuse_ino_t inode, struct stat* /*wanted*/, int /*which*/,
                   fuse_file_info* file) {
  GetAttributes(request, inode, file);
}

void ReadFolder(fuse_req_t request, fuse_ino_t /*inode*/, size_t size, off_t from,
                fuse_file_info* /*file*/) {
  std::vector<char> out(size);
  size_t used = 0;
  for (size_t i = static_cast<size_t>(from); i < kEntries.size(); ++i) {
    struct stat st;
    Stat(Of(request), kEntries[i].inode, &st);
    const size_t need = fuse_add_direntry(request, out.data() + used, size - used, kEntries[i].name,
                                          &st, static_cast<off_t>(i + 1));
    if (need > size - used) break;
    used += need;
  }
  fuse_reply_buf(request, out.data(), used);
}

void Open(fuse_req_t request, fuse_ino_t /*inode*/, fuse_file_info* file) {
  file->direct_io = 1;  // no page cache of its own below the one that is looked at
  fuse_reply_open(request, file);
}

// Whether these bytes of the backing file were never written, or are zeros that were.
bool IsHole(int fd, off_t offset, size_t size) {
  const off_t data = lseek(fd, offset, SEEK_DATA);
  return data < 0 ? errno == ENXIO : data >= offset + static_cast<off_t>(size);
}

void ReplyWithBytes(fuse_req_t request, size_t size, off_t offset) {
  static const std::vector<char> zeros(kRequestBytesMax);
  const int fd = Of(request).backing();
  if (size <= zeros.size() && IsHole(fd, offset, size)) {
    fuse_reply_buf(request, zeros.data(), size);
    return;
  }
  const auto bytes = std::make_unique_for_overwrite<char[]>(size);
  const ssize_t got = pread(fd, bytes.get(), size, offset);
  if (got < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_buf(request, bytes.get(), static_cast<size_t>(got));
  }
}

void ReplyWithText(fuse_req_t request, std::string_view text, size_t size, off_t offset) {
  const auto at = std::min(static_cast<size_t>(offset), text.size());
  const std::string_view part = text.substr(at, size);
  fuse_reply_buf(request, part.data(), part.size());
}

std::string ReadsText(const PacedArray::Counts& counts) {
  return "pieces " + std::to_string(counts.pieces) + "\nreads " + std::to_string(counts.reads) +
         "\nbytes " + std::to_string(counts.bytes) + "\n";
}

void Read(fuse_req_t request, fuse_ino_t inode, size_t size, off_t offset,
          fuse_file_info* /*file*/) {
  FileSystem& files = Of(request);
  if (inode == kModel) return ReplyWithText(request, files.words() + "\n", size, offset);
  if (inode == kReads) {
    return ReplyWithText(request, ReadsText(files.array().counts()), size, offset);
  }
  const auto from = static_cast<uint64_t>(offset);
  size = std::min<uint64_t>(size, files.bytes() - std::min(files.bytes(), from));
  files.array().Read(from, size,
                     [request, size, offset] { ReplyWithBytes(request, size, offset); });
}

void Write(fuse_req_t request, fuse_ino_t inode, const char* bytes, size_t size, off_t offset,
           fuse_file_info* /*file*/) {
  FileSystem& files = Of(request);
  if (inode == kReads) {
    fuse_reply_err(request, EACCES);
    return;
  }
  if (inode == kModel) {
    std::string_view words(bytes, size);
    if (words.ends_with('\n')) words.remove_suffix(1);
    if (!files.SetModel(std::string(words))) {
      fuse_reply_err(request, EINVAL);
      return;
    }
    fuse_reply_write(request, size);
    return;
  }
  if (static_cast<uint64_t>(offset) + size > files.bytes()) {
    fuse_reply_err(request, ENOSPC);
    return;
  }
  const bool zeros = size > 0 && bytes[0] == 0 && std::memcmp(bytes, bytes + 1, size - 1) == 0;
  if (zeros && fallocate(files.backing(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                         static_cast<off_t>(size)) == 0) {
    fuse_reply_write(request, size);
    return;
  }
  const ssize_t written = pwrite(files.backing(), bytes, size, offset);
  if (written < 0) {
    fuse_reply_err(request, errno);
  } else {
    fuse_reply_write(request, static_cast<size_t>(written));
  }
}

// The backing file is gone with the process: nothing to make safe.
void Synchronise(fuse_req_t request, fuse_ino_t /*inode*/, int /*data_only*/,
                 fuse_file_info* /*file*/) {
  fuse_reply_err(request, 0);
}

fuse_lowlevel_ops Operations() {
  fuse_lowlevel_ops out{};
  out.init = Init;
  out.lookup = Lookup;
  out.getattr = GetAttributes;
  out.setattr = SetAttributes;
  out.readdir = ReadFolder;
  out.open = Open;
  out.read = Read;
  out.write = Write;
  out.fsync = Synchronise;
  return out;
}

}  // namespace

FileSystem::FileSystem(int backing, uint64_t bytes, const std::string& words)
    : backing_(backing), bytes_(bytes) {
  SetModel(words);
}

bool FileSystem::SetModel(const std::string& words) {
  if (words == kHeld) {
    words_ = words;
    array_.Hold();
    return true;
  }
  auto shape = ParseShape(words);
  if (!shape) return false;
  if (*shape) (*shape)->capacity_bytes = bytes_;
  words_ = words;
  array_.SetShape(*shape);
  return true;
}

bool FileSystem::Serve(const std::string& point, const std::function<void()>& ready) {
  std::string name = "pollux-disk", options = "-ofsname=pollux-disk,subtype=pollux";
  std::array<char*, 2> words = {name.data(), options.data()};
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(words.size()), words.data());
  const fuse_lowlevel_ops operations = Operations();
  fuse_session* session = fuse_session_new(&arguments, &operations, sizeof operations, this);
  fuse_opt_free_args(&arguments);
  if (session == nullptr) return false;
  bool served = false;
  if (fuse_session_mount(session, point.c_str()) == 0) {
    ready();
    fuse_session_loop(session);
    array_.SetShape(std::nullopt);  // nobody is told any more, once the session is gone
    fuse_session_unmount(session);
    served = true;
  }
  fuse_session_destroy(session);
  return served;
}

}  // namespace pollux::disk
