#include "fakes/kernel/fiber.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstring>

#include "core/base/units.h"
#include "fakes/kernel/tsan.h"

namespace pollux::sim {
namespace {

struct Visit {
  Fiber here;
  uintptr_t stood_at = 0;
};

Fiber* NoteTheStack(void* argument) {
  auto& visit = *static_cast<Visit*>(argument);
  visit.stood_at = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  tsan::ReleaseOutside(argument);
  return &visit.here;
}

// Says something under the address sanitizer: a fiber that a pool ends is not unwound.
TEST(FiberPoolTest, MemoryInThePlaceOfAStackCanBeWritten) {
  Visit visit;
  {
    FiberPool pool;
    Fiber& fiber = pool.Take();
    fiber.Start(NoteTheStack, &visit);
    Fiber::Switch(visit.here, fiber);
    tsan::AcquireOutside(&visit);
    pool.Give(fiber);
  }
  constexpr uintptr_t kPage = 4_KiB;
  ASSERT_NE(visit.stood_at, 0u);
  const uintptr_t page = visit.stood_at / kPage * kPage;
  void* memory = ::mmap(reinterpret_cast<void*>(page), kPage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ASSERT_EQ(reinterpret_cast<uintptr_t>(memory), page);
  std::memset(memory, 'x', kPage);
  EXPECT_EQ(*(static_cast<char*>(memory) + kPage - 1), 'x');
  EXPECT_EQ(::munmap(memory, kPage), 0);
}

}  // namespace
}  // namespace pollux::sim
