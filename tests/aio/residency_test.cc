// Goal: what Residency makes of each answer, within its bound on calls (seam mocked), and that the
// answers are true on this machine's kernel, for a caller without privileges too.
#include "core/aio/residency.h"

#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/base/units.h"
#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/loopback.h"
#include "tests/base/missing.h"

namespace pollux {
namespace {

using ::testing::_;
using ::testing::AtMost;
using ::testing::InSequence;
using ::testing::NiceMock;
using ::testing::Return;
using ::testing::StrictMock;

constexpr int kFile = 72;
constexpr uint64_t kPage = 4096;

class ResidencyTest : public ::testing::Test {
 protected:
  ResidencyTest() {
    EXPECT_CALL(kernel_, close(kFile));
    file_.fd = Fd(kernel_, kFile);
  }

  uint64_t Pages() const { return static_cast<uint64_t>(cached_.size()); }

  // cachestat and preadv2 answer from `cached_`, a flag for each page.
  void ModelCache(std::vector<bool> cached) {
    cached_ = std::move(cached);
    ON_CALL(kernel_, cachestat).WillByDefault([this](int, const CachestatRange& range, auto* out) {
      ++calls_;
      *out = {};
      const uint64_t last = (range.off + range.len - 1) / kPage;
      for (uint64_t p = range.off / kPage; p <= last && p < Pages(); ++p)
        out->nr_cache += cached_[p];
      return Status();
    });
    ON_CALL(kernel_, preadv2)
        .WillByDefault([this](int, const iovec* iov, int n, off_t offset, int flags) {
          ++calls_;
          EXPECT_EQ(flags, RWF_NOWAIT);
          EXPECT_EQ(n, 1);
          EXPECT_EQ(iov->iov_len, 1u);
          const uint64_t page = static_cast<uint64_t>(offset) / kPage;
          if (page >= Pages()) return Result<size_t>(0);
          return cached_[page] && page < filling_from_ ? Result<size_t>(1)
                                                       : Result<size_t>(Err(EAGAIN, "preadv2"));
        });
    EXPECT_CALL(kernel_, cachestat).Times(AtMost(1000));
    EXPECT_CALL(kernel_, preadv2).Times(AtMost(1000));
  }
  void RefuseCachestat(int code) {
    ON_CALL(kernel_, cachestat).WillByDefault([this, code](auto...) {
      ++calls_;
      return Status(Err(code, "cachestat"));
    });
  }

  // How many bytes from `offset` the model has without a gap.
  uint64_t TruePrefix(uint64_t offset, uint64_t length) const {
    uint64_t at = offset;
    while (at < offset + length && cached_[at / kPage]) at = (at / kPage + 1) * kPage;
    return std::min(at, offset + length) - offset;
  }

  StrictMock<MockKernel> kernel_;
  OpenFile file_;
  Residency residency_{kernel_};
  std::vector<bool> cached_;
  uint64_t filling_from_ = ~uint64_t{0};  // pages from here on are resident, but still under read
  int calls_ = 0;
};

TEST_F(ResidencyTest, EmptyRangeNeedsNoCall) {
  EXPECT_EQ(residency_.CachedPrefix(file_, 100, 0), 0u);
}

TEST_F(ResidencyTest, WholeRangeCachedIsCountedAndConfirmed) {
  ModelCache(std::vector<bool>(256, true));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 256 * kPage), 256 * kPage);
  EXPECT_EQ(calls_, 2);
}

// cachestat counts a page from the moment it is to be read.
TEST_F(ResidencyTest, PagesStillUnderReadAreNotCached) {
  ModelCache(std::vector<bool>(256, true));
  filling_from_ = 100;
  const uint64_t seen = residency_.CachedPrefix(file_, 0, 256 * kPage);
  EXPECT_LE(seen, 100 * kPage);
  EXPECT_GE(seen, 68 * kPage);  // an eighth of the range less
  EXPECT_LE(calls_, Residency::kCallsMax);
  filling_from_ = 0;
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 256 * kPage), 0u);
}

TEST_F(ResidencyTest, WhatCannotBeConfirmedIsBelieved) {
  ModelCache(std::vector<bool>(256, true));
  ON_CALL(kernel_, preadv2).WillByDefault(Return(Err(EOPNOTSUPP, "preadv2")));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 256 * kPage), 256 * kPage);
}

TEST_F(ResidencyTest, NothingCachedTakesOneCall) {
  ModelCache(std::vector<bool>(256, false));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 256 * kPage), 0u);
  EXPECT_EQ(calls_, 1);
}

TEST_F(ResidencyTest, RangeOffPageBoundariesCountsThePagesItTouches) {
  ModelCache(std::vector<bool>(4, true));
  EXPECT_EQ(residency_.CachedPrefix(file_, 4095, 4098), 4098u);  // pages 0, 1 and 2
  EXPECT_EQ(residency_.CachedPrefix(file_, 1, 1), 1u);
  EXPECT_EQ(calls_, 4);
}

// Every place of the first gap, for ranges that start on and off a page: never more than is there,
// never less by more than a 1/256 of the range and a page, never more calls than allowed.
TEST_F(ResidencyTest, PrefixIsFoundByBisection) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{1}, uint64_t{4095}, 3 * kPage + 7}) {
    for (size_t gap = 0; gap < 256; ++gap) {
      std::vector<bool> cached(256, true);
      cached[gap] = false;
      ModelCache(cached);
      calls_ = 0;
      const uint64_t length = 256 * kPage - offset;
      const uint64_t truth = TruePrefix(offset, length);
      const uint64_t seen = residency_.CachedPrefix(file_, offset, length);
      ASSERT_LE(seen, truth) << offset << " " << gap;
      ASSERT_GE(seen + length / 256 + kPage, truth) << offset << " " << gap;
      ASSERT_LE(calls_, Residency::kCallsMax);
    }
  }
}

TEST_F(ResidencyTest, CachedTailBehindAGapCountsForNothing) {
  std::vector<bool> cached(256, true);
  cached[0] = false;
  ModelCache(cached);
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 256 * kPage), 0u);
}

TEST_F(ResidencyTest, CachestatThatFailsHalfWayLeavesWhatIsKnown) {
  InSequence s;
  EXPECT_CALL(kernel_, cachestat).WillOnce([](int, const CachestatRange&, Cachestat* out) {
    out->nr_cache = 3;
    return Status();
  });
  EXPECT_CALL(kernel_, cachestat).WillOnce([](int, const CachestatRange& range, Cachestat* out) {
    out->nr_cache = range.len / kPage;
    return Status();
  });
  EXPECT_CALL(kernel_, cachestat).WillOnce(Return(Err(ENOMEM, "cachestat")));
  EXPECT_CALL(kernel_, preadv2(kFile, _, 1, 2 * kPage - 1, RWF_NOWAIT)).WillOnce(Return(1));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 4 * kPage), 2 * kPage);
}

TEST_F(ResidencyTest, MissingCachestatIsAskedOnceInALifetime) {
  EXPECT_CALL(kernel_, cachestat).WillOnce(Return(Err(ENOSYS, "cachestat")));
  EXPECT_CALL(kernel_, preadv2).Times(2).WillRepeatedly(Return(Err(EAGAIN, "preadv2")));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, kPage), 0u);
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, kPage), 0u);
}

class CachestatErrnoTest : public ResidencyTest, public ::testing::WithParamInterface<int> {};

// About this file only: the next one may be ours.
TEST_P(CachestatErrnoTest, IsAnsweredByProbesAndAskedAgain) {
  EXPECT_CALL(kernel_, cachestat).Times(2).WillRepeatedly(Return(Err(GetParam(), "cachestat")));
  EXPECT_CALL(kernel_, preadv2(kFile, _, 1, 0, RWF_NOWAIT)).Times(2).WillRepeatedly(Return(1));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 1), 1u);
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 1), 1u);
}
INSTANTIATE_TEST_SUITE_P(CachestatManPage, CachestatErrnoTest,
                         ::testing::Values(EPERM, EOPNOTSUPP, EINVAL),
                         [](const auto& p) { return ErrnoName(p.param); });

class ProbeErrnoTest : public ResidencyTest, public ::testing::WithParamInterface<int> {};

TEST_P(ProbeErrnoTest, CountsAsColdAfterOneProbe) {
  EXPECT_CALL(kernel_, cachestat).WillOnce(Return(Err(EPERM, "cachestat")));
  EXPECT_CALL(kernel_, preadv2).WillOnce(Return(Err(GetParam(), "preadv2")));
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 1_MiB), 0u);
}
INSTANTIATE_TEST_SUITE_P(Preadv2ManPage, ProbeErrnoTest,
                         ::testing::Values(EAGAIN, EOPNOTSUPP, EINTR, EIO, ENOSYS, EINVAL),
                         [](const auto& p) { return ErrnoName(p.param); });

TEST_F(ResidencyTest, ProbesOfACachedRangeReportAllOfIt) {
  ModelCache(std::vector<bool>(1024, true));
  RefuseCachestat(EPERM);
  for (const uint64_t length : {uint64_t{1}, kPage, kPage + 1, 5 * kPage, 1000 * kPage + 3}) {
    calls_ = 0;
    EXPECT_EQ(residency_.CachedPrefix(file_, 77, length), length);
    EXPECT_LE(calls_, Residency::kCallsMax);
  }
}

TEST_F(ResidencyTest, ProbesStopAtTheFirstMiss) {
  for (size_t cached_to = 0; cached_to < 256; ++cached_to) {
    std::vector<bool> cached(256, false);
    std::fill_n(cached.begin(), cached_to, true);
    ModelCache(cached);
    RefuseCachestat(EPERM);
    const uint64_t seen = residency_.CachedPrefix(file_, 0, 256 * kPage);
    ASSERT_LE(seen, cached_to * kPage);
    ASSERT_GE(seen + 32 * kPage, cached_to * kPage);  // an eighth of the range
  }
}

TEST_F(ResidencyTest, ProbePastTheEndOfTheFileIsNotCached) {
  ModelCache(std::vector<bool>(1, true));
  RefuseCachestat(EPERM);
  EXPECT_EQ(residency_.CachedPrefix(file_, 0, 2 * kPage), kPage);
}

// --- On the running kernel.

class ResidencyOnDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!file_.OnDisk()) SKIP_FOR_WANT_OF("a test directory that is not on tmpfs or overlayfs");
    file_.MakeCold();
    open_ = file_.Open(kernel_);
  }

  static constexpr uint64_t kSize = 8_MiB;
  LinuxKernel kernel_;
  TempDir dir_;
  PatternFile file_{dir_, kSize};
  std::shared_ptr<OpenFile> open_;
  Residency residency_{kernel_};
};

TEST_F(ResidencyOnDiskTest, ColdFileIsCold) {
  EXPECT_EQ(residency_.CachedPrefix(*open_, 0, kSize), 0u);
}

TEST_F(ResidencyOnDiskTest, AskingDoesNotWarm) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(residency_.CachedPrefix(*open_, 0, kSize), 0u);
}

TEST_F(ResidencyOnDiskTest, WarmFileIsCachedToItsLastByte) {
  file_.MakeWarm(0, kSize);
  EXPECT_EQ(residency_.CachedPrefix(*open_, 0, kSize), kSize);
  EXPECT_EQ(residency_.CachedPrefix(*open_, 12345, 1_MiB), 1_MiB);
  EXPECT_EQ(residency_.CachedPrefix(*open_, kSize - 1, 1), 1u);
}

TEST_F(ResidencyOnDiskTest, WarmBeginningIsAPrefix) {
  file_.MakeWarm(0, 2_MiB);
  const uint64_t seen = residency_.CachedPrefix(*open_, 0, kSize);
  EXPECT_LE(seen, 2_MiB);
  EXPECT_GE(seen, 2_MiB - kSize / 256 - kPage);
  EXPECT_EQ(residency_.CachedPrefix(*open_, 2_MiB, 1_MiB), 0u);
}

TEST_F(ResidencyOnDiskTest, EvictedFileIsColdAgain) {
  file_.MakeWarm(0, kSize);
  file_.MakeCold();
  EXPECT_EQ(residency_.CachedPrefix(*open_, 0, kSize), 0u);
}

// Runs `query` in a child process as nobody and returns what it returned.
template <typename Query>
uint64_t AsNobody(Query query) {
  int fds[2];
  EXPECT_EQ(::pipe(fds), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    uint64_t value = ~uint64_t{0};
    if (::setgroups(0, nullptr) == 0 && ::setgid(65534) == 0 && ::setuid(65534) == 0) {
      value = query();
    }
    ::_exit(::write(fds[1], &value, sizeof value) == sizeof value ? 0 : 1);
  }
  uint64_t value = ~uint64_t{0};
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(::read(fds[0], &value, sizeof value), static_cast<ssize_t>(sizeof value));
  ::close(fds[0]);
  ::close(fds[1]);
  return value;
}

class ResidencyAsNobodyTest : public ResidencyOnDiskTest {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) SKIP_FOR_WANT_OF("root, who alone can become somebody else");
    ResidencyOnDiskTest::SetUp();
  }
};

TEST_F(ResidencyAsNobodyTest, WarmFileOfAnotherOwnerIsSeenToBeCached) {
  file_.MakeWarm(0, kSize);
  EXPECT_EQ(AsNobody([&] { return residency_.CachedPrefix(*open_, 0, kSize); }), kSize);
}

// No upper bound: a look at a missing page starts read-ahead, and a disk that answers before the
// look is over makes it a hit (residency.h). That a miss ends the search is tested with a model.
TEST_F(ResidencyAsNobodyTest, WarmBeginningOfAnotherOwnersFileIsSeen) {
  file_.MakeWarm(0, kSize / 2);
  const uint64_t seen = AsNobody([&] { return residency_.CachedPrefix(*open_, 0, kSize); });
  EXPECT_GE(seen, kSize / 4);
}

}  // namespace
}  // namespace pollux
