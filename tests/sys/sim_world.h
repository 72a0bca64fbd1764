// The contract suite's world on the simulated kernel: a schedule in which nobody is interrupted.
#pragma once

#include "fakes/kernel/sim_kernel.h"
#include "tests/sys/kernel_world.h"

namespace pollux {

class SimWorld final : public KernelWorld {
 public:
  SimWorld();

  Kernel& kernel() override { return kernel_; }
  void Run(const std::function<void()>& body) override;
  std::string MakeFile(size_t size) override;
  void Truncate(const std::string& path, size_t size) override;
  void AwaitAsleep(pid_t tid) override;
  std::unique_ptr<Peer> Connect(const sockaddr_storage& address) override;

 private:
  sim::Resources resources_;
  sim::FirstChooser chooser_;
  sim::SimKernel kernel_;
  int files_ = 0;
};

}  // namespace pollux
