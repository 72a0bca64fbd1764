// Open files, and the contents of small ones, by their path under the root.
//
// What Find returns was true of its path at most kTrusted ago: after that the path has to be opened
// anew, by FileOpener's rules, and Store compares device, inode, size and mtime. A file that was
// replaced, deleted or changed is therefore served for less than a second, and never in a mixture:
// contents are read whole, and kept only if the file looked the same before and after.
//
// A file that was modified just before it was read may be modified again within the same tick of
// its mtime, unseen. Its contents are read anew at every Store until that can no longer be.
//
// Nothing here waits for a disk: contents come from the page cache (RWF_NOWAIT) or not at all.
// Bounded by the number of files and by the bytes of contents; the least recently used go first,
// and what nobody asked for during a sweep interval is closed, so that a deleted file gives its
// disk blocks back.
//
// Threads: loop thread only.
#pragma once

#include <boost/intrusive/list.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/aio/open_file.h"
#include "core/base/units.h"
#include "core/event/timer_wheel.h"
#include "core/sys/kernel.h"

namespace pollux {

// Larger files are better sent by sendfile than copied.
inline constexpr uint64_t kContentFileLimit = 64_KiB;

struct FileCacheLimits {
  size_t files_max = 1024;              // open descriptors; 0: no cache
  uint64_t content_bytes_max = 64_MiB;  // contents, all together; 0: none are kept
  uint64_t content_file_max = 16_KiB;   // contents of larger files are not kept
};

// One path's file. Valid until the next call of Store, Forget or a turn of the timers; `file` and
// `content` are shared and outlive it.
struct CachedFile {
  std::shared_ptr<OpenFile> file;
  std::shared_ptr<const std::string> content;  // the whole file; null if it is not kept

  // The head of the plain answer, made once and for every second given that second's Date. Empty
  // until PrepareHead, and again for another state of the file.
  bool prepared() const { return !head_.empty(); }
  void PrepareHead(std::string head);  // with a Date field
  // `date`: `seconds` since the epoch as a Date value. Valid until the next call.
  std::string_view HeadAt(int64_t seconds, std::string_view date);

 private:
  std::string head_;
  size_t date_offset_ = 0;
  int64_t date_seconds_ = -1;
};

class FileCache {
 public:
  // How long a look at the path is good for. Half of the second that is promised: the clock is that
  // of the turn's beginning, and a turn may be long.
  static constexpr std::chrono::milliseconds kTrusted{500};
  // What was not asked for between two sweeps is closed by the second.
  static constexpr std::chrono::seconds kSweepEvery{10};
  // An mtime this far behind the clock has no later modification within its own tick: file systems
  // count in anything up to two seconds (FAT).
  static constexpr int64_t kSettledSeconds = 2;

  FileCache(Kernel& kernel, TimerWheel& timers, const FileCacheLimits& limits);
  FileCache(const FileCache&) = delete;
  FileCache& operator=(const FileCache&) = delete;
  ~FileCache();

  // Null if the path is not there or has to be opened anew, which a file that is only kept open has
  // to be as soon as it was changed. Allocates nothing.
  CachedFile* Find(std::string_view path, TimePoint now);

  // `file` is what `path` was found to be by an open that began at `asked` (loop time). Keeps what
  // is known of it if it is the same. Null if it is not kept: no cache, not a regular file, changed
  // since, or a later open of the same path is known already.
  CachedFile* Store(std::string_view path, std::shared_ptr<OpenFile> file, TimePoint asked);

  // The path could not be opened.
  void Forget(std::string_view path);
  // Every descriptor that is not in use elsewhere is closed: for when they have run out.
  void Clear();
  // Lets go of the least recently used file, of those that last if only they are in the way
  // (FilePermit). False if there is none.
  bool EvictOldest(bool lasting = false);

  size_t files() const { return entries_.size(); }
  uint64_t content_bytes() const { return content_bytes_; }
  uint64_t hits() const { return hits_; }
  uint64_t misses() const { return misses_; }

 private:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;
  struct Entry {
    CachedFile cached;
    std::string_view path;  // the key
    TimePoint asked{};
    bool settled = false;  // content cannot have changed without mtime
    bool used = true;      // since the last sweep
    Hook by_use;
    Hook by_content_use;  // linked if there is content
  };
  template <Hook Entry::*hook>
  using List = boost::intrusive::list<Entry, boost::intrusive::member_hook<Entry, Hook, hook>,
                                      boost::intrusive::constant_time_size<false>>;
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Entries = std::unordered_map<std::string, Entry, Hash, std::equal_to<>>;

  bool Unchanged(const Entry& entry);
  void Touch(Entry& entry);
  bool LoadContent(Entry& entry);
  void DropContent(Entry& entry);
  void Evict(const Entry& kept);
  void Erase(Entry& entry);
  void Sweep();

  Kernel& kernel_;
  TimerWheel& timers_;
  const FileCacheLimits limits_;
  Entries entries_;
  List<&Entry::by_use> by_use_;                  // the most recently used first
  List<&Entry::by_content_use> by_content_use_;  // likewise, those with content
  uint64_t content_bytes_ = 0;
  uint64_t hits_ = 0;
  uint64_t misses_ = 0;
  TimePoint sweep_at_{};
  Timer sweep_;
};

}  // namespace pollux
