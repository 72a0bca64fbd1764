#include "fakes/kernel/access.h"

#include <bit>
#include <cstdio>
#include <cstdlib>

namespace pollux::sim {

void AccessCheck::Touch(const Footprint& touched, const char* what) const {
  const uint64_t read = touched.reads & ~readable_;
  const uint64_t written = touched.writes & ~writable_;
  if (read != 0) Fail("reads", static_cast<ObjectId>(std::countr_zero(read)), what);
  if (written != 0) Fail("writes", static_cast<ObjectId>(std::countr_zero(written)), what);
}

void AccessCheck::Fail(const char* does, ObjectId object, const char* what) const {
  std::fprintf(stderr,
               "simulated kernel: the step \"%s\" %s %s (object %d) and did not declare it\n",
               operation_, does, what, object & 63);
  std::abort();
}

}  // namespace pollux::sim
