// The sleep watch tells a call that slept from one that was only slow.
#include "fakes/sleep_watch_kernel.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "core/sys/linux_kernel.h"

namespace pollux {
namespace {

// A read() that only comes back when the reader is known to sleep in it.
class SleepWatchKernelTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
  void TearDown() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  SleepWatchKernel::Record Of(const char* name) const {
    const auto found = kernel_.records().find(name);
    return found == kernel_.records().end() ? SleepWatchKernel::Record{} : found->second;
  }
  static bool Sleeps(pid_t thread) {
    char path[64], text[256] = {};
    std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    std::FILE* file = std::fopen(path, "r");
    const size_t length = std::fread(text, 1, sizeof text - 1, file);
    std::fclose(file);
    const std::string line(text, length);
    return line[line.rfind(')') + 2] == 'S';
  }

  LinuxKernel linux_;
  SleepWatchKernel kernel_{linux_};
  int ends_[2] = {-1, -1};
};

TEST_F(SleepWatchKernelTest, ACallThatSleepsIsCounted) {
  const pid_t reader = ::gettid();
  std::thread writer([&] {
    while (!Sleeps(reader)) std::this_thread::yield();
    EXPECT_EQ(::write(ends_[1], "x", 1), 1);
  });
  char byte;
  EXPECT_EQ(kernel_.read(ends_[0], &byte, 1).value(), 1u);
  writer.join();
  EXPECT_EQ(Of("read").calls, 1u);
  EXPECT_EQ(Of("read").slept, 1u);
  EXPECT_GT(Of("read").longest, Nanoseconds::zero());
}

TEST_F(SleepWatchKernelTest, ACallThatFindsItsDataDoesNotSleep) {
  ASSERT_EQ(::write(ends_[1], "x", 1), 1);
  char byte;
  EXPECT_EQ(kernel_.read(ends_[0], &byte, 1).value(), 1u);
  EXPECT_EQ(Of("read").calls, 1u);
  EXPECT_EQ(Of("read").slept, 0u);
}

TEST_F(SleepWatchKernelTest, OtherThreadsMaySleep) {
  std::thread reader([&] {
    char byte;
    EXPECT_EQ(kernel_.read(ends_[0], &byte, 1).value(), 1u);
  });
  ASSERT_EQ(::write(ends_[1], "x", 1), 1);
  reader.join();
  EXPECT_EQ(Of("read").calls, 0u);
}

}  // namespace
}  // namespace pollux
