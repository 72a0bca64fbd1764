// pollux-short.so: preloaded into a server that is not Pollux (LD_PRELOAD, ld.so(8)), it makes
// calls transfer less than they were asked for, by the rules in $POLLUX_FAULTS
// (fakes/fault_kernel.h; only short= of calls that are here). As there, the length that the kernel
// is asked for is shortened, so that nothing is lost or invented. Each process writes a line into
// the file that $POLLUX_SHORT_LOG names when a call is struck for the first time, and at once: a
// server may end by a signal, without any destructor.
//
//   sendfile
//
// (recv and read of a socket are left alone: a short count may be taken for the end of what is
// there by who waits edge-triggered, as epoll(7) tells them to.)
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fakes/fault_kernel.h"

namespace pollux {
namespace {

class Shim final {
 public:
  static Shim& Instance() {
    static Shim shim;
    return shim;
  }

  // What to ask the kernel for instead of `count`.
  size_t Shorten(FaultCall call, size_t count) {
    const auto index = static_cast<size_t>(call);
    const uint64_t n = ++calls_[index];
    for (const FaultRule& rule : rules_) {
      if (rule.call != call || rule.error != 0 || n < rule.first || n > rule.last) continue;
      if ((n - rule.first) % rule.every != 0) continue;
      if (!struck_[index].exchange(true)) Log(ToString(call));
      return std::min<size_t>(count, rule.short_to);
    }
    return count;
  }

 private:
  Shim() {
    const char* text = std::getenv("POLLUX_FAULTS");
    auto rules = ParseFaultRules(text != nullptr ? text : "");
    if (!rules) {
      std::fprintf(stderr, "pollux-short: POLLUX_FAULTS: %s\n", rules.error().c_str());
      std::exit(2);
    }
    rules_ = *std::move(rules);
    const char* log = std::getenv("POLLUX_SHORT_LOG");
    log_ = log != nullptr ? log : "";
  }

  // Opened each time: no descriptor of the server's is taken, or mistaken for the file's.
  void Log(const char* call) const {
    const int error = errno;
    const int fd = ::open(log_.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd >= 0) {
      ::dprintf(fd, "%s\n", call);
      ::close(fd);
    }
    errno = error;
  }

  std::vector<FaultRule> rules_;
  std::string log_;
  std::array<std::atomic<uint64_t>, kFaultCalls> calls_{};
  std::array<std::atomic<bool>, kFaultCalls> struck_{};
};

// Before main(): nginx's workers have no environment.
[[gnu::constructor]] void ReadRules() { (void)Shim::Instance(); }

// The function that would have been called.
template <typename Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

size_t Shorten(FaultCall call, size_t count) { return Shim::Instance().Shorten(call, count); }

}  // namespace
}  // namespace pollux

// Linux has one off_t here, and so one of each pair.
extern "C" {

ssize_t sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  static auto* const next = pollux::Next<decltype(sendfile)>("sendfile");
  return next(out_fd, in_fd, offset, pollux::Shorten(pollux::FaultCall::kSendfile, count));
}

ssize_t sendfile64(int out_fd, int in_fd, off_t* offset, size_t count) {
  return sendfile(out_fd, in_fd, offset, count);
}

ssize_t pread(int fd, void* buf, size_t count, off_t offset) {
  static auto* const next = pollux::Next<decltype(pread)>("pread");
  return next(fd, buf, pollux::Shorten(pollux::FaultCall::kPread, count), offset);
}

ssize_t pread64(int fd, void* buf, size_t count, off_t offset) {
  return pread(fd, buf, count, offset);
}

ssize_t send(int fd, const void* buf, size_t len, int flags) {
  static auto* const next = pollux::Next<decltype(send)>("send");
  return next(fd, buf, pollux::Shorten(pollux::FaultCall::kSend, len), flags);
}

ssize_t writev(int fd, const iovec* iov, int iovcnt) {
  static auto* const next = pollux::Next<decltype(writev)>("writev");
  size_t left = 0;
  for (int i = 0; i < iovcnt; ++i) left += iov[i].iov_len;
  left = pollux::Shorten(pollux::FaultCall::kWritev, left);
  std::vector<iovec> part;
  for (int i = 0; i < iovcnt && left > 0; ++i) {
    part.push_back({iov[i].iov_base, std::min(iov[i].iov_len, left)});
    left -= part.back().iov_len;
  }
  return next(fd, part.data(), static_cast<int>(part.size()));
}

}  // extern "C"
