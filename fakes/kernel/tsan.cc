#include "fakes/kernel/tsan.h"

#if defined(POLLUX_TSAN)

namespace {
uint64_t g_reports = 0;  // the sanitizer's callback has no context
}

// Called by the sanitizer's runtime (sanitizer/tsan_interface.h, weak there).
extern "C" void __tsan_on_report(void*) { ++g_reports; }

namespace pollux::sim::tsan {
uint64_t Reports() { return g_reports; }
}  // namespace pollux::sim::tsan

#endif
