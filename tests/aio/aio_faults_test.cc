// Transfers by direct reads on a kernel of which one call after the other fails. Whatever it is: no
// wrong byte, nothing left behind, and an end, of each transfer, good or bad.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/sys/linux_kernel.h"
#include "fakes/fault_kernel.h"
#include "tests/aio/real_aio.h"

namespace pollux {
namespace {

struct FaultCase {
  const char* rule;  // without its number
  Way way;
  CoordinationKind coordination;
};

class FaultSweepTest : public ::testing::TestWithParam<FaultCase> {};

TEST_P(FaultSweepTest, OfEachCallOnceLeavesEveryByteRight) {
  LinuxKernel linux;
  const TempDir dir;
  const PatternFile file(dir, 5 * 64_KiB + 123, 6);
  const size_t descriptors = OpenDescriptors();
  for (uint64_t n = 1;; ++n) {
    const std::string number = std::to_string(n);
    const std::string rule = std::string(GetParam().rule) + ":first=" + number + ":last=" + number;
    SCOPED_TRACE(rule);
    auto rules = ParseFaultRules(rule);
    ASSERT_TRUE(rules) << rules.error();
    const FaultCall call = (*rules)[0].call;
    FaultKernel kernel(linux, *rules);
    {
      RealAio aio(kernel, GetParam().coordination, true, GetParam().way, 64_KiB, 3);
      if (aio.usable()) {
        {
          const auto open = file.Open(kernel);
          std::vector<std::unique_ptr<Client>> clients;
          for (uint64_t i = 0; i < 2; ++i) {
            clients.push_back(
                std::make_unique<Client>(kernel, aio, open, i * 70'000, file.size() - i * 70'000));
          }
          ASSERT_TRUE(RunToTheEnd(aio, clients));
          for (auto& client : clients) EXPECT_TRUE(client->Verify(6));
        }
        ExpectNothingLeft(aio.stats());
      }
    }
    EXPECT_EQ(OpenDescriptors(), descriptors);
    if (kernel.struck(call) == 0) break;
    ASSERT_LT(n, 1000u);
    if (HasFailure()) break;
  }
}

constexpr CoordinationKind kE = CoordinationKind::kEventfd;
constexpr CoordinationKind kM = CoordinationKind::kMasked;
INSTANTIATE_TEST_SUITE_P(
    Calls, FaultSweepTest,
    ::testing::Values(
        FaultCase{"io_submit:EAGAIN", kPunch, kE}, FaultCase{"io_submit:EAGAIN", kCopy, kM},
        FaultCase{"io_submit:ENOMEM", kCopy, kE}, FaultCase{"io_submit:EINVAL", kPunch, kM},
        FaultCase{"io_submit:EBADF", kCopy, kE}, FaultCase{"io_submit:EINTR", kCopy, kE},
        FaultCase{"io_submit:short=1", kPunch, kM}, FaultCase{"aio_read:EIO", kPunch, kE},
        FaultCase{"aio_read:EIO", kCopy, kM}, FaultCase{"aio_read:EFAULT", kPunch, kE},
        FaultCase{"aio_read:EINVAL", kCopy, kE}, FaultCase{"aio_read:EAGAIN", kFresh, kM},
        FaultCase{"aio_read:short=4096", kPunch, kE}, FaultCase{"aio_read:short=8192", kCopy, kM},
        FaultCase{"sendfile:EAGAIN", kPunch, kE}, FaultCase{"sendfile:EINTR", kFresh, kE},
        FaultCase{"sendfile:EIO", kPunch, kE}, FaultCase{"sendfile:ECONNRESET", kFresh, kE},
        FaultCase{"sendfile:short=1", kPunch, kM}, FaultCase{"send:EAGAIN", kCopy, kE},
        FaultCase{"send:EINTR", kCopy, kE}, FaultCase{"send:EPIPE", kCopy, kE},
        FaultCase{"send:ENOBUFS", kCopy, kM}, FaultCase{"send:short=1", kCopy, kE},
        FaultCase{"fallocate:EINTR", kPunch, kE}, FaultCase{"fallocate:ENOMEM", kPunch, kE},
        FaultCase{"fallocate:EOPNOTSUPP", kPunch, kM}, FaultCase{"openat:EINVAL", kPunch, kE},
        FaultCase{"openat:EMFILE", kCopy, kE}, FaultCase{"openat:EINTR", kCopy, kE},
        FaultCase{"statx:ENOSYS", kCopy, kE}, FaultCase{"memfd_create:EMFILE", kFresh, kE},
        FaultCase{"ftruncate:EINTR", kFresh, kE}, FaultCase{"ftruncate:ENOMEM", kFresh, kE},
        FaultCase{"mmap:ENOMEM", kFresh, kE}, FaultCase{"madvise:EINVAL", kFresh, kE},
        FaultCase{"madvise:ENOMEM", kFresh, kM}, FaultCase{"thread_create:EAGAIN", kCopy, kM},
        FaultCase{"thread_create:EAGAIN", kPunch, kE}, FaultCase{"epoll_pwait:EINTR", kCopy, kE},
        FaultCase{"epoll_pwait:EINTR", kPunch, kM}, FaultCase{"io_getevents:EINTR", kCopy, kE},
        FaultCase{"io_getevents:short=1", kCopy, kE},
        FaultCase{"io_pgetevents:EINTR", kPunch, kM}));

}  // namespace
}  // namespace pollux
