#include "fakes/kernel/tsan.h"

#if defined(POLLUX_TSAN)

namespace {
uint64_t g_reports = 0;  // the hook below is the process's, as the sanitizer is
}  // namespace

// The sanitizer calls it for each report, of which there is one a race and process.
extern "C" void __tsan_on_report(void*) { ++g_reports; }

namespace pollux::sim::tsan {
uint64_t Reports() { return g_reports; }
}  // namespace pollux::sim::tsan

#endif
