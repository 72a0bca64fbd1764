// Construction, descriptors, and the facts of the process.
#include "fakes/kernel/sim_kernel.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

constexpr size_t kDescriptorsHard = 4096;
// CLOCK_REALTIME at the execution's start: 2026-01-01 00:00:00 UTC, less the monotonic clock's
// hour.
constexpr int64_t kRealtimeOffsetSeconds = 1'767'225'600 - 3600;

}  // namespace

SimKernel::SimKernel(Chooser& chooser, Resources& resources, SimOptions options)
    : options_(options),
      resources_(resources),
      scheduler_(chooser, resources.fibers, options.scheduler),
      signals_(scheduler_, options.leader_first),
      frames_(scheduler_.access(), kSharedMemory),
      disk_(scheduler_, frames_, symbols_, options.disk),
      submit_refusals_left_(options.submit_refusals),
      spurious_wakeups_left_(options.spurious_wakeups) {
  scheduler_.set_signal_state(&signals_);
  auto console = NewDescription(Description::Kind::kConsole, O_RDWR);
  table_.assign(3, console);
}

SimKernel::~SimKernel() {
  // Whatever the process left: reads under way are actors of the scheduler.
  for (const auto& context : contexts_) {
    if (context == nullptr) continue;
    for (const auto& read : context->under_way) {
      if (!read->on_device) scheduler_.RemoveActor(*read);
    }
  }
  for (const Region& region : regions_) {
    if (region.inode == nullptr) resources_.memory.Give(region.address, region.length);
  }
}

void SimKernel::NotModelled(const char* what) {
  std::fprintf(stderr, "simulated kernel: %s is not modelled\n", what);
  std::abort();
}

bool Description::nonblocking() const { return (flags & O_NONBLOCK) != 0; }

SimKernel::DescriptionPtr SimKernel::NewDescription(Description::Kind kind, int flags) {
  auto made = std::make_shared<Description>();
  made->kind = kind;
  made->flags = flags;
  made->object = kind == Description::Kind::kConsole ? kConsoleOutput : scheduler_.NewObject();
  return made;
}

Description* SimKernel::Find(int fd) const {
  scheduler_.access().Read(kDescriptorTable, "the descriptor table");
  Description* found = At(fd);
  if (found != nullptr) {
    scheduler_.access().Read(found->object_touched(), "what a descriptor refers to");
  }
  return found;
}

Result<int> SimKernel::Install(DescriptionPtr description, const char* operation) {
  scheduler_.access().Write(kDescriptorTable, "the descriptor table");
  size_t fd = 0;
  while (fd < table_.size() && table_[fd] != nullptr) ++fd;
  if (fd >= descriptors_max_) return Err(EMFILE, operation);
  if (fd == table_.size()) table_.emplace_back();
  table_[fd] = std::move(description);
  return static_cast<int>(fd);
}

// The descriptor's number may be given away by others, and what it refers to changed.
Footprint SimKernel::Using(int fd, bool writes) const {
  Footprint footprint;
  footprint.Read(kDescriptorTable);
  const Description* found = At(fd);
  if (found == nullptr) return footprint;
  if (found->inode != nullptr) footprint.Read(found->inode->object);
  const ObjectId object = found->object_touched();
  return writes ? footprint.Write(object) : footprint.Read(object);
}

Status SimKernel::close(int fd) {
  Footprint footprint = Using(fd, true).Add(Opening());
  // With it go references of a queue to pages, and a file in memory.
  const Description* known = At(fd);
  if (known != nullptr && (known->connection != nullptr || known->inode != nullptr)) {
    footprint.Write(kSharedMemory);
  }
  Call call(*this, "close", footprint);
  if (Find(fd) == nullptr) return Err(EBADF, "close");
  scheduler_.access().Write(kDescriptorTable, "the descriptor table");
  const DescriptionPtr closed = std::move(table_[fd]);
  if (closed->connection != nullptr && closed.use_count() == 1) {
    closed->connection->Close(closed->connection->linger_zero());
  }
  std::erase(listeners_, closed.get());
  return {};
}

std::string SimKernel::Leaks() const {
  std::string text;
  const auto add = [&text](const std::string& what) { text += (text.empty() ? "" : ", ") + what; };
  for (size_t fd = 3; fd < table_.size(); ++fd) {
    if (table_[fd] != nullptr) add("descriptor " + std::to_string(fd));
  }
  for (const auto& context : contexts_) {
    if (context != nullptr) add("an AIO context");
  }
  if (!regions_.empty()) add(std::to_string(regions_.size()) + " mappings");
  return text;
}

// --- The process

pid_t SimKernel::getpid() { return scheduler_.leader().tid; }
pid_t SimKernel::gettid() { return scheduler_.current().tid; }
uid_t SimKernel::geteuid() { return 0; }

Status SimKernel::getrlimit(int resource, rlimit* out) {
  if (resource != RLIMIT_NOFILE) NotModelled("getrlimit of another resource");
  Call call(*this, "getrlimit", Footprint().Read(kDescriptorTable));
  out->rlim_cur = descriptors_max_;
  out->rlim_max = kDescriptorsHard;
  return {};
}

Status SimKernel::setrlimit(int resource, const rlimit& limit) {
  if (resource != RLIMIT_NOFILE) NotModelled("setrlimit of another resource");
  Call call(*this, "setrlimit", Opening());
  if (limit.rlim_cur > limit.rlim_max) return Err(EINVAL, "setrlimit");
  if (limit.rlim_max > kDescriptorsHard) return Err(EPERM, "setrlimit");
  descriptors_max_ = limit.rlim_cur;
  return {};
}

// One process is modelled: workers are not.
Result<pid_t> SimKernel::fork() { NotModelled("fork"); }
Result<pid_t> SimKernel::waitpid(pid_t, int*, int) { NotModelled("waitpid"); }
Status SimKernel::socketpair(int, int, int, int*) { NotModelled("socketpair"); }

Status SimKernel::setgroups(std::span<const gid_t>) { NotModelled("setgroups"); }
Status SimKernel::setgid(gid_t) { NotModelled("setgid"); }
Status SimKernel::setuid(uid_t) { NotModelled("setuid"); }

Result<PasswordEntry> SimKernel::getpwnam(const char* name) {
  if (std::strcmp(name, "root") == 0) return PasswordEntry{0, 0};
  return Err(ENOENT, "getpwnam");
}

timespec SimKernel::clock_gettime(clockid_t clock) {
  // The clock moves only while nobody can run, unless time-outs may come early.
  if (scheduler_.time_is_a_choice()) Call(*this, "clock_gettime", Footprint().Read(kClock));
  int64_t ns = scheduler_.now().time_since_epoch().count();
  if (clock == CLOCK_REALTIME) {
    ns += kRealtimeOffsetSeconds * 1'000'000'000;
  } else if (clock != CLOCK_MONOTONIC) {
    NotModelled("clock_gettime of another clock");
  }
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

// --- Signals

Status SimKernel::sigaction(int signum, const struct sigaction& act) {
  const bool known = signum >= 1 && signum <= 64 && signum != SIGKILL && signum != SIGSTOP;
  Call call(*this, "sigaction",
            known ? signals_.ActionFootprint(signum) : Footprint().Write(kDispositions));
  if (!known) return Err(EINVAL, "sigaction");
  if ((act.sa_flags & ~SA_NODEFER) != 0) NotModelled("sigaction with flags but SA_NODEFER");
  signals_.SetAction(signum, act);
  return {};
}

Status SimKernel::pthread_sigmask(int how, const sigset_t& set, sigset_t* old) {
  SimThread& self = scheduler_.current();
  const uint64_t bits = ToBits(set) & ~(SignalBit(SIGKILL) | SignalBit(SIGSTOP));
  uint64_t mask = bits;
  if (how == SIG_BLOCK) mask = self.mask | bits;
  if (how == SIG_UNBLOCK) mask = self.mask & ~bits;
  Call call(*this, "pthread_sigmask", signals_.MaskFootprint(self, mask));
  if (old != nullptr) *old = ToSet(self.mask);
  if (how != SIG_BLOCK && how != SIG_UNBLOCK && how != SIG_SETMASK) {
    return Err(EINVAL, "pthread_sigmask");
  }
  if (mask == self.mask) return {};
  scheduler_.access().Touch(signals_.LeaderMaskFootprint(self), "what the leader has blocked");
  self.mask = mask;
  return {};
}

Status SimKernel::sigpending(sigset_t* out) {
  Call call(*this, "sigpending", ProcessSignals::PendingFootprint(scheduler_.current()));
  *out = ToSet(signals_.Pending(scheduler_.current()));
  return {};
}

Status SimKernel::kill(pid_t pid, int signum) {
  Footprint footprint;
  if (signum > 0 && signum <= 64) footprint = signals_.SendFootprint(signum);
  Call call(*this, "kill", footprint);
  if (pid != scheduler_.leader().tid) return Err(ESRCH, "kill");
  if (signum < 0 || signum > 64) return Err(EINVAL, "kill");
  if (signum != 0) signals_.SendToProcess(signum);
  return {};
}

Status SimKernel::tgkill(pid_t tgid, pid_t tid, int signum) {
  SimThread* target = tgid == scheduler_.leader().tid ? FindThread(tid) : nullptr;
  Footprint footprint;
  if (target == nullptr) {
    footprint.Read(kDescriptorTable);  // where threads are numbered
  } else if (signum > 0 && signum <= 64) {
    footprint = signals_.SendFootprint(signum, target);
  } else {
    footprint.Read(target->signals_object);  // whether it is there
  }
  Call call(*this, "tgkill", footprint);
  if (target == nullptr || target->state == SimThread::State::kDone) return Err(ESRCH, "tgkill");
  if (signum < 0 || signum > 64) return Err(EINVAL, "tgkill");
  if (signum != 0) signals_.SendToThread(*target, signum);
  return {};
}

SimThread* SimKernel::FindThread(pid_t tid) const {
  for (const auto& thread : scheduler_.threads()) {
    if (thread->tid == tid) return thread.get();
  }
  return nullptr;
}

}  // namespace pollux::sim
