#include "core/aio/open_file.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <cerrno>
#include <utility>

namespace pollux {
namespace {

// openat2(2): EAGAIN without RESOLVE_CACHED means that a rename or mount raced with the walk, and
// that one may try again. Races end; a file system that never stops them is not waited for.
constexpr int kRaceRetriesMax = 16;

Result<Fd> OpenPath(Kernel& kernel, int root, const std::string& path, uint64_t resolve) {
  open_how how{};
  // O_NONBLOCK: the open of a FIFO or a leased file must not wait for another process. O_NOCTTY: a
  // terminal in the tree must not become ours.
  how.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  how.resolve = resolve;
  for (;;) {
    auto fd = kernel.openat2(root, path.c_str(), how);
    if (!fd && fd.error().code == EINTR) continue;  // a signal during a slow open: nothing happened
    return OwnFd(kernel, fd);
  }
}

int64_t WholeNanoseconds(const timespec& t) {
  // Unsigned, so that a date beyond the year 2262 wraps instead of being undefined: it is a key.
  return static_cast<int64_t>(static_cast<uint64_t>(t.tv_sec) * 1'000'000'000u +
                              static_cast<uint64_t>(t.tv_nsec));
}

// The permit goes with the file, or back if there is none.
Result<std::shared_ptr<OpenFile>> WithPermit(Result<std::shared_ptr<OpenFile>> file,
                                             FilePermit permit) {
  if (file) (*file)->permit = std::move(permit);
  return file;
}

bool Brief(const OpenFile& file) {
  return S_ISREG(file.mode) && file.size() <= FileOpener::kBriefBytes;
}

Result<std::shared_ptr<OpenFile>> Describe(Kernel& kernel, Result<Fd> fd) {
  if (!fd) return Err(fd.error());
  struct stat st {};
  // ENOMEM, or EIO and ESTALE from a network file system.
  if (const Status status = kernel.fstat(fd->get(), &st); !status) return Err(status.error());
  auto file = std::make_shared<OpenFile>();
  file->fd = std::move(*fd);
  file->mode = st.st_mode;
  file->key = KeyOf(st);
  file->mtime_s = st.st_mtim.tv_sec;
  return file;
}

// The open that may wait for the disk.
class OpenJob final : public WorkerJob {
 public:
  OpenJob(int root, uint64_t resolve, std::string path, FilePermit permit,
          FileOpener::Callback done)
      : permit_(std::move(permit)),
        root_(root),
        resolve_(resolve),
        path_(std::move(path)),
        done_(std::move(done)) {}

  void RunOnWorker(Kernel& kernel) override {
    auto fd = OpenPath(kernel, root_, path_, resolve_);
    for (int i = 0; i < kRaceRetriesMax && !fd && fd.error().code == EAGAIN; ++i) {
      fd = OpenPath(kernel, root_, path_, resolve_);
    }
    file_ = Describe(kernel, std::move(fd));
  }

  void Done() override { done_(WithPermit(std::move(file_), std::move(permit_))); }

 private:
  FilePermit permit_;  // loop thread
  const int root_;
  const uint64_t resolve_;
  const std::string path_;
  const FileOpener::Callback done_;
  Result<std::shared_ptr<OpenFile>> file_ = Err(ECANCELED, "openat2");
};

}  // namespace

FileKey KeyOf(const struct stat& st) {
  return {st.st_dev, st.st_ino, static_cast<uint64_t>(st.st_size), WholeNanoseconds(st.st_mtim),
          WholeNanoseconds(st.st_ctim)};
}

size_t FileKeyHash::operator()(const FileKey& key) const {
  // Fibonacci hashing, one round a field: inode numbers and sizes are anything but random.
  uint64_t hash = 0;
  for (const uint64_t field : {key.device, key.inode, key.size, static_cast<uint64_t>(key.mtime_ns),
                               static_cast<uint64_t>(key.ctime_ns)}) {
    hash = (hash ^ field) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 32;
  }
  return hash;
}

std::optional<Symlinks> ParseSymlinks(std::string_view word) {
  if (word == "inside") return Symlinks::kInside;
  if (word == "follow") return Symlinks::kFollow;
  if (word == "none") return Symlinks::kNone;
  return std::nullopt;
}

const char* ToString(Symlinks symlinks) {
  switch (symlinks) {
    case Symlinks::kInside:
      return "inside";
    case Symlinks::kFollow:
      return "follow";
    case Symlinks::kNone:
      return "none";
  }
  return "";
}

uint64_t ResolveFlags(Symlinks symlinks) {
  switch (symlinks) {
    case Symlinks::kInside:
      return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    case Symlinks::kFollow:
      return RESOLVE_NO_MAGICLINKS;
    case Symlinks::kNone:
      return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
  }
  return RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
}

FileOpener::FileOpener(Kernel& kernel, WorkerPool& workers, int root, Symlinks symlinks)
    : kernel_(kernel), workers_(workers), root_(root), resolve_(ResolveFlags(symlinks)) {}

void FileOpener::Open(std::string path, Callback done) {
  FilePermit permit;
  if (!waiting_.empty() || !TakePermit(permit)) {
    waiting_.push_back({std::move(path), std::move(done)});
    return;
  }
  Admit({std::move(path), std::move(done)}, std::move(permit), /*waited=*/false);
}

// Opens, and lets those wait (once) whose file would last too long for what room there is.
void FileOpener::Admit(Waiting asked, FilePermit permit, bool waited) {
  if (budget_ == nullptr) {
    OpenNow(std::move(asked.path), std::move(permit), std::move(asked.done));
    return;
  }
  std::string path = asked.path;
  OpenNow(std::move(path), std::move(permit),
          [this, asked = std::move(asked), waited](Result<std::shared_ptr<OpenFile>> file) mutable {
            if (file) {
              file = Shared(std::move(*file));
              const bool overtakes = !waited && !waiting_to_last_.empty();
              if (!(*file)->permit.lasting() && !Brief(**file) && (overtakes || !MayLast(**file))) {
                waiting_to_last_.push_back(std::move(asked));
                return;
              }
            }
            asked.done(std::move(file));
          });
}

bool FileOpener::MayLast(OpenFile& file) {
  while (!file.permit.MakeLasting()) {
    if (!evict_ || !evict_(true)) return false;
  }
  return true;
}

// The file that is open already, in the same state, or this one.
std::shared_ptr<OpenFile> FileOpener::Shared(std::shared_ptr<OpenFile> file) {
  if (!S_ISREG(file->mode)) return file;  // reading a folder moves its descriptor's position
  if (open_.size() > 2 * budget_->files() + 16) {
    std::erase_if(open_, [](const auto& entry) { return entry.second.expired(); });
  }
  std::weak_ptr<OpenFile>& known = open_[file->key];
  if (std::shared_ptr<OpenFile> earlier = known.lock()) return earlier;
  known = file;
  return file;
}

bool FileOpener::TakePermit(FilePermit& permit) {
  if (budget_ == nullptr) return true;
  while (!budget_->TakeFile()) {
    if (!evict_ || !evict_(false)) return false;
  }
  permit = FilePermit(*budget_);
  return true;
}

void FileOpener::OpenNow(std::string path, FilePermit permit, Callback done) {
  auto fd = OpenPath(kernel_, root_, path, resolve_ | RESOLVE_CACHED);
  // EAGAIN: the walk would have to wait for the disk. EINVAL: a kernel before 5.12, which does not
  // know RESOLVE_CACHED; the worker's open tells if it meant something else.
  if (!fd && (fd.error().code == EAGAIN || fd.error().code == EINVAL)) {
    workers_.Run(std::make_unique<OpenJob>(root_, resolve_, std::move(path), std::move(permit),
                                           std::move(done)));
    return;
  }
  // ENOSYS (before 5.6) and EPERM (seccomp) are errors like the others: there is no second way in.
  done(WithPermit(Describe(kernel_, std::move(fd)), std::move(permit)));
}

void FileOpener::OnFreed() {
  if (waiting() > 0 && !queued()) loop_->Post(*this);
}

// As far as there is room, but thousands who wait for one file that was opened are not one turn.
void FileOpener::RunJob() {
  size_t opens = 0;
  const auto admit_from = [&](std::deque<Waiting>& line) {
    FilePermit permit;
    if (!TakePermit(permit)) return false;
    Waiting next = std::move(line.front());
    line.pop_front();
    Admit(std::move(next), std::move(permit), &line == &waiting_to_last_);
    return ++opens < kOpensPerTurn;
  };
  bool more = true;
  while (more && !waiting_.empty()) more = admit_from(waiting_);
  while (more && !waiting_to_last_.empty() && budget_->RoomForLasting()) {
    more = admit_from(waiting_to_last_);
  }
  if (opens == kOpensPerTurn && waiting() > 0) loop_->Post(*this);
}

}  // namespace pollux
