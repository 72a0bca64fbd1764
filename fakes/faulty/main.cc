// pollux-faulty: the server itself on a kernel that fails by the rules in $POLLUX_FAULTS (their
// form is in fault_kernel.h). What the integration suite injects faults into.
//
// When it ends it says on standard error what was struck, and with $POLLUX_SLEEPS set in which
// calls the loop's thread slept:
//
//   pollux-faulty: struck sendfile 12 of 30
//   pollux-faulty: slept sendfile 7 of 30, longest 0.001234 s
#include <cstdio>
#include <cstdlib>

#include "core/server/server.h"
#include "core/sys/linux_kernel.h"
#include "fakes/fault_kernel.h"
#include "fakes/sleep_watch_kernel.h"

namespace pollux {
namespace {

void ReportStruck(const FaultKernel& kernel) {
  for (size_t i = 0; i < kFaultCalls; ++i) {
    const auto call = static_cast<FaultCall>(i);
    if (kernel.struck(call) == 0) continue;
    std::fprintf(stderr, "pollux-faulty: struck %s %llu of %llu\n", ToString(call),
                 static_cast<unsigned long long>(kernel.struck(call)),
                 static_cast<unsigned long long>(kernel.calls(call)));
  }
}

void ReportSlept(const SleepWatchKernel& kernel) {
  for (const auto& [name, record] : kernel.records()) {
    if (record.slept == 0) continue;
    std::fprintf(stderr, "pollux-faulty: slept %s %llu of %llu, longest %.6f s\n", name.data(),
                 static_cast<unsigned long long>(record.slept),
                 static_cast<unsigned long long>(record.calls),
                 std::chrono::duration<double>(record.longest).count());
  }
}

int Main(int argc, char** argv) {
  const char* text = std::getenv("POLLUX_FAULTS");
  auto rules = ParseFaultRules(text != nullptr ? text : "");
  if (!rules) {
    std::fprintf(stderr, "pollux-faulty: POLLUX_FAULTS: %s\n", rules.error().c_str());
    return 2;
  }
  LinuxKernel linux_kernel;
  FaultKernel faulty(linux_kernel, std::move(*rules));
  if (std::getenv("POLLUX_SLEEPS") == nullptr) {
    const int status = ServerMain(faulty, argc, argv);
    ReportStruck(faulty);
    return status;
  }
  SleepWatchKernel watching(faulty);
  const int status = ServerMain(watching, argc, argv);
  ReportStruck(faulty);
  ReportSlept(watching);
  return status;
}

}  // namespace
}  // namespace pollux

int main(int argc, char** argv) { return pollux::Main(argc, argv); }
