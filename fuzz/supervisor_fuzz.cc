// The supervisor of --workers: whatever its workers do and in which order, each is reaped once,
// none is started while one is stopped or too soon, each hears of what it has to and of nothing
// twice, and it ends when the last worker has. The kernel that it runs on does what the bytes of
// the input say.
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/base/check.h"
#include "core/server/supervisor.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/log.h"
#include "fakes/forwarding_kernel.h"
#include "fuzz/input.h"

namespace {

using pollux::Err;
using pollux::Kernel;
using pollux::Result;
using pollux::Status;
using pollux::Supervisor;

constexpr int kFirstFd = 1000;
constexpr pid_t kFirstPid = 5000;

// What a worker at the other end of a socket pair does next.
struct Process {
  int control = -1;  // the supervisor's end
  bool ended = false;
  int stops = 0;               // told, in all
  int unread = 0;              // bytes
  int hangups = 0;             // among them
  bool hangup_is_due = false;  // there was one since the supervisor last slept
};

// Processes and socket pairs that exist only here. What is not overridden is not called.
class Processes final : public pollux::ForwardingKernel {
 public:
  Processes(Kernel& to, pollux::fuzz::Input& input) : ForwardingKernel(to), input_(input) {}

  bool AllReaped() const { return alive_.empty(); }
  bool NothingOpen() const { return open_.empty(); }
  bool told_to_stop() const { return stops_ > 0; }

  Result<size_t> write(int, const void*, size_t count) override { return count; }
  timespec clock_gettime(clockid_t) override { return {now_ / 1000, now_ % 1000 * 1'000'000}; }
  Status pthread_sigmask(int, const sigset_t&, sigset_t* old) override {
    if (old != nullptr) sigemptyset(old);
    return {};
  }
  Status sigaction(int signum, const struct sigaction& act) override {
    handlers_[signum] = act.sa_handler;
    return {};
  }

  Status socketpair(int, int, int, int* sv) override {
    if (Chance(16)) return Err(EMFILE, "socketpair");
    for (int i = 0; i < 2; ++i) open_.insert(sv[i] = next_fd_++);
    control_ = sv[0];
    return {};
  }
  Result<pid_t> fork() override {
    CHECK(stops_ == 0);  // who is told to stop starts nobody
    if (Chance(16)) return Err(EAGAIN, "fork");
    alive_[next_pid_] = {control_};
    return next_pid_++;
  }
  Status close(int fd) override {
    CHECK(open_.erase(fd) == 1);
    return {};
  }
  Result<int> ioctl_outq(int fd) override { return At(fd).unread; }
  Result<size_t> send(int fd, const void* buf, size_t, int) override {
    Process& process = At(fd);
    const char what = *static_cast<const char*>(buf);
    CHECK(what == Supervisor::kTerminate || what == Supervisor::kHangup);
    if (what == Supervisor::kTerminate) ++process.stops;
    if (what == Supervisor::kHangup) ++process.hangups;
    CHECK(process.stops <= Supervisor::kStopsMax && process.hangups <= 1);
    ++process.unread;
    if (process.ended) return Err(EPIPE, "send");
    return size_t{1};
  }
  Result<size_t> recv(int fd, void* buf, size_t, int) override {
    if (At(fd).ended) {
      if (Chance(4)) return Err(ECONNRESET, "recv");
      return size_t{0};
    }
    if (Chance(8)) return Err(EAGAIN, "recv");
    *static_cast<char*>(buf) = Chance(8) ? '?' : Supervisor::kReady;
    return size_t{1};
  }
  Result<pid_t> waitpid(pid_t pid, int* status, int) override {
    if (Chance(8)) return Err(EINTR, "waitpid");
    const auto found = alive_.find(pid);
    CHECK(found != alive_.end() && found->second.ended);
    alive_.erase(found);
    const auto how = static_cast<int>(input_.Number(1));
    *status = how < 128 ? how % 3 << 8 : how % 32 + 1;  // an exit status, or a signal
    return pid;
  }
  Result<int> ppoll(pollfd* fds, nfds_t count, const timespec* timeout, const sigset_t*) override {
    CHECK(++waits_ < 100'000);
    for (nfds_t i = 0; i < count; ++i) fds[i].revents = 0;
    CheckAllWereTold();
    uint64_t what = 0, which = 0;
    do {
      // Without input everything comes to its end.
      if (input_.empty()) return End(fds, count);
      what = input_.Number(1);
      which = what / 8;
      if (what % 8 == kHears) Hear(fds[which % count].fd);
    } while (what % 8 == kHears);  // which wakes nobody
    switch (what % 8) {
      case 0:
        return Signal(SIGTERM);
      case 1:
        return Signal(SIGHUP);
      case 2:  // time passes: all of the time-out, if there is one
        now_ += timeout != nullptr ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1'000'000 + 1 : 0;
        return 0;
      case 3:
        now_ += static_cast<int64_t>(which) * 1000;
        return 0;
      case 4:  // one dies
        return Speaks(fds, count, which, true);
      default:  // one says something
        return Speaks(fds, count, which, false);
    }
  }

 private:
  static constexpr uint64_t kHears = 5;

  // One time in `times`; never when the input is over.
  bool Chance(uint64_t times) { return !input_.empty() && input_.Number(1) % times == times - 1; }

  Process& At(int fd) {
    CHECK(open_.contains(fd));
    for (auto& [pid, process] : alive_) {
      if (process.control == fd) return process;
    }
    CHECK(false);
  }
  // Before it sleeps. Who is to reopen its log has something to hear yet: that, or a stop.
  void CheckAllWereTold() {
    for (auto& [pid, process] : alive_) {
      if (process.ended) continue;
      CHECK(process.unread > 0 || !process.hangup_is_due);
      CHECK(process.stops >= std::min(stops_, Supervisor::kStopsMax));
      process.hangup_is_due = false;
    }
  }
  // All that it was told.
  void Hear(int fd) {
    if (fd >= 0) At(fd).unread = At(fd).hangups = 0;
  }
  Result<int> Signal(int signum) {
    handlers_.at(signum)(signum);
    if (signum == SIGTERM) ++stops_;
    for (auto& [pid, process] : alive_) process.hangup_is_due |= signum == SIGHUP;
    return Err(EINTR, "ppoll");
  }
  Result<int> Speaks(pollfd* fds, nfds_t count, uint64_t which, bool ends) {
    pollfd& entry = fds[which % count];
    if (entry.fd < 0) return 0;
    if (ends) At(entry.fd).ended = true;
    entry.revents = POLLIN;
    return 1;
  }
  Result<int> End(pollfd* fds, nfds_t count) {
    if (stops_ == 0) return Signal(SIGTERM);
    for (nfds_t i = 0; i < count; ++i) {
      if (fds[i].fd >= 0) return Speaks(fds, count, i, true);
    }
    CHECK(false);  // stopped, nobody alive, and it waits
  }

  pollux::fuzz::Input& input_;
  std::map<int, void (*)(int)> handlers_;
  std::map<pid_t, Process> alive_;
  std::set<int> open_;
  int next_fd_ = kFirstFd, control_ = -1;
  pid_t next_pid_ = kFirstPid;
  int64_t now_ = 3'600'000;  // ms
  int stops_ = 0, waits_ = 0;
};

class Body final : public pollux::WorkerBody {
 public:
  int RunWorker(size_t, int) override { CHECK(false); }  // fork() never returns 0 here
  void OnWorkersReady() override { CHECK(++ready == 1 && drained == 0); }
  void OnWorkersDrain() override { CHECK(++drained == 1); }
  int ready = 0, drained = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  const size_t workers = 1 + input.Number(1) % 4;
  pollux::LinuxKernel linux_kernel;
  Processes kernel(linux_kernel, input);
  Body body;
  int status = -1;
  {
    pollux::Logger log(kernel, pollux::LineOutput(), spdlog::level::off);
    Supervisor supervisor(kernel, log, body, workers);
    status = supervisor.Run();
  }
  CHECK(kernel.AllReaped());
  CHECK(kernel.NothingOpen());
  CHECK(body.drained == 1);
  // Only who was told to stop, once all had been ready, has done all that was wanted of it.
  if (body.ready == 1) CHECK(status == 0 && kernel.told_to_stop());
  return 0;
}
