// A direct read of pages that are dirty in the page cache has to write them back first, inside
// io_submit. On the real kernel, with a watch on whether the loop's thread sleeps there.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <optional>
#include <string>

#include "core/aio/aio_queue.h"
#include "core/aio/chunk.h"
#include "core/sys/linux_kernel.h"
#include "fakes/sleep_watch_kernel.h"
#include "tests/aio/world.h"
#include "tests/base/missing.h"

namespace pollux {
namespace {

class DirtyPagesTest : public ::testing::Test, private ReadOwner {
 protected:
  static constexpr uint64_t kBytes = 1_MiB;

  // Reads the whole file through the queue, as one whose extents are known.
  void Read(int direct_fd) {
    auto queue = AioQueue::Create(kernel_, world_.loop(), world_.workers(), 8, world_.stats());
    ASSERT_TRUE(queue);
    (*queue)->set_owner(this);
    (*queue)->Enqueue(
        {.chunk = &chunk_, .fd = direct_fd, .buffer = buffer_.get(), .length = kBytes});
    ASSERT_TRUE(world_.RunUntil([this] { return result_.has_value(); }));
    ASSERT_TRUE(world_.RunUntilIdle());
    world_.workers().Stop();
  }
  void OnRead(Chunk&, Result<size_t> result) override { result_ = result; }
  bool OnWouldBlock(Chunk&, int) override { return true; }

  LinuxKernel linux_;
  SleepWatchKernel kernel_{linux_};
  AioWorld world_{kernel_, CoordinationKind::kEventfd};
  const TempDir dir_;
  const PatternFile file_{dir_, kBytes};
  Chunk chunk_;
  const std::unique_ptr<char, decltype(&std::free)> buffer_{
      static_cast<char*>(std::aligned_alloc(4096, kBytes)), &std::free};
  std::optional<Result<size_t>> result_;
};

TEST_F(DirtyPagesTest, AreWrittenBackByAWorkerAndNotByTheLoop) {
  if (!file_.OnDisk()) SKIP_FOR_WANT_OF("a test directory on a disk to write back to");
  const Fd direct(linux_, ::open(file_.path().c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC));
  const Fd writer(linux_, ::open(file_.path().c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(direct.valid() && writer.valid());
  const std::string bytes = Pattern(0, kBytes, 9);
  ASSERT_EQ(::pwrite(writer.get(), bytes.data(), bytes.size(), 0),
            static_cast<ssize_t>(bytes.size()));
  Read(direct.get());
  ASSERT_TRUE(*result_) << ToString(result_->error());
  EXPECT_EQ(**result_, kBytes);
  EXPECT_TRUE(HoldsPattern({buffer_.get(), kBytes}, 0, 9));
  ASSERT_EQ(world_.stats().reads_left_to_workers, 1u) << "they were clean: nothing was tested";
  EXPECT_EQ(kernel_.records().at("io_submit").slept, 0u);
  EXPECT_EQ(kernel_.records().at("io_submit").calls, 1u);
}

}  // namespace
}  // namespace pollux
