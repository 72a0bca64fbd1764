// Owners of kernel objects: each cleans up once, whatever the clean-up says.
#include "core/sys/raii.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <utility>

#include "fakes/mock_kernel.h"

namespace pollux {
namespace {

using ::testing::InSequence;
using ::testing::Return;
using ::testing::StrictMock;

class RaiiTest : public ::testing::Test {
 protected:
  StrictMock<MockKernel> kernel_;
};

TEST_F(RaiiTest, FdIsClosedOnceWhenItsOwnerGoes) {
  EXPECT_CALL(kernel_, close(7)).WillOnce(Return(Status()));
  const Fd fd(kernel_, 7);
  EXPECT_EQ(fd.get(), 7);
  EXPECT_TRUE(fd.valid());
}

// close(2): "Linux kernel always releases the file descriptor early", EINTR or not. A second close
// would hit whoever got the number next.
TEST_F(RaiiTest, CloseIsNotRetriedOnEintrOrEio) {
  InSequence order;
  EXPECT_CALL(kernel_, close(7)).WillOnce(Return(Err(EINTR, "close")));
  EXPECT_CALL(kernel_, close(8)).WillOnce(Return(Err(EIO, "close")));
  Fd(kernel_, 7).Reset();
  Fd(kernel_, 8).Reset();
}

TEST_F(RaiiTest, EmptyFdClosesNothing) {
  Fd fd;
  EXPECT_FALSE(fd.valid());
  fd.Reset();
}

TEST_F(RaiiTest, ResetFdIsEmptyAndStaysSo) {
  EXPECT_CALL(kernel_, close(0)).WillOnce(Return(Status()));  // 0 is a descriptor like any other
  Fd fd(kernel_, 0);
  fd.Reset();
  fd.Reset();
  EXPECT_FALSE(fd.valid());
}

TEST_F(RaiiTest, MovedFromFdClosesNothing) {
  EXPECT_CALL(kernel_, close(7)).WillOnce(Return(Status()));
  Fd from(kernel_, 7);
  const Fd to(std::move(from));
  EXPECT_EQ(to.get(), 7);
  EXPECT_FALSE(from.valid());  // NOLINT(bugprone-use-after-move): what this test is about
}

TEST_F(RaiiTest, FdAssignedToClosesWhatItHeldFirst) {
  InSequence order;
  EXPECT_CALL(kernel_, close(7)).WillOnce(Return(Status()));
  EXPECT_CALL(kernel_, close(8)).WillOnce(Return(Status()));
  Fd fd(kernel_, 7);
  fd = Fd(kernel_, 8);
  EXPECT_EQ(fd.get(), 8);
}

TEST_F(RaiiTest, OwnFdTakesADescriptorOrPassesTheErrorOn) {
  EXPECT_CALL(kernel_, close(5)).WillOnce(Return(Status()));
  EXPECT_EQ(OwnFd(kernel_, Result<int>(5))->get(), 5);
  Result<Fd> refused = OwnFd(kernel_, Err(EMFILE, "eventfd"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, EMFILE);
  EXPECT_STREQ(refused.error().operation, "eventfd");
}

TEST_F(RaiiTest, MappingIsUnmappedOnceWithItsLength) {
  char page[1];
  EXPECT_CALL(kernel_, munmap(page, 4096)).WillOnce(Return(Status()));
  Mapping mapping(kernel_, page, 4096);
  Mapping moved(std::move(mapping));
  EXPECT_EQ(moved.data(), page);
  EXPECT_EQ(moved.size(), 4096u);
  EXPECT_FALSE(mapping.valid());  // NOLINT(bugprone-use-after-move): what this test is about
  EXPECT_EQ(mapping.size(), 0u);
}

TEST_F(RaiiTest, MappingAssignedToUnmapsWhatItHeldFirst) {
  char pages[2];
  InSequence order;
  EXPECT_CALL(kernel_, munmap(&pages[0], 10)).WillOnce(Return(Status()));
  EXPECT_CALL(kernel_, munmap(&pages[1], 20)).WillOnce(Return(Err(ENOMEM, "munmap")));
  Mapping mapping(kernel_, &pages[0], 10);
  mapping = Mapping(kernel_, &pages[1], 20);
}

TEST_F(RaiiTest, ThreadIsJoinedOnceByItsLastOwner) {
  EXPECT_CALL(kernel_, thread_join(ThreadId{3}));
  Thread thread(kernel_, ThreadId{3});
  Thread moved(std::move(thread));
  EXPECT_TRUE(moved.joinable());
  EXPECT_FALSE(thread.joinable());  // NOLINT(bugprone-use-after-move): what this test is about
  moved.Join();
  EXPECT_FALSE(moved.joinable());
}

TEST_F(RaiiTest, ThreadAssignedToIsJoinedFirst) {
  InSequence order;
  EXPECT_CALL(kernel_, thread_join(ThreadId{3}));
  EXPECT_CALL(kernel_, thread_join(ThreadId{4}));
  Thread thread(kernel_, ThreadId{3});
  thread = Thread(kernel_, ThreadId{4});
}

TEST_F(RaiiTest, WhatIsAssignedToItselfIsKept) {
  char page[1];
  Fd fd(kernel_, 7);
  Mapping mapping(kernel_, page, 4096);
  Thread thread(kernel_, ThreadId{3});
  Fd& same_fd = fd;  // a compiler sees through `fd = std::move(fd)`
  Mapping& same_mapping = mapping;
  Thread& same_thread = thread;
  fd = std::move(same_fd);
  mapping = std::move(same_mapping);
  thread = std::move(same_thread);
  EXPECT_EQ(fd.get(), 7);
  EXPECT_EQ(mapping.size(), 4096u);
  EXPECT_TRUE(thread.joinable());
  EXPECT_CALL(kernel_, close(7)).WillOnce(Return(Status()));
  EXPECT_CALL(kernel_, munmap(page, 4096)).WillOnce(Return(Status()));
  EXPECT_CALL(kernel_, thread_join(ThreadId{3}));
}

TEST_F(RaiiTest, MonotonicNowKeepsTheNanoseconds) {
  EXPECT_CALL(kernel_, clock_gettime(CLOCK_MONOTONIC)).WillOnce(Return(timespec{12, 345}));
  EXPECT_EQ(MonotonicNow(kernel_).time_since_epoch(), Nanoseconds(12'000'000'345));
}

}  // namespace
}  // namespace pollux
