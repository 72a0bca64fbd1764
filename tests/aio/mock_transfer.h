// A transfer whose socket and file are mere numbers of a mocked kernel: for tests that say which
// calls a backend makes, and what each errno of theirs leads to.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <memory>

#include "core/aio/backend.h"
#include "fakes/mock_kernel.h"
#include "tests/aio/loopback.h"

namespace pollux {

class MockTransferTest : public ::testing::Test {
 protected:
  static constexpr int kSocket = 71;
  static constexpr int kFile = 72;

  // Both descriptors must be closed, each exactly once a request. Call it outside of InSequence.
  TransferRequest Request(uint64_t offset, uint64_t length, TransferWaiter* waiter = nullptr) {
    EXPECT_CALL(kernel_, close(kSocket)).RetiresOnSaturation();
    EXPECT_CALL(kernel_, close(kFile)).RetiresOnSaturation();
    auto file = std::make_shared<OpenFile>();
    file->fd = Fd(kernel_, kFile);
    file->mode = S_IFREG | 0644;
    file->key.size = offset + length;
    return {std::make_shared<Fd>(kernel_, kSocket), file, offset, length, waiter};
  }

  // pread of `asked` bytes at `offset` delivers `given` bytes of the pattern.
  void ExpectPread(uint64_t offset, size_t asked, size_t given) {
    EXPECT_CALL(kernel_, pread(kFile, ::testing::_, asked, static_cast<off_t>(offset)))
        .WillOnce([=](int, void* out, size_t, off_t) -> Result<size_t> {
          std::memcpy(out, Pattern(offset, given).data(), given);
          return given;
        });
  }
  // send of exactly the `offered` bytes of the pattern at `offset`, of which `taken` are accepted.
  void ExpectSend(uint64_t offset, size_t offered, size_t taken) {
    EXPECT_CALL(kernel_, send(kSocket, ::testing::_, offered, MSG_NOSIGNAL))
        .WillOnce([=](int, const void* bytes, size_t, int) -> Result<size_t> {
          EXPECT_TRUE(HoldsPattern({static_cast<const char*>(bytes), offered}, offset));
          return taken;
        });
  }

  ::testing::StrictMock<MockKernel> kernel_;
  AioStats stats_;
};

// Matchers for what Pump returns.
MATCHER_P(Is, outcome, "") { return arg.has_value() && *arg == outcome; }
MATCHER_P2(FailsWith, code, operation, "") {
  if (arg.has_value()) return false;
  *result_listener << ToString(arg.error());
  return arg.error().code == code && std::string(arg.error().operation) == operation;
}

// The name of a parameterised test's instance: the errno's.
struct ErrnoNamer {
  std::string operator()(const ::testing::TestParamInfo<int>& info) const {
    return ErrnoName(info.param);
  }
};

}  // namespace pollux
