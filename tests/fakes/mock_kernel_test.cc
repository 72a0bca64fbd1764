// The two test doubles of the seam that hold no model: the mock and the forwarding base.
#include "fakes/mock_kernel.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <mutex>

#include "core/sys/linux_kernel.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {
namespace {

using ::testing::NiceMock;
using ::testing::Return;

TEST(MockKernelTest, DelegatesEveryCallByDefault) {
  LinuxKernel linux_kernel;
  NiceMock<MockKernel> kernel;
  kernel.DelegateTo(linux_kernel);

  auto mutex = kernel.mutex_create();
  auto cond = kernel.condvar_create();
  auto word = kernel.word_create(0);
  auto thread = kernel.thread_create("delegate", [&] {
    std::lock_guard lock(*mutex);
    word->store(7);
    cond->signal();
  });
  ASSERT_TRUE(thread);
  {
    std::lock_guard lock(*mutex);
    while (word->load() == 0) cond->wait(*mutex);
  }
  kernel.thread_join(*thread);
  EXPECT_EQ(word->load(), 7u);
  EXPECT_EQ(kernel.getpid(), linux_kernel.getpid());
}

TEST(MockKernelTest, OneCallOverriddenLeavesTheOthersReal) {
  LinuxKernel linux_kernel;
  NiceMock<MockKernel> kernel;
  kernel.DelegateTo(linux_kernel);
  ON_CALL(kernel, io_setup).WillByDefault(Return(Err(EAGAIN, "io_setup")));

  EXPECT_EQ(kernel.io_setup(1).error().code, EAGAIN);
  auto fd = kernel.eventfd(3, 0);
  ASSERT_TRUE(fd);
  uint64_t count = 0;
  EXPECT_EQ(*kernel.read(*fd, &count, sizeof count), sizeof count);
  EXPECT_EQ(count, 3u);
  EXPECT_TRUE(kernel.close(*fd));
}

class NoDescriptors final : public ForwardingKernel {
 public:
  using ForwardingKernel::ForwardingKernel;
  Result<int> eventfd(unsigned, int) override { return Err(EMFILE, "eventfd"); }
};

TEST(ForwardingKernelTest, ForwardsWhatIsNotOverridden) {
  LinuxKernel linux_kernel;
  NoDescriptors kernel(linux_kernel);
  EXPECT_EQ(kernel.eventfd(0, 0).error().code, EMFILE);
  EXPECT_EQ(kernel.getpid(), linux_kernel.getpid());
  EXPECT_EQ(kernel.close(-1).error().code, EBADF);
}

}  // namespace
}  // namespace pollux
