// Goal: what FileCache hands out was true of its path at most half a second ago, is never a mixture
// of two states of a file, and stays within its bounds. Method: files that exist only behind a mock
// of the seam, which the test changes; time passes when the test says so.
#include "core/server/file_cache.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>

#include "fakes/mock_kernel.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::_;
using ::testing::ElementsAre;
using ::testing::NiceMock;

constexpr TimePoint kStart{std::chrono::hours(1)};
constexpr int64_t kNow = 1'000'000;  // the clock on the wall
constexpr int64_t kOld = kNow - 60;  // a settled mtime

class FileCacheTest : public ::testing::Test {
 protected:
  struct OnDisk {
    std::string content;
    uint64_t inode = 1;
    int64_t mtime_s = kOld;
  };

  FileCacheTest() {
    ON_CALL(kernel_, clock_gettime(CLOCK_REALTIME)).WillByDefault([this](clockid_t) {
      return timespec{wall_, 0};
    });
    ON_CALL(kernel_, fstat).WillByDefault([this](int fd, struct stat* out) {
      *out = StatOf(*open_.at(fd));
      return Status();
    });
    ON_CALL(kernel_, preadv2)
        .WillByDefault(
            [this](int fd, const iovec* iov, int, off_t offset, int flags) -> Result<size_t> {
              EXPECT_EQ(flags, RWF_NOWAIT) << "a read that could wait for the disk";
              ++reads_;
              if (before_read_) before_read_();
              if (read_error_ != 0) return Err(read_error_, "preadv2");
              const std::string& content = open_.at(fd)->content;
              const size_t at = std::min(static_cast<size_t>(offset), content.size());
              const size_t count = std::min({content.size() - at, iov->iov_len, read_max_});
              std::memcpy(iov->iov_base, content.data() + at, count);
              return count;
            });
    ON_CALL(kernel_, close).WillByDefault([this](int fd) {
      EXPECT_EQ(open_.erase(fd), 1u) << "closed twice";
      return Status();
    });
  }

  static struct stat StatOf(const OnDisk& file) {
    struct stat st {};
    st.st_mode = S_IFREG | 0644;
    st.st_dev = 1;
    st.st_ino = file.inode;
    st.st_size = static_cast<off_t>(file.content.size());
    st.st_mtim.tv_sec = file.mtime_s;
    return st;
  }

  // What FileOpener would hand over.
  std::shared_ptr<OpenFile> Open(OnDisk& file) {
    const int fd = next_fd_++;
    open_[fd] = &file;
    auto opened = std::make_shared<OpenFile>();
    opened->fd = Fd(kernel_, fd);
    const struct stat st = StatOf(file);
    opened->mode = st.st_mode;
    opened->key = KeyOf(st);
    opened->mtime_s = file.mtime_s;
    return opened;
  }

  void Make(const FileCacheLimits& limits) {
    cache_ = std::make_unique<FileCache>(kernel_, timers_, limits);
    timers_.Advance(kStart);
  }
  CachedFile* Store(const std::string& path, OnDisk& file, TimePoint asked = kStart) {
    return cache_->Store(path, Open(file), asked);
  }
  std::string ContentOf(const CachedFile* cached) {
    if (cached == nullptr) return "(not cached)";
    return cached->content == nullptr ? "(not in memory)" : *cached->content;
  }

  NiceMock<MockKernel> kernel_;
  TimerWheel timers_;
  int64_t wall_ = kNow;
  int next_fd_ = 100;
  std::map<int, OnDisk*> open_;  // by descriptor
  int reads_ = 0;
  size_t read_max_ = SIZE_MAX;
  int read_error_ = 0;
  std::function<void()> before_read_;
  OnDisk a_{.content = "content of a"};
  OnDisk b_{.content = "content of b", .inode = 2};
  std::unique_ptr<FileCache> cache_;
};

TEST_F(FileCacheTest, FindsWhatWasStoredWithItsContentForHalfASecond) {
  Make({});
  Store("a", a_);
  EXPECT_EQ(ContentOf(cache_->Find("a", kStart)), "content of a");
  EXPECT_EQ(ContentOf(cache_->Find("a", kStart + milliseconds(499))), "content of a");
  EXPECT_EQ(cache_->Find("a", kStart + milliseconds(500)), nullptr) << "not looked at since";
  EXPECT_EQ(cache_->Find("b", kStart), nullptr);
  EXPECT_EQ(cache_->hits(), 2u);
  EXPECT_EQ(cache_->misses(), 2u);
}

TEST_F(FileCacheTest, TheSameFileIsNeitherReadNorKeptOpenTwice) {
  Make({});
  CachedFile* first = Store("a", a_);
  first->PrepareHead("HTTP/1.1 200 OK\r\nDate: ?\r\n\r\n");
  for (int i = 1; i <= 5; ++i) {
    CachedFile* again = Store("a", a_, kStart + milliseconds(500 * i));
    EXPECT_EQ(again, first);
    EXPECT_TRUE(again->prepared());
  }
  EXPECT_EQ(reads_, 1);
  EXPECT_EQ(open_.size(), 1u);
  EXPECT_NE(cache_->Find("a", kStart + milliseconds(2999)), nullptr);
}

TEST_F(FileCacheTest, AReplacedFileIsForgottenWithAllThatWasKnownOfIt) {
  Make({});
  Store("a", a_)->PrepareHead("HTTP/1.1 200 OK\r\nDate: ?\r\n\r\n");
  OnDisk replaced{.content = "what is new.", .inode = 3};  // as long as the old one
  CachedFile* cached = Store("a", replaced, kStart + milliseconds(500));
  EXPECT_EQ(ContentOf(cached), "what is new.");
  EXPECT_FALSE(cached->prepared());
  EXPECT_EQ(open_.size(), 1u);
  EXPECT_EQ(cache_->content_bytes(), 12u);
}

TEST_F(FileCacheTest, EachPartOfTheKeyTellsOneStateFromAnother) {
  for (const OnDisk& changed : {OnDisk{.content = "content of A", .inode = 9},
                                OnDisk{.content = "longer content of A", .inode = 1},
                                OnDisk{.content = "content of A", .mtime_s = kOld + 1}}) {
    Make({});
    Store("a", a_);
    OnDisk now = changed;
    EXPECT_EQ(ContentOf(Store("a", now, kStart + milliseconds(500))), changed.content);
    cache_.reset();
  }
}

TEST_F(FileCacheTest, AFileThatWasJustModifiedIsReadAnewUntilItsMtimeIsOld) {
  Make({});
  a_.mtime_s = kNow;
  EXPECT_EQ(ContentOf(Store("a", a_)), "content of a");
  a_.content = "CONTENT OF A";  // within the tick of its mtime: nothing else tells
  EXPECT_EQ(ContentOf(Store("a", a_, kStart + milliseconds(500))), "CONTENT OF A");
  wall_ = kNow + FileCache::kSettledSeconds;
  Store("a", a_, kStart + seconds(2));
  EXPECT_EQ(reads_, 3);
  Store("a", a_, kStart + seconds(3));
  EXPECT_EQ(reads_, 3) << "settled";
  EXPECT_EQ(cache_->content_bytes(), 12u);
}

TEST_F(FileCacheTest, AnMtimeInTheFutureIsNeverSettled) {
  Make({});
  a_.mtime_s = kNow + 3600;
  Store("a", a_);
  Store("a", a_, kStart + seconds(1));
  EXPECT_EQ(reads_, 2);
}

TEST_F(FileCacheTest, AFileThatChangesWhileItIsReadIsNotKept) {
  Make({});
  read_max_ = 6;
  before_read_ = [&] {
    if (reads_ == 2) a_.content.resize(8);  // truncated between the reads
  };
  EXPECT_EQ(Store("a", a_), nullptr);
  EXPECT_EQ(cache_->files(), 0u);
  EXPECT_EQ(cache_->content_bytes(), 0u);
  EXPECT_TRUE(open_.empty());

  a_.content = "content of a";
  before_read_ = [&] { a_.content += "."; };  // appended to: only its size tells
  EXPECT_EQ(Store("a", a_), nullptr);
  before_read_ = [&] { a_.mtime_s = kOld + 1; };
  EXPECT_EQ(Store("a", a_), nullptr);
}

TEST_F(FileCacheTest, ShortReadsAreContinued) {
  Make({});
  read_max_ = 5;
  EXPECT_EQ(ContentOf(Store("a", a_)), "content of a");
  EXPECT_EQ(reads_, 3);
}

TEST_F(FileCacheTest, AFileThatIsNotInThePageCacheIsKeptOpenAndReadLater) {
  for (const int error : {EAGAIN, EOPNOTSUPP, EIO}) {
    Make({});
    read_error_ = error;
    EXPECT_EQ(ContentOf(Store("a", a_)), "(not in memory)") << error;
    EXPECT_NE(cache_->Find("a", kStart), nullptr);
    read_error_ = 0;
    EXPECT_EQ(ContentOf(Store("a", a_, kStart + milliseconds(500))), "content of a");
    cache_.reset();
  }
}

// Old validators with new bytes would let a client that resumes join two states of the file.
TEST_F(FileCacheTest, AFileThatIsOnlyKeptOpenIsOpenedAnewAsSoonAsItWasChanged) {
  Make({.content_file_max = 4});
  ASSERT_NE(Store("a", a_), nullptr);
  ASSERT_NE(cache_->Find("a", kStart + milliseconds(1)), nullptr);
  a_.mtime_s = kNow;
  EXPECT_EQ(cache_->Find("a", kStart + milliseconds(2)), nullptr);
  ASSERT_NE(Store("a", a_, kStart + milliseconds(3)), nullptr);
  EXPECT_NE(cache_->Find("a", kStart + milliseconds(4)), nullptr);
}

TEST_F(FileCacheTest, ContentsAreOfOneStateAndNeedNoSecondLook) {
  Make({});
  ASSERT_NE(Store("a", a_), nullptr);
  a_.mtime_s = kNow;
  EXPECT_CALL(kernel_, fstat).Times(0);
  EXPECT_EQ(ContentOf(cache_->Find("a", kStart + milliseconds(2))), "content of a");
}

TEST_F(FileCacheTest, AFileThatCannotBeDescribedAfterReadingIsNotKept) {
  Make({});
  EXPECT_CALL(kernel_, fstat).WillOnce([](int, struct stat*) -> Status {
    return Err(EIO, "fstat");
  });
  EXPECT_EQ(Store("a", a_), nullptr);
  EXPECT_TRUE(open_.empty());
}

TEST_F(FileCacheTest, ContentsOfLargerFilesStayOnDisk) {
  Make({.content_file_max = 12});
  EXPECT_EQ(ContentOf(Store("a", a_)), "content of a") << "at the limit";
  b_.content += ".";
  EXPECT_EQ(ContentOf(Store("b", b_)), "(not in memory)");
  EXPECT_EQ(reads_, 1);
}

TEST_F(FileCacheTest, AnEmptyFileHasAnEmptyContent) {
  Make({});
  a_.content = "";
  EXPECT_EQ(ContentOf(Store("a", a_)), "");
}

TEST_F(FileCacheTest, TheLeastRecentlyUsedFileMakesRoom) {
  Make({.files_max = 2});
  OnDisk c{.content = "c", .inode = 3};
  Store("a", a_);
  Store("b", b_);
  cache_->Find("a", kStart);
  Store("c", c);
  EXPECT_EQ(cache_->files(), 2u);
  EXPECT_NE(cache_->Find("a", kStart), nullptr);
  EXPECT_EQ(cache_->Find("b", kStart), nullptr);
  EXPECT_NE(cache_->Find("c", kStart), nullptr);
  EXPECT_EQ(open_.size(), 2u);
}

TEST_F(FileCacheTest, ContentsMakeRoomButTheirFilesStayOpen) {
  Make({.content_bytes_max = 24});
  OnDisk c{.content = "content of c", .inode = 3};
  Store("a", a_);
  Store("b", b_);
  cache_->Find("a", kStart);
  Store("c", c);
  EXPECT_EQ(cache_->content_bytes(), 24u);
  EXPECT_EQ(ContentOf(cache_->Find("a", kStart)), "content of a");
  EXPECT_EQ(ContentOf(cache_->Find("b", kStart)), "(not in memory)");
  EXPECT_EQ(ContentOf(cache_->Find("c", kStart)), "content of c");
}

TEST_F(FileCacheTest, WhatIsInUseOutlivesItsPlaceInTheCache) {
  Make({.files_max = 1});
  const CachedFile* cached = Store("a", a_);
  const std::shared_ptr<OpenFile> file = cached->file;
  const std::shared_ptr<const std::string> content = cached->content;
  Store("b", b_);
  EXPECT_EQ(cache_->files(), 1u);
  EXPECT_EQ(open_.size(), 2u) << "a transfer still sends from it";
  EXPECT_EQ(*content, "content of a");
}

TEST_F(FileCacheTest, AnOlderOpenDoesNotReplaceWhatALaterOneFound) {
  Make({});
  OnDisk replaced{.content = "new", .inode = 3};
  std::shared_ptr<OpenFile> slow = Open(a_);  // on a worker, overtaken
  Store("a", replaced, kStart + milliseconds(10));
  EXPECT_EQ(cache_->Store("a", slow, kStart), nullptr);
  EXPECT_EQ(ContentOf(cache_->Find("a", kStart + milliseconds(10))), "new");
}

TEST_F(FileCacheTest, WhatIsNoRegularFileIsNotKeptAndEndsWhatWas) {
  Make({});
  Store("a", a_);
  std::shared_ptr<OpenFile> folder = Open(b_);
  folder->mode = S_IFDIR | 0755;
  EXPECT_EQ(cache_->Store("a", folder, kStart), nullptr);
  EXPECT_EQ(cache_->files(), 0u);
}

TEST_F(FileCacheTest, ForgetAndClearCloseTheFiles) {
  Make({});
  Store("a", a_);
  Store("b", b_);
  cache_->Forget("a");
  cache_->Forget("never seen");
  EXPECT_EQ(open_.size(), 1u);
  EXPECT_EQ(cache_->content_bytes(), 12u);
  cache_->Clear();
  EXPECT_TRUE(open_.empty());
  EXPECT_EQ(cache_->content_bytes(), 0u);
}

TEST_F(FileCacheTest, TheOldestIsTheLeastRecentlyUsed) {
  Make({});
  Store("a", a_);
  Store("b", b_);
  ASSERT_NE(cache_->Find("a", kStart), nullptr);
  EXPECT_TRUE(cache_->EvictOldest());
  EXPECT_EQ(open_.size(), 1u);
  EXPECT_NE(cache_->Find("a", kStart), nullptr);
  EXPECT_EQ(cache_->Find("b", kStart), nullptr);
  EXPECT_TRUE(cache_->EvictOldest());
  EXPECT_TRUE(open_.empty());
  EXPECT_FALSE(cache_->EvictOldest());
}

TEST_F(FileCacheTest, SmallFilesAreNotInTheWayOfLastingOnes) {
  Make({});
  DescriptorBudget budget(100);
  ASSERT_TRUE(budget.TakeFile() && budget.TakeFile());
  Store("a", a_)->file->permit = FilePermit(budget);
  EXPECT_FALSE(cache_->EvictOldest(/*lasting=*/true));
  CachedFile* const lasting = Store("b", b_);
  lasting->file->permit = FilePermit(budget);
  ASSERT_TRUE(lasting->file->permit.MakeLasting());
  OnDisk c{.content = "content of c", .inode = 3};
  Store("c", c);
  EXPECT_TRUE(cache_->EvictOldest(/*lasting=*/true));
  EXPECT_EQ(cache_->Find("b", kStart), nullptr);
  EXPECT_NE(cache_->Find("a", kStart), nullptr);
  EXPECT_NE(cache_->Find("c", kStart), nullptr);
  EXPECT_FALSE(cache_->EvictOldest(/*lasting=*/true));
  cache_->Clear();
}

TEST_F(FileCacheTest, WhatNobodyAsksForIsClosedByTheSecondSweep) {
  Make({});
  Store("a", a_);
  Store("b", b_);
  timers_.Advance(kStart + FileCache::kSweepEvery);
  EXPECT_EQ(cache_->files(), 2u);
  Store("a", a_, kStart + seconds(11));
  timers_.Advance(kStart + 2 * FileCache::kSweepEvery);
  EXPECT_EQ(cache_->files(), 1u);
  EXPECT_EQ(open_.size(), 1u) << "a deleted file's blocks are free again";
  timers_.Advance(kStart + 3 * FileCache::kSweepEvery);
  timers_.Advance(kStart + 4 * FileCache::kSweepEvery);
  EXPECT_EQ(cache_->files(), 0u);
  EXPECT_TRUE(timers_.empty()) << "nothing to sweep, nobody to wake";
}

TEST_F(FileCacheTest, WithoutFilesNothingIsKept) {
  Make({.files_max = 0});
  EXPECT_EQ(Store("a", a_), nullptr);
  EXPECT_TRUE(open_.empty());
  EXPECT_EQ(reads_, 0);
}

TEST(CachedFileTest, TheHeadIsGivenTheDateOfEachSecond) {
  CachedFile cached;
  EXPECT_FALSE(cached.prepared());
  cached.PrepareHead(
      "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nETag: \"1\"\r\n\r\n");
  EXPECT_EQ(cached.HeadAt(1, "Thu, 01 Jan 1970 00:00:01 GMT"),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:01 GMT\r\nETag: \"1\"\r\n\r\n");
  EXPECT_EQ(cached.HeadAt(2, "Thu, 01 Jan 1970 00:00:02 GMT"),
            "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:02 GMT\r\nETag: \"1\"\r\n\r\n");
}

}  // namespace
}  // namespace pollux
