#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace pollux {

void CheckFailed(const char* condition, const char* file, int line) {
  // The one place that reports without the seam: the process is past saving.
  std::fprintf(stderr, "pollux: CHECK failed: %s at %s:%d\n", condition, file, line);
  std::abort();
}

}  // namespace pollux
