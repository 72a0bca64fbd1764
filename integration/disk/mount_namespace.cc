#include "integration/disk/mount_namespace.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace pollux::disk {
namespace {

constexpr std::chrono::milliseconds kPause(10);
constexpr int kPauses = 1000;

// Nothing for one that has ended, even while its parent has not asked for its status.
std::string NamespaceOf(const std::string& process) {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/" + process + "/ns/mnt", error).string();
}

std::vector<pid_t> Processes() {
  std::vector<pid_t> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, failed] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failed == std::errc() && end == name.data() + name.size()) out.push_back(pid);
  }
  return out;
}

// False if it is not in the namespace `own`. By a descriptor: a number can be somebody else's by
// the time of the signal.
bool KillInside(pid_t pid, const std::string& own) {
  const int process = OpenProcess(pid);
  if (process < 0) return false;  // ESRCH: it has ended
  const bool inside = NamespaceOf(std::to_string(pid)) == own;
  if (inside) syscall(SYS_pidfd_send_signal, process, SIGKILL, nullptr, 0);
  close(process);
  return inside;
}

}  // namespace

Status EnterPrivateMounts() {
  if (unshare(CLONE_NEWNS) != 0) return Err(errno, "unshare of the mount namespace");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return Err(errno, "mount --make-rprivate /");
  }
  return {};
}

// (glibc 2.36's <sys/pidfd.h> does not serve C++.)
int OpenProcess(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

void EndOthers(std::initializer_list<pid_t> spared) {
  const std::string own = NamespaceOf("self");
  if (own.empty()) return;  // no /proc: nobody can be told from others
  for (int i = 0; i < kPauses; ++i) {
    bool found = false;
    for (const pid_t pid : Processes()) {
      if (pid == getpid() || std::find(spared.begin(), spared.end(), pid) != spared.end()) continue;
      found = KillInside(pid, own) || found;
    }
    if (!found) return;
    std::this_thread::sleep_for(kPause);
  }
}

}  // namespace pollux::disk
