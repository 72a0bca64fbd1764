#include "tests/sys/linux_world.h"

#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "core/base/check.h"

namespace pollux {
namespace {

class LoopbackPeer final : public Peer {
 public:
  explicit LoopbackPeer(const sockaddr_storage& address)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    CHECK(fd_ >= 0);
    CHECK(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(sockaddr_in)) == 0);
  }
  ~LoopbackPeer() override { LoopbackPeer::Close(); }

  void Send(std::string_view bytes) override {
    CHECK(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
          static_cast<ssize_t>(bytes.size()));
  }
  std::string Receive(size_t count) override {
    std::string bytes(count, '\0');
    size_t got = 0;
    while (got < count) {
      const ssize_t n = ::recv(fd_, bytes.data() + got, count - got, 0);
      if (n <= 0) break;
      got += static_cast<size_t>(n);
    }
    bytes.resize(got);
    return bytes;
  }
  void HalfClose() override { CHECK(::shutdown(fd_, SHUT_WR) == 0); }
  void Reset() override {
    const linger now{1, 0};
    CHECK(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    Close();
  }
  void Close() override {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

}  // namespace

LinuxWorld::LinuxWorld() {
  CHECK(::pthread_sigmask(SIG_BLOCK, nullptr, &mask_) == 0);
  CHECK(::sigaction(SIGUSR1, nullptr, &action_) == 0);
  std::string name = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "sys-XXXXXX";
  CHECK(::mkdtemp(name.data()) != nullptr);
  scratch_ = name;
}

LinuxWorld::~LinuxWorld() {
  // The mask first: a kick that a failed test left pending goes to its handler, and not to
  // SIGUSR1's default action, which would end the program and hide the failure.
  ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  ::sigaction(SIGUSR1, &action_, nullptr);
  std::error_code ignored;
  std::filesystem::remove_all(scratch_, ignored);
}

std::string LinuxWorld::MakeFile(size_t size) {
  const std::filesystem::path path = scratch_ / std::to_string(files_++);
  std::ofstream out(path, std::ios::binary);
  out << FileBytes(0, size);
  out.close();
  CHECK(out.good());
  // Long ago: a clock that stands for milliseconds would hide that it is changed.
  std::filesystem::last_write_time(
      path, std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
  return path;
}

void LinuxWorld::Truncate(const std::string& path, size_t size) {
  CHECK(::truncate(path.c_str(), static_cast<off_t>(size)) == 0);
}

// proc(5): the state comes after the name, which is in brackets.
void LinuxWorld::AwaitAsleep(pid_t tid) {
  const std::string path = "/proc/self/task/" + std::to_string(tid) + "/stat";
  for (std::string line; line.find(") S ") == std::string::npos; ::sched_yield()) {
    std::ifstream stat(path);
    CHECK(std::getline(stat, line));
  }
}

std::unique_ptr<Peer> LinuxWorld::Connect(const sockaddr_storage& address) {
  return std::make_unique<LoopbackPeer>(address);
}

}  // namespace pollux
