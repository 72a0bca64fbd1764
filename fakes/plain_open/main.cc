// pollux-plain-open: the server itself on a kernel whose openat2(2) is openat(2), which
// valgrind 3.19 knows. For `ci/bench hot --callgrind` alone: the paths of its requests are not kept
// beneath the root.
#include <linux/openat2.h>

#include "core/server/server.h"
#include "core/sys/linux_kernel.h"
#include "fakes/forwarding_kernel.h"

namespace pollux {
namespace {

class PlainOpenKernel final : public ForwardingKernel {
 public:
  explicit PlainOpenKernel(Kernel& to) : ForwardingKernel(to) {}

  Result<int> openat2(int dirfd, const char* path, const open_how& how) override {
    return openat(dirfd, path, static_cast<int>(how.flags), static_cast<mode_t>(how.mode));
  }
};

}  // namespace
}  // namespace pollux

int main(int argc, char** argv) {
  pollux::LinuxKernel linux_kernel;
  pollux::PlainOpenKernel kernel(linux_kernel);
  return pollux::ServerMain(kernel, argc, argv);
}
