// Transfers by direct reads on the real kernel, by every coordination, for every awkward size.
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "core/sys/linux_kernel.h"
#include "tests/aio/real_aio.h"

namespace pollux {
namespace {

struct RealCase {
  const char* name;
  CoordinationKind coordination;
  bool epoll;
  Way way;
};

class RealTransferTest : public ::testing::TestWithParam<RealCase> {
 protected:
  // `clients` transfers of [offset, offset + length) through `chunks` chunks.
  void ExpectExact(const PatternFile& file, uint16_t seed, uint64_t chunk_bytes,
                   const std::vector<std::pair<uint64_t, uint64_t>>& ranges, uint32_t chunks) {
    RealAio aio(kernel_, GetParam().coordination, GetParam().epoll, GetParam().way, chunk_bytes,
                chunks);
    ASSERT_TRUE(aio.usable());
    {
      const auto open = file.Open(kernel_);
      std::vector<std::unique_ptr<Client>> clients;
      for (const auto& [offset, length] : ranges) {
        clients.push_back(std::make_unique<Client>(kernel_, aio, open, offset, length));
      }
      ASSERT_TRUE(RunToTheEnd(aio, clients));
      for (size_t i = 0; i < clients.size(); ++i) {
        EXPECT_EQ(clients[i]->error(), 0);
        EXPECT_TRUE(clients[i]->Verify(seed))
            << "chunk " << chunk_bytes << ", file " << file.size() << ", range " << ranges[i].first
            << "+" << ranges[i].second;
      }
    }
    ExpectNothingLeft(aio.stats());
    EXPECT_LE(aio.stats().chunk_bytes_max, chunk_bytes * chunks);
    EXPECT_EQ(aio.stats().fallbacks, 0u);
  }

  const TempDir dir_;
  LinuxKernel kernel_;
};

TEST_P(RealTransferTest, EverySizeArrivesExactly) {
  uint16_t seed = 1;
  for (const uint64_t chunk : {4_KiB, 8_KiB, 512_KiB}) {
    for (const uint64_t size : {uint64_t{0}, uint64_t{1}, 4_KiB - 1, 4_KiB, 4_KiB + 1, chunk - 1,
                                chunk, chunk + 1, 5 * chunk + 1}) {
      const PatternFile file(dir_, size, ++seed);
      ExpectExact(file, seed, chunk, {{0, size}}, 4);
    }
  }
}

TEST_P(RealTransferTest, RangesOffEveryBoundaryArriveExactly) {
  for (const uint64_t chunk : {4_KiB, 8_KiB, 512_KiB}) {
    const PatternFile file(dir_, 3 * chunk + 17, 7);
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const uint64_t from : {uint64_t{0}, uint64_t{1}, uint64_t{511}, uint64_t{4095}, chunk - 1,
                                chunk, chunk + 1, 3 * chunk, 3 * chunk + 16}) {
      const uint64_t left = file.size() - from;
      for (const uint64_t length : {uint64_t{1}, uint64_t{513}, chunk + 1, left}) {
        ranges.emplace_back(from, std::min(length, left));
      }
    }
    ExpectExact(file, 7, chunk, ranges, 16);
  }
}

TEST_P(RealTransferTest, OneChunkServesManyTransfers) {
  const PatternFile file(dir_, 8 * 64_KiB + 5, 3);
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (uint64_t i = 0; i < 12; ++i) ranges.emplace_back(i * 40'000, file.size() - i * 40'000);
  ExpectExact(file, 3, 64_KiB, ranges, 1);
}

TEST_P(RealTransferTest, ClientsThatResetLeaveNothingBehind) {
  const PatternFile file(dir_, 64 * 64_KiB, 4);
  const size_t descriptors = OpenDescriptors();
  {
    RealAio aio(kernel_, GetParam().coordination, GetParam().epoll, GetParam().way, 64_KiB, 8);
    ASSERT_TRUE(aio.usable());
    {
      const auto open = file.Open(kernel_);
      std::vector<std::unique_ptr<Client>> clients;
      for (int i = 0; i < 8; ++i) {
        clients.push_back(std::make_unique<Client>(kernel_, aio, open, 0, file.size()));
      }
      for (int i = 0; i < 8; i += 2) {
        ASSERT_TRUE(aio.loop().RunOnce());
        clients[static_cast<size_t>(i)]->Reset();
      }
      ASSERT_TRUE(RunToTheEnd(aio, clients));
      for (size_t i = 0; i < clients.size(); ++i) {
        if (i % 2 == 0) {
          EXPECT_TRUE(clients[i]->error() == EPIPE || clients[i]->error() == ECONNRESET)
              << clients[i]->error();
        } else {
          EXPECT_EQ(clients[i]->error(), 0);
          EXPECT_TRUE(clients[i]->Verify(4));
        }
      }
    }
    ExpectNothingLeft(aio.stats());
  }
  EXPECT_EQ(OpenDescriptors(), descriptors);
}

INSTANTIATE_TEST_SUITE_P(
    Kernels, RealTransferTest,
    ::testing::Values(RealCase{"EventfdEpollPunch", CoordinationKind::kEventfd, true, kPunch},
                      RealCase{"EventfdPollCopy", CoordinationKind::kEventfd, false, kCopy},
                      RealCase{"MaskedEpollCopy", CoordinationKind::kMasked, true, kCopy},
                      RealCase{"MaskedPollPunch", CoordinationKind::kMasked, false, kPunch},
                      RealCase{"MaskedEpollFresh", CoordinationKind::kMasked, true, kFresh},
                      RealCase{"EventfdEpollFresh", CoordinationKind::kEventfd, true, kFresh}),
    [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace pollux
