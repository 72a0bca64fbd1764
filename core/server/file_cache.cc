#include "core/server/file_cache.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace pollux {

void CachedFile::PrepareHead(std::string head) {
  constexpr std::string_view kField = "\r\nDate: ";
  head_ = std::move(head);
  date_offset_ = head_.find(kField) + kField.size();
  CHECK(date_offset_ < head_.size());
  date_seconds_ = -1;
}

std::string_view CachedFile::HeadAt(int64_t seconds, std::string_view date) {
  if (date_seconds_ != seconds) {
    date_seconds_ = seconds;
    CHECK(date_offset_ + date.size() <= head_.size());
    std::copy(date.begin(), date.end(), head_.begin() + static_cast<ptrdiff_t>(date_offset_));
  }
  return head_;
}

FileCache::FileCache(Kernel& kernel, TimerWheel& timers, const FileCacheLimits& limits)
    : kernel_(kernel), timers_(timers), limits_(limits), sweep_([this] { Sweep(); }) {}

FileCache::~FileCache() = default;

CachedFile* FileCache::Find(std::string_view path, TimePoint now) {
  const auto found = entries_.find(path);
  if (found == entries_.end() || now - found->second.asked >= kTrusted ||
      !Unchanged(found->second)) {
    ++misses_;
    return nullptr;
  }
  ++hits_;
  Touch(found->second);
  return &found->second.cached;
}

CachedFile* FileCache::Store(std::string_view path, std::shared_ptr<OpenFile> file,
                             TimePoint asked) {
  if (limits_.files_max == 0) return nullptr;
  if (!S_ISREG(file->mode)) {
    Forget(path);
    return nullptr;
  }
  auto found = entries_.find(path);
  if (found == entries_.end()) {
    found = entries_.try_emplace(std::string(path)).first;
    found->second.path = found->first;
  } else if (asked < found->second.asked) {
    return nullptr;  // opens on workers overtake each other
  }
  Entry& entry = found->second;
  entry.asked = asked;
  if (entry.cached.file == nullptr || entry.cached.file->key != file->key) {
    DropContent(entry);
    entry.settled = false;
    entry.cached = {};
    entry.cached.file = std::move(file);
  }
  Touch(entry);
  if (!entry.settled && !LoadContent(entry)) {
    Erase(entry);
    return nullptr;
  }
  Evict(entry);
  if (!sweep_.armed()) {
    sweep_at_ = asked + kSweepEvery;
    timers_.Arm(sweep_, sweep_at_);
  }
  return &entry.cached;
}

void FileCache::Forget(std::string_view path) {
  const auto found = entries_.find(path);
  if (found != entries_.end()) Erase(found->second);
}

void FileCache::Clear() {
  while (!by_use_.empty()) Erase(by_use_.front());
}

// Contents are those of the state that the key names, whatever becomes of the file. Of a file that
// is only kept open the bytes to be sent are the present ones, and the key has to be theirs. (The
// inode of an open file is in memory: this waits for no disk.)
bool FileCache::Unchanged(const Entry& entry) {
  if (entry.cached.content != nullptr) return true;
  const OpenFile& file = *entry.cached.file;
  struct stat st {};
  return kernel_.fstat(file.fd.get(), &st) && KeyOf(st) == file.key;
}

bool FileCache::EvictOldest(bool lasting) {
  const auto oldest = std::find_if(by_use_.rbegin(), by_use_.rend(), [lasting](const Entry& entry) {
    return !lasting || entry.cached.file->permit.lasting();
  });
  if (oldest == by_use_.rend()) return false;
  Erase(*oldest);
  return true;
}

void FileCache::Touch(Entry& entry) {
  entry.used = true;
  if (!by_use_.empty() && &by_use_.front() == &entry) return;
  entry.by_use.unlink();
  by_use_.push_front(entry);
  if (entry.cached.content == nullptr) return;
  entry.by_content_use.unlink();
  by_content_use_.push_front(entry);
}

// False if the file is no longer what its key says: it is being changed at this moment.
bool FileCache::LoadContent(Entry& entry) {
  DropContent(entry);
  const OpenFile& file = *entry.cached.file;
  const uint64_t size = file.size();
  if (size > limits_.content_file_max || size > limits_.content_bytes_max) {
    entry.settled = true;  // nothing of it is kept, so nothing can be stale
    return true;
  }
  const int64_t now = kernel_.clock_gettime(CLOCK_REALTIME).tv_sec;
  auto content = std::make_shared<std::string>(size, '\0');
  size_t have = 0;
  while (have < size) {
    const iovec rest{content->data() + have, size - have};
    const Result<size_t> got =
        kernel_.preadv2(file.fd.get(), &rest, 1, static_cast<off_t>(have), RWF_NOWAIT);
    // EAGAIN: not in the page cache (it will be, once it was sent). EOPNOTSUPP: this file system
    // cannot tell. EIO and others: whoever sends the file meets and reports them.
    if (!got) return true;
    if (*got == 0) return false;  // truncated
    have += *got;
  }
  struct stat st {};
  if (const Status s = kernel_.fstat(file.fd.get(), &st); !s || !(KeyOf(st) == file.key))
    return false;
  entry.settled = file.mtime_s + kSettledSeconds <= now;
  entry.cached.content = std::move(content);
  content_bytes_ += size;
  by_content_use_.push_front(entry);
  return true;
}

void FileCache::DropContent(Entry& entry) {
  if (entry.cached.content == nullptr) return;
  content_bytes_ -= entry.cached.content->size();
  entry.cached.content.reset();
  entry.by_content_use.unlink();
}

// `kept`, which is the most recently used, stays in any case.
void FileCache::Evict(const Entry& kept) {
  while (entries_.size() > limits_.files_max && &by_use_.back() != &kept) Erase(by_use_.back());
  while (content_bytes_ > limits_.content_bytes_max && &by_content_use_.back() != &kept) {
    Entry& entry = by_content_use_.back();
    DropContent(entry);
    entry.settled = false;  // the next Store may find room again
  }
}

void FileCache::Erase(Entry& entry) {
  DropContent(entry);
  entries_.erase(entries_.find(entry.path));
}

void FileCache::Sweep() {
  while (!by_use_.empty() && !by_use_.back().used) Erase(by_use_.back());
  for (Entry& entry : by_use_) entry.used = false;
  if (entries_.empty()) return;
  sweep_at_ += kSweepEvery;
  timers_.Arm(sweep_, sweep_at_);
}

}  // namespace pollux
