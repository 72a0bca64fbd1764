// Files under the root, opened without blocking the loop.
//
// openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS keeps every path inside (--symlinks may
// say otherwise). The loop itself opens with RESOLVE_CACHED; what the dentry cache does not hold
// (EAGAIN) is opened by a worker.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/aio/descriptor_budget.h"
#include "core/event/event_loop.h"
#include "core/event/worker_pool.h"
#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

// Names one state of one file: a replaced or rewritten file has another key, so reads shared under
// it never mix two contents.
struct FileKey {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;  // also of who sets the mtime back (utimensat(2))

  friend bool operator==(const FileKey&, const FileKey&) = default;
};
FileKey KeyOf(const struct stat& st);
struct FileKeyHash {
  size_t operator()(const FileKey& key) const;
};

struct OpenFile {
  FilePermit permit;  // before fd: returned when it is closed
  Fd fd;
  mode_t mode = 0;  // regular file, directory, ...: the caller decides what it serves
  FileKey key;
  int64_t mtime_s = 0;

  uint64_t size() const { return key.size; }
};

// Where symbolic links below the root may lead (--symlinks). Magic links of /proc lead nowhere.
enum class Symlinks {
  kInside,  // relative ones that never climb above the root
  kFollow,  // anywhere: whoever can make links below the root decides what is served
  kNone,    // nowhere: a path with a link in it is refused
};
std::optional<Symlinks> ParseSymlinks(std::string_view word);
const char* ToString(Symlinks symlinks);

// open_how.resolve for a path relative to the root. Paths have no ".." in them (http::ParseTarget),
// so that with kFollow, too, only a link leads out.
uint64_t ResolveFlags(Symlinks symlinks);

class FileOpener final : public Job {
 public:
  using Callback = std::function<void(Result<std::shared_ptr<OpenFile>>)>;
  static constexpr size_t kOpensPerTurn = 64;  // of those who waited
  // A regular file up to this does not last: a socket's queue takes it, or the memory of a cache.
  static constexpr uint64_t kBriefBytes = 64 * 1024;

  // `root` is a directory descriptor and must outlive it.
  FileOpener(Kernel& kernel, WorkerPool& workers, int root, Symlinks symlinks = Symlinks::kInside);

  // Who asks for more files at once than `budget` has room for is answered when others were closed,
  // in the order of asking; and who opens a regular file that is open already shares it: thousands
  // of slow clients of one file hold one descriptor. The budget outlives every file opened.
  void LimitTo(EventLoop& loop, DescriptorBudget& budget) {
    loop_ = &loop;
    budget_ = &budget;
  }

  // `path` is relative to the root, not empty ("." is the root itself), without a leading slash.
  // `done` runs exactly once, perhaps before Open returns. Errors are openat2's (ENOENT, EACCES,
  // ELOOP, EXDEV for an escape, EMFILE, ENFILE, EIO, ...). If openat2 is missing or forbidden
  // (ENOSYS, EPERM) nothing is served: it fails closed.
  void Open(std::string path, Callback done);

  // Called when there is room for no further file (none that lasts), until there is: lets go of one
  // that is open without need, or returns false if none is.
  void SetEvictor(std::function<bool(bool lasting)> evict) { evict_ = std::move(evict); }
  // A file was closed: those who wait are answered at the end of this turn and of the next ones.
  void OnFreed();
  size_t waiting() const { return waiting_.size() + waiting_to_last_.size(); }

  void RunJob() override;

 private:
  struct Waiting {
    std::string path;
    Callback done;
  };
  bool TakePermit(FilePermit& permit);
  bool MayLast(OpenFile& file);
  void Admit(Waiting asked, FilePermit permit, bool waited);
  std::shared_ptr<OpenFile> Shared(std::shared_ptr<OpenFile> file);
  void OpenNow(std::string path, FilePermit permit, Callback done);

  Kernel& kernel_;
  WorkerPool& workers_;
  int root_;
  uint64_t resolve_;
  EventLoop* loop_ = nullptr;
  DescriptorBudget* budget_ = nullptr;
  std::function<bool(bool)> evict_;
  std::deque<Waiting> waiting_;          // for a permit
  std::deque<Waiting> waiting_to_last_;  // were found to be large: opened again when there is room
  std::unordered_map<FileKey, std::weak_ptr<OpenFile>, FileKeyHash> open_;
};

}  // namespace pollux
