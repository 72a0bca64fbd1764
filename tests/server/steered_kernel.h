// The running kernel, steered: time goes on when the test says so, and chosen calls fail or come up
// short. Counts what the tests ask about.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "core/sys/linux_kernel.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {

class SteeredKernel : public ForwardingKernel {
 public:
  SteeredKernel() : ForwardingKernel(linux_) {}

  // What the next calls of one kind return instead of being made.
  struct Call {
    std::deque<int> errors;       // one errno a call; 0 lets it through
    uint64_t count = 0;           // calls so far, failed ones included
    size_t bytes_max = SIZE_MAX;  // shorter counts from now on
  };
  Call accept4_calls, recv_calls, send_calls, write_calls, shutdown_calls, epoll_ctl_calls;

  // The same for what workers call.
  class WorkerCall {
   public:
    void Fail(std::deque<int> errors) {
      const std::lock_guard lock(mutex_);
      errors_ = std::move(errors);
    }
    void Shorten(size_t bytes_max) { bytes_max_ = bytes_max; }
    // Calls do not return until Release.
    void Hold() { held_ = true; }
    void Release() {
      held_ = false;
      held_.notify_all();
    }
    uint64_t count() const { return count_; }
    size_t bytes_max() const { return bytes_max_; }
    size_t errors_left() {
      const std::lock_guard lock(mutex_);
      return errors_.size();
    }
    int Next() {
      ++count_;
      held_.wait(true);
      const std::lock_guard lock(mutex_);
      if (errors_.empty()) return 0;
      const int code = errors_.front();
      errors_.pop_front();
      return code;
    }

   private:
    std::mutex mutex_;
    std::deque<int> errors_;
    std::atomic<uint64_t> count_ = 0;
    std::atomic<size_t> bytes_max_ = SIZE_MAX;
    std::atomic<bool> held_ = false;
  };
  WorkerCall reopen_calls, getdents64_calls, statx_calls;

  Call log_calls;  // writes to files whose path is log_path
  std::string log_path;
  // Calls of those that are not steered, by name: what an answer from memory must not need. Not to
  // be looked at while a worker works.
  std::map<std::string_view, uint64_t> others;
  std::optional<int> outq;             // what SIOCOUTQ says; nothing: the truth
  std::map<int, std::string> written;  // by descriptor 1 and 2, which are kept from the terminal
  mode_t standard_mode = S_IFREG;      // what 1 and 2 are said to be

  std::atomic<uint64_t> closes_elsewhere = 0;  // not on the test's thread, which turns the loop

  void Advance(Nanoseconds time) { ahead_ += time; }

  timespec clock_gettime(clockid_t clock) override {
    CountOther("clock_gettime");
    timespec now = ForwardingKernel::clock_gettime(clock);
    if (clock != CLOCK_MONOTONIC) return now;
    const int64_t ns = now.tv_sec * 1'000'000'000 + now.tv_nsec + ahead_.count();
    return {ns / 1'000'000'000, ns % 1'000'000'000};
  }
  Status fstat(int fd, struct stat* out) override {
    CountOther("fstat");
    if (fd != 1 && fd != 2) return ForwardingKernel::fstat(fd, out);
    *out = {};
    out->st_mode = standard_mode;
    return {};
  }
  Result<int> accept4(int fd, sockaddr* addr, socklen_t* len, int flags) override {
    if (const int code = Next(accept4_calls)) return Err(code, "accept4");
    return ForwardingKernel::accept4(fd, addr, len, flags);
  }
  Result<size_t> recv(int fd, void* buf, size_t len, int flags) override {
    if (const int code = Next(recv_calls)) return Err(code, "recv");
    return ForwardingKernel::recv(fd, buf, std::min(len, recv_calls.bytes_max), flags);
  }
  Result<size_t> send(int fd, const void* buf, size_t len, int flags) override {
    if (const int code = Next(send_calls)) return Err(code, "send");
    return ForwardingKernel::send(fd, buf, std::min(len, send_calls.bytes_max), flags);
  }
  Result<size_t> write(int fd, const void* buf, size_t count) override {
    if (fd == 1 || fd == 2) {
      if (const int code = Next(write_calls)) return Err(code, "write");
      const size_t taken = std::min(count, write_calls.bytes_max);
      written[fd].append(static_cast<const char*>(buf), taken);
      return taken;
    }
    if (log_fds_.contains(fd)) {
      if (const int code = Next(log_calls)) return Err(code, "write");
      return ForwardingKernel::write(fd, buf, std::min(count, log_calls.bytes_max));
    }
    return ForwardingKernel::write(fd, buf, count);
  }
  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override {
    // A folder that is opened anew, to be read.
    if (std::string_view(path) == "." && (flags & O_PATH) == 0) {
      if (const int code = reopen_calls.Next()) return Err(code, "openat");
    }
    Result<int> fd = ForwardingKernel::openat(dirfd, path, flags, mode);
    if (fd && path == log_path) log_fds_.insert(*fd);
    return fd;
  }
  Status shutdown(int fd, int how) override {
    if (const int code = Next(shutdown_calls)) return Err(code, "shutdown");
    return ForwardingKernel::shutdown(fd, how);
  }
  Status epoll_ctl(int epfd, int op, int fd, epoll_event* event) override {
    if (const int code = Next(epoll_ctl_calls)) return Err(code, "epoll_ctl");
    return ForwardingKernel::epoll_ctl(epfd, op, fd, event);
  }
  Result<size_t> getdents64(int fd, void* buf, size_t count) override {
    if (const int code = getdents64_calls.Next()) return Err(code, "getdents64");
    return ForwardingKernel::getdents64(fd, buf, std::min(count, getdents64_calls.bytes_max()));
  }
  Status statx(int dirfd, const char* path, int flags, unsigned mask, struct statx* out) override {
    if (const int code = statx_calls.Next()) return Err(code, "statx");
    return ForwardingKernel::statx(dirfd, path, flags, mask, out);
  }
  Result<int> epoll_pwait(int epfd, epoll_event* events, int maxevents, int timeout_ms,
                          const sigset_t* sigmask) override {
    CountOther("epoll_pwait");
    return ForwardingKernel::epoll_pwait(epfd, events, maxevents, timeout_ms, sigmask);
  }
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override {
    CountOther("openat2");
    return ForwardingKernel::openat2(dirfd, path, how);
  }
  Status close(int fd) override {
    CountOther("close");
    if (gettid() != loop_thread_) ++closes_elsewhere;
    return ForwardingKernel::close(fd);
  }
  Result<size_t> pread(int fd, void* buf, size_t count, off_t offset) override {
    CountOther("pread");
    return ForwardingKernel::pread(fd, buf, count, offset);
  }
  Result<size_t> preadv2(int fd, const iovec* iov, int iovcnt, off_t offset, int flags) override {
    CountOther("preadv2");
    return ForwardingKernel::preadv2(fd, iov, iovcnt, offset, flags);
  }
  Status setsockopt(int fd, int level, int name, const void* value, socklen_t len) override {
    CountOther("setsockopt");
    return ForwardingKernel::setsockopt(fd, level, name, value, len);
  }
  Result<int> ioctl_outq(int fd) override {
    CountOther("ioctl_outq");
    if (outq) return *outq;
    return ForwardingKernel::ioctl_outq(fd);
  }

 private:
  void CountOther(std::string_view name) {
    const std::lock_guard lock(others_mutex_);
    ++others[name];
  }
  static int Next(Call& call) {
    ++call.count;
    if (call.errors.empty()) return 0;
    const int code = call.errors.front();
    call.errors.pop_front();
    return code;
  }

  LinuxKernel linux_;
  const pid_t loop_thread_ = linux_.gettid();
  std::set<int> log_fds_;
  std::mutex others_mutex_;
  Nanoseconds ahead_{0};
};

}  // namespace pollux
