// Where sysfs keeps the read-ahead of a device, and what counts as not knowing it.
#include "core/aio/read_ahead.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/sysmacros.h>

#include <cstring>
#include <map>
#include <string>

#include "fakes/mock_kernel.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::NiceMock;
using ::testing::Return;

constexpr int kRoot = 9;

// sysfs as a map from path to contents.
class ReadAheadTest : public ::testing::Test {
 protected:
  ReadAheadTest() {
    ON_CALL(kernel_, fstat).WillByDefault([](int, struct stat* out) {
      *out = {};
      out->st_dev = gnu_dev_makedev(259, 3);
      return Status();
    });
    ON_CALL(kernel_, openat)
        .WillByDefault([this](int, const char* path, int, mode_t) -> Result<int> {
          opened_ = path;
          if (!files_.contains(path)) return Err(ENOENT, "openat");
          return 77;
        });
    ON_CALL(kernel_, read).WillByDefault([this](int, void* out, size_t size) -> Result<size_t> {
      const std::string& text = files_.at(opened_);
      std::memcpy(out, text.data(), std::min(size, text.size()));
      return std::min(size, text.size());
    });
  }
  uint64_t Ask() { return DeviceReadAhead(kernel_, kRoot); }

  NiceMock<MockKernel> kernel_;
  std::map<std::string, std::string> files_;
  std::string opened_;
};

TEST_F(ReadAheadTest, IsInKibibytesAndComesInBytes) {
  files_["/sys/class/bdi/259:3/read_ahead_kb"] = "8192\n";
  EXPECT_CALL(kernel_, close(77));
  EXPECT_EQ(Ask(), 8192u * 1024);
}

TEST_F(ReadAheadTest, OfADiskWithoutABdiComesFromItsQueue) {
  files_["/sys/dev/block/259:3/queue/read_ahead_kb"] = "128\n";
  EXPECT_EQ(Ask(), 128u * 1024);
}

TEST_F(ReadAheadTest, OfAPartitionIsItsDisks) {
  files_["/sys/dev/block/259:3/../queue/read_ahead_kb"] = "4096\n";
  EXPECT_EQ(Ask(), 4096u * 1024);
}

TEST_F(ReadAheadTest, WithoutSysfsIsNotKnown) { EXPECT_EQ(Ask(), 0u); }

TEST_F(ReadAheadTest, OfWhatCannotBeLookedAtIsNotKnown) {
  files_["/sys/class/bdi/259:3/read_ahead_kb"] = "8192\n";
  EXPECT_CALL(kernel_, fstat).WillOnce(Return(Err(EBADF, "fstat")));
  EXPECT_CALL(kernel_, openat).Times(0);
  EXPECT_EQ(Ask(), 0u);
}

TEST_F(ReadAheadTest, ThatIsNoNumberIsLookedForElsewhere) {
  files_["/sys/class/bdi/259:3/read_ahead_kb"] = "plenty\n";
  EXPECT_EQ(Ask(), 0u);
  files_["/sys/dev/block/259:3/queue/read_ahead_kb"] = "256\n";
  EXPECT_EQ(Ask(), 256u * 1024);
}

TEST_F(ReadAheadTest, ThatCannotBeReadIsLookedForElsewhere) {
  files_["/sys/class/bdi/259:3/read_ahead_kb"] = "8192\n";
  EXPECT_CALL(kernel_, read).WillOnce(Return(Err(EIO, "read")));
  EXPECT_EQ(Ask(), 0u);
}

}  // namespace
}  // namespace pollux
