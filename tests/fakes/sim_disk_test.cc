// The simulated kernel on a modelled disk: who waits for it, for how long, and what the page cache
// reads ahead. Times are exact: they are those of the model, and no other time passes.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <libaio.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include <memory>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "fakes/disk/shape.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

constexpr const char* kPath = "/data/file";
constexpr size_t kFileBytes = 4_MiB;

// 0 but for the given answer to one kind of choice.
class OneFault final : public Chooser {
 public:
  OneFault(std::string label, size_t answer) : label_(std::move(label)), answer_(answer) {}
  size_t PickStep(std::span<const Option>, std::span<const Option>) override { return 0; }
  size_t PickValue(const char* label, size_t count) override {
    EXPECT_LT(answer_, count);
    return label == label_ ? std::exchange(answer_, 0) : 0;
  }

 private:
  const std::string label_;
  size_t answer_;
};

class SimDiskTest : public ::testing::Test {
 protected:
  SimDiskTest() { UseKernel(first_); }

  static std::shared_ptr<const std::string> Contents() {
    static const auto contents = [] {
      std::string made;
      made.reserve(kFileBytes);
      while (made.size() < kFileBytes) {
        // No two pages alike.
        std::string page(kPageBytes, static_cast<char>(made.size() / kPageBytes));
        page.replace(0, 8, std::to_string(10'000'000 + made.size()));
        made += page;
      }
      return std::make_shared<const std::string>(std::move(made));
    }();
    return contents;
  }

  void UseKernel(Chooser& chooser, int faults = 0, const char* disk = "hdd") {
    SimOptions options;
    options.disk.shape = disk::ParseShape(disk).value();
    options.disk.faults = faults;
    shape_ = *options.disk.shape;
    kernel_ = std::make_unique<SimKernel>(chooser, resources_, options);
    kernel_->AddFile(kPath, content_);
  }

  int Open(int flags = 0) { return kernel_->openat(AT_FDCWD, kPath, O_RDONLY | flags, 0).value(); }
  TimePoint Now() { return kernel_->scheduler().now(); }

  // Reads and compares; how long it took.
  Nanoseconds Read(int fd, size_t offset, size_t count) {
    std::string buffer(count, '\0');
    const TimePoint before = Now();
    const Result<size_t> got = kernel_->pread(fd, buffer.data(), count, static_cast<off_t>(offset));
    EXPECT_TRUE(got && *got == count);
    EXPECT_EQ(buffer, content_->substr(offset, count));
    return Now() - before;
  }
  uint64_t CachedPages(int fd) {
    Cachestat stat;
    EXPECT_TRUE(kernel_->cachestat(fd, {0, 0}, &stat));
    return stat.nr_cache;
  }
  Nanoseconds Fetch(size_t bytes) const {
    return shape_.command + disk::TransferTime(shape_, bytes);
  }

  const std::shared_ptr<const std::string> content_ = Contents();
  FirstChooser first_;
  Resources resources_;
  disk::Shape shape_;
  std::unique_ptr<SimKernel> kernel_;
};

TEST_F(SimDiskTest, AReadOfMissingPagesTakesTheDisksTime) {
  const int fd = Open();
  // Four pages are asked for, sixteen bytes short of a second window: eight are read, at the file's
  // start, where the head is.
  EXPECT_EQ(Read(fd, 0, 16_KiB), Fetch(32_KiB));
  EXPECT_EQ(CachedPages(fd), 8U);
  EXPECT_EQ(Read(fd, 0, 16_KiB), Nanoseconds(0));  // there now
}

TEST_F(SimDiskTest, WindowsDoubleUpToTheDevicesReadAhead) {
  const int fd = Open();
  std::vector<uint64_t> cached;
  for (size_t page = 0; page < 100; page += 4) {
    (void)Read(fd, page * kPageBytes, 4 * kPageBytes);
    const uint64_t now = CachedPages(fd);
    if (cached.empty() || cached.back() != now) cached.push_back(now);
  }
  // 8; then, at each marked page, 16 and 32 more ahead.
  ASSERT_GE(cached.size(), 4U);
  EXPECT_EQ(std::vector<uint64_t>(cached.begin(), cached.begin() + 4),
            (std::vector<uint64_t>{8, 24, 56, 88}));
}

TEST_F(SimDiskTest, ASequentialReaderGetsTheRateOfTheMedia) {
  const int fd = Open();
  Nanoseconds time{0};
  for (size_t at = 0; at < kFileBytes; at += 64_KiB) time += Read(fd, at, 64_KiB);
  const double rate = static_cast<double>(kFileBytes) / std::chrono::duration<double>(time).count();
  EXPECT_NEAR(rate, shape_.media_bytes_per_second, shape_.media_bytes_per_second * 0.1);
}

TEST_F(SimDiskTest, ARandomReaderGetsWhatItAsksForAndNoMore) {
  const int fd = Open();
  (void)Read(fd, 1_MiB, 4_KiB);
  EXPECT_EQ(CachedPages(fd), 1U);
  ASSERT_TRUE(kernel_->posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM));
  (void)Read(fd, 0, 8_KiB);  // would begin a window
  EXPECT_EQ(CachedPages(fd), 3U);
}

TEST_F(SimDiskTest, AdviceFetchesAndDropsPages) {
  const int fd = Open();
  ASSERT_TRUE(kernel_->posix_fadvise(fd, 64_KiB, 64_KiB, POSIX_FADV_WILLNEED));
  EXPECT_EQ(CachedPages(fd), 16U);  // under read: they count
  EXPECT_GT(Read(fd, 64_KiB, 4_KiB), Nanoseconds(0));
  EXPECT_EQ(Read(fd, 68_KiB, 60_KiB), Nanoseconds(0));  // one read of the disk brought them all
  ASSERT_TRUE(kernel_->posix_fadvise(fd, 66_KiB, 60_KiB, POSIX_FADV_DONTNEED));
  EXPECT_EQ(CachedPages(fd), 16U - 14U);  // whole pages of it: 68 to 124 KiB
}

TEST_F(SimDiskTest, NowaitTakesWhatIsThereAndNothingElse) {
  const int fd = Open();
  char buffer[16384];
  const iovec all{buffer, sizeof buffer};
  EXPECT_EQ(kernel_->preadv2(fd, &all, 1, 0, RWF_NOWAIT).error().code, EAGAIN);
  (void)Read(fd, 0, 4_KiB);  // reads four pages
  ASSERT_EQ(CachedPages(fd), 4U);
  EXPECT_EQ(kernel_->preadv2(fd, &all, 1, 8192, RWF_NOWAIT).value(), 8192U);
  ASSERT_TRUE(kernel_->posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED));
  EXPECT_EQ(CachedPages(fd), 0U);
  EXPECT_EQ(kernel_->preadv2(fd, &all, 1, 0, RWF_NOWAIT).error().code, EAGAIN);
}

TEST_F(SimDiskTest, AThreadThatWaitsForAPageDoesNotHoldUpOthers) {
  bool served = false;
  ASSERT_TRUE(kernel_->Run([&] {
    const int fd = Open();
    const auto reader = kernel_->thread_create("reader", [&] { (void)Read(fd, 0, 64_KiB); });
    const TimePoint before = Now();
    const auto other = kernel_->thread_create("other", [&] {
      (void)kernel_->word_create(0)->fetch_add(1);
      served = Now() == before;
    });
    kernel_->thread_join(*other);
    EXPECT_EQ(Now(), before);
    kernel_->thread_join(*reader);
    EXPECT_GT(Now(), before);
  }));
  EXPECT_TRUE(served);
}

TEST_F(SimDiskTest, AFailedReadIsEioAndTheNextOneTriesAgain) {
  OneFault chooser("pages: read, EIO", 1);
  UseKernel(chooser, 1);
  const int fd = Open();
  char byte = 0;
  EXPECT_EQ(kernel_->pread(fd, &byte, 1, 0).error().code, EIO);
  EXPECT_GT(Read(fd, 0, 4_KiB), Nanoseconds(0));
}

class AioOnDisk : public SimDiskTest {
 protected:
  static constexpr size_t kChunk = 512_KiB;

  // Submits reads of these chunks of the file at once; their numbers as they complete, and when.
  std::vector<std::pair<size_t, Nanoseconds>> Complete(const std::vector<size_t>& chunks) {
    const int fd = Open(O_DIRECT);
    std::vector<std::pair<size_t, Nanoseconds>> out;
    const auto ran = kernel_->Run([&] {
      io_context_t context = kernel_->io_setup(16).value();
      auto* memory = static_cast<char*>(kernel_
                                            ->mmap(nullptr, kFileBytes, PROT_READ | PROT_WRITE,
                                                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                            .value());
      std::vector<iocb> requests(chunks.size());
      std::vector<iocb*> pointers;
      for (size_t i = 0; i < chunks.size(); ++i) {
        io_prep_pread(&requests[i], fd, memory + chunks[i] * kChunk, kChunk,
                      static_cast<long long>(chunks[i] * kChunk));
        requests[i].data = reinterpret_cast<void*>(chunks[i]);
        pointers.push_back(&requests[i]);
      }
      const TimePoint start = Now();
      EXPECT_EQ(kernel_->io_submit(context, static_cast<long>(chunks.size()), pointers.data()),
                static_cast<int>(chunks.size()));
      while (out.size() < chunks.size()) {
        io_event event{};
        EXPECT_EQ(kernel_->io_getevents(context, 1, 1, &event, nullptr), 1);
        const auto chunk = reinterpret_cast<size_t>(event.data);
        EXPECT_EQ(event.res, kChunk);
        EXPECT_EQ(content_->compare(chunk * kChunk, kChunk, memory + chunk * kChunk, kChunk), 0);
        out.emplace_back(chunk, Now() - start);
      }
      EXPECT_TRUE(kernel_->munmap(memory, kFileBytes));
      EXPECT_TRUE(kernel_->io_destroy(context));
    });
    EXPECT_TRUE(ran);
    return out;
  }
};

TEST_F(AioOnDisk, ReadsCompleteInTheElevatorsOrderAfterTheirTime) {
  const auto completed = Complete({0, 5, 2, 1});
  ASSERT_EQ(completed.size(), 4U);
  std::vector<size_t> order;
  for (const auto& [chunk, when] : completed) order.push_back(chunk);
  EXPECT_EQ(order, (std::vector<size_t>{0, 1, 2, 5}));
  EXPECT_EQ(completed[0].second, Fetch(kChunk));
  EXPECT_EQ(completed[2].second, 3 * Fetch(kChunk));
  EXPECT_EQ(completed[3].second, 4 * Fetch(kChunk) + shape_.skip);
}

TEST_F(AioOnDisk, TwoSpindlesReadAtTheSameTime) {
  UseKernel(first_, 0, "raid1-2006");
  const auto completed = Complete({0, 1});
  ASSERT_EQ(completed.size(), 2U);
  EXPECT_EQ(completed[0].second, Fetch(kChunk));
  EXPECT_EQ(completed[1].second, Fetch(kChunk) + shape_.skip);
}

}  // namespace
}  // namespace pollux::sim
