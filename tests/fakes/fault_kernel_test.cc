// The fault decorator strikes by count, shortens what is asked for, and never loses a byte or an
// iocb. Real files and real AIO below it, so that "the kernel below transfers less" is seen.
#include "fakes/fault_kernel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/sys/linux_kernel.h"

namespace pollux {
namespace {

std::vector<FaultRule> Rules(std::string_view text) {
  auto rules = ParseFaultRules(text);
  EXPECT_TRUE(rules.has_value()) << rules.error();
  return rules.value_or(std::vector<FaultRule>{});
}

std::string WrongRule(std::string_view text) {
  const auto rules = ParseFaultRules(text);
  return rules ? "accepted" : rules.error();
}

class FaultKernelTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/fault_kernel_test.XXXXXX";
    fd_ = ::mkstemp(name);
    ASSERT_GE(fd_, 0);
    ::unlink(name);
    content_.resize(64 * 1024);
    for (size_t i = 0; i < content_.size(); ++i) content_[i] = static_cast<char>('a' + i % 23);
    ASSERT_EQ(::write(fd_, content_.data(), content_.size()),
              static_cast<ssize_t>(content_.size()));
  }
  void TearDown() override { ::close(fd_); }

  // Reads `requests.size()` iocbs to completion and returns the events by iocb order.
  std::vector<io_event> Reap(FaultKernel& kernel, io_context_t ctx, size_t count) {
    std::vector<io_event> events(count);
    size_t have = 0;
    while (have < count) {
      const auto got =
          kernel.io_getevents(ctx, 1, static_cast<long>(count - have), &events[have], nullptr);
      if (!got) {
        ADD_FAILURE() << ToString(got.error());
        break;
      }
      have += static_cast<size_t>(*got);
    }
    std::sort(events.begin(), events.end(),
              [](const io_event& a, const io_event& b) { return a.obj < b.obj; });
    return events;
  }

  LinuxKernel linux_;
  int fd_ = -1;
  std::string content_;
};

TEST(FaultRulesTest, EveryPartOfARuleIsUnderstood) {
  const auto rules = Rules("sendfile:short=4096:every=3;io_submit:EAGAIN:first=2:last=5");
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].call, FaultCall::kSendfile);
  EXPECT_EQ(rules[0].error, 0);
  EXPECT_EQ(rules[0].short_to, 4096u);
  EXPECT_EQ(rules[0].first, 1u);
  EXPECT_EQ(rules[0].every, 3u);
  EXPECT_EQ(rules[1].call, FaultCall::kIoSubmit);
  EXPECT_EQ(rules[1].error, EAGAIN);
  EXPECT_EQ(rules[1].first, 2u);
  EXPECT_EQ(rules[1].last, 5u);
}

TEST(FaultRulesTest, NoTextIsNoRule) { EXPECT_TRUE(Rules("").empty()); }

TEST(FaultRulesTest, WhatIsWrongIsNamedInOneLine) {
  EXPECT_EQ(WrongRule("sendfile"), "'sendfile' is no rule: CALL:ERRNO or CALL:short=N expected");
  EXPECT_EQ(WrongRule("sendfiles:EIO"), "'sendfiles' cannot be struck: unknown");
  EXPECT_EQ(WrongRule("sendfile:EBOGUS"), "'EBOGUS' is no errno");
  EXPECT_EQ(WrongRule("sendfile:short=0"), "'short=0': N must be a positive number");
  EXPECT_EQ(WrongRule("sendfile:short=4k"), "'short=4k': N must be a positive number");
  EXPECT_EQ(WrongRule("fstat:short=4"), "'fstat' has no count to shorten");
  EXPECT_EQ(WrongRule("read:EIO:each=3"), "'each=3' is none of first=N, last=N, every=N");
  EXPECT_EQ(WrongRule("read:EIO:every"), "'every' is none of first=N, last=N, every=N");
  EXPECT_EQ(WrongRule("read:EIO:first=5:last=4"), "'read:EIO:first=5:last=4': last before first");
}

TEST(FaultRulesTest, CloseIsNeverStruckBecauseASkippedCloseLeaks) {
  EXPECT_EQ(WrongRule("close:EINTR"), "'close' cannot be struck: skipped, it would leak");
}

TEST(FaultRulesTest, EveryCallIsFoundByItsName) {
  for (size_t i = 0; i < kFaultCalls; ++i) {
    const auto call = static_cast<FaultCall>(i);
    const auto rules = Rules(std::string(ToString(call)) + ":EIO");
    ASSERT_EQ(rules.size(), 1u);
    EXPECT_EQ(rules[0].call, call) << ToString(call);
  }
}

TEST_F(FaultKernelTest, StrikesFromFirstToLastByStep) {
  FaultKernel kernel(linux_, Rules("fstat:EIO:first=3:last=7:every=2"));
  std::string seen;
  for (int i = 0; i < 9; ++i) {
    struct stat st;
    seen += kernel.fstat(fd_, &st).has_value() ? '.' : 'x';
  }
  EXPECT_EQ(seen, "..x.x.x..");
  EXPECT_EQ(kernel.calls(FaultCall::kFstat), 9u);
  EXPECT_EQ(kernel.struck(FaultCall::kFstat), 3u);
}

TEST_F(FaultKernelTest, EachCallHasItsOwnCount) {
  FaultKernel kernel(linux_, Rules("pread:EIO:first=2:last=2"));
  char buffer[8];
  struct stat st;
  EXPECT_TRUE(kernel.fstat(fd_, &st).has_value());
  EXPECT_TRUE(kernel.pread(fd_, buffer, sizeof buffer, 0).has_value());
  EXPECT_TRUE(kernel.fstat(fd_, &st).has_value());
  EXPECT_EQ(kernel.pread(fd_, buffer, sizeof buffer, 0).error().code, EIO);
}

TEST_F(FaultKernelTest, AShortReadLeavesTheRestForTheNextOne) {
  FaultKernel kernel(linux_, Rules("read:short=1000"));
  ASSERT_EQ(::lseek(fd_, 0, SEEK_SET), 0);
  std::string all, part(8192, '\0');
  for (;;) {
    const auto got = kernel.read(fd_, part.data(), part.size());
    ASSERT_TRUE(got.has_value());
    ASSERT_LE(*got, 1000u);
    if (*got == 0) break;
    all.append(part, 0, *got);
  }
  EXPECT_EQ(all, content_);
}

TEST_F(FaultKernelTest, AShortWritevEndsInTheMiddleOfItsVector) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  FaultKernel kernel(linux_, Rules("writev:short=5"));
  char a[] = "abc", b[] = "defg";
  const iovec vector[] = {{a, 3}, {b, 4}};
  EXPECT_EQ(kernel.writev(ends[0], vector, 2).value(), 5u);
  char got[16];
  EXPECT_EQ(::read(ends[1], got, sizeof got), 5);
  EXPECT_EQ(std::string(got, 5), "abcde");
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(FaultKernelTest, AShortSendfileMovesTheOffsetByWhatItSent) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  FaultKernel kernel(linux_, Rules("sendfile:short=100"));
  off_t offset = 10;
  EXPECT_EQ(kernel.sendfile(ends[0], fd_, &offset, 4096).value(), 100u);
  EXPECT_EQ(offset, 110);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(FaultKernelTest, AShortSubmitTakesTheFirstIocbsOnly) {
  FaultKernel kernel(linux_, Rules("io_submit:short=1"));
  const io_context_t ctx = kernel.io_setup(4).value();
  std::vector<char> buffer(8192);
  iocb first{}, second{};
  io_prep_pread(&first, fd_, buffer.data(), 4096, 0);
  io_prep_pread(&second, fd_, buffer.data() + 4096, 4096, 4096);
  iocb* both[] = {&first, &second};
  EXPECT_EQ(kernel.io_submit(ctx, 2, both).value(), 1);
  EXPECT_EQ(Reap(kernel, ctx, 1)[0].obj, &first);
  EXPECT_TRUE(kernel.io_destroy(ctx).has_value());
}

TEST_F(FaultKernelTest, AFailedAioReadSaysSoUnderItsOwnIocbAndLeavesTheBufferUnread) {
  FaultKernel kernel(linux_, Rules("aio_read:EIO:first=2:last=2"));
  const io_context_t ctx = kernel.io_setup(4).value();
  std::string buffer(8192, '#');
  iocb requests[2] = {};
  io_prep_pread(&requests[0], fd_, buffer.data(), 4096, 0);
  io_prep_pread(&requests[1], fd_, buffer.data() + 4096, 4096, 4096);
  requests[1].data = &buffer;
  iocb* both[] = {&requests[0], &requests[1]};
  ASSERT_EQ(kernel.io_submit(ctx, 2, both).value(), 2);
  const auto events = Reap(kernel, ctx, 2);
  EXPECT_EQ(events[0].obj, &requests[0]);
  EXPECT_EQ(static_cast<long>(events[0].res), 4096);
  EXPECT_EQ(events[1].obj, &requests[1]);
  EXPECT_EQ(events[1].data, &buffer);
  EXPECT_EQ(static_cast<long>(events[1].res), -EIO);
  EXPECT_EQ(buffer.substr(0, 4096), content_.substr(0, 4096));
  EXPECT_EQ(buffer.substr(4096), std::string(4096, '#'));
  EXPECT_EQ(requests[1].u.c.offset, 4096);
  EXPECT_TRUE(kernel.io_destroy(ctx).has_value());
}

TEST_F(FaultKernelTest, AShortAioReadFillsWhatItReports) {
  FaultKernel kernel(linux_, Rules("aio_read:short=512"));
  const io_context_t ctx = kernel.io_setup(4).value();
  std::string buffer(4096, '#');
  iocb request{};
  io_prep_pread(&request, fd_, buffer.data(), 4096, 0);
  iocb* one[] = {&request};
  ASSERT_EQ(kernel.io_submit(ctx, 1, one).value(), 1);
  const auto events = Reap(kernel, ctx, 1);
  EXPECT_EQ(events[0].obj, &request);
  EXPECT_EQ(static_cast<long>(events[0].res), 512);
  EXPECT_EQ(buffer, content_.substr(0, 512) + std::string(3584, '#'));
  EXPECT_EQ(request.u.c.nbytes, 4096u);
  EXPECT_TRUE(kernel.io_destroy(ctx).has_value());
}

TEST_F(FaultKernelTest, StruckReadsThatWereNotTakenCanBeSubmittedAgain) {
  FaultKernel kernel(linux_, Rules("aio_read:EIO:first=1:last=1"));
  const io_context_t ctx = kernel.io_setup(4).value();
  std::string buffer(4096, '#');
  iocb request{};
  io_prep_pread(&request, -1, buffer.data(), 4096, 0);  // EBADF: refused by io_submit itself
  iocb* one[] = {&request};
  EXPECT_EQ(kernel.io_submit(ctx, 1, one).error().code, EBADF);
  request.aio_fildes = fd_;
  ASSERT_EQ(kernel.io_submit(ctx, 1, one).value(), 1);
  EXPECT_EQ(static_cast<long>(Reap(kernel, ctx, 1)[0].res), 4096);
  EXPECT_TRUE(kernel.io_destroy(ctx).has_value());
}

}  // namespace
}  // namespace pollux
