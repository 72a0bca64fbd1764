// The contract suite's world on the running kernel: LinuxKernel, files beside the test program (a
// real file system, unlike /tmp on many machines), and peers on loopback TCP.
#pragma once

#include <signal.h>

#include <filesystem>

#include "core/sys/linux_kernel.h"
#include "tests/sys/kernel_world.h"

namespace pollux {

class LinuxWorld final : public KernelWorld {
 public:
  LinuxWorld();
  ~LinuxWorld() override;  // puts signal mask and SIGUSR1's action back, removes the files

  Kernel& kernel() override { return kernel_; }
  void Run(const std::function<void()>& body) override { body(); }
  std::string MakeFile(size_t size) override;
  void Truncate(const std::string& path, size_t size) override;
  void AwaitAsleep(pid_t tid) override;
  std::unique_ptr<Peer> Connect(const sockaddr_storage& address) override;

 private:
  LinuxKernel kernel_;
  std::filesystem::path scratch_;
  int files_ = 0;
  sigset_t mask_{};
  struct sigaction action_ {};
};

}  // namespace pollux
