#include "fakes/kernel/fiber.h"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"

// gcc says __SANITIZE_x__, clang __has_feature(x).
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define POLLUX_FIBER_ASAN 1
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define POLLUX_FIBER_TSAN 1
#include <sanitizer/tsan_interface.h>
#endif

namespace pollux::sim {
namespace {

namespace context = boost::context::detail;

// Sanitizers make frames several times as large. Only what is touched is committed.
#if defined(POLLUX_FIBER_ASAN) || defined(POLLUX_FIBER_TSAN)
constexpr size_t kStackBytes = 2 << 20;
#else
constexpr size_t kStackBytes = 512 << 10;
#endif
constexpr size_t kGuardBytes = 4096;

}  // namespace

FiberStack FiberStacks::Take() {
  if (!free_.empty()) {
    const FiberStack stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void* memory = ::mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  CHECK(memory != MAP_FAILED);
  CHECK(::mprotect(memory, kGuardBytes, PROT_NONE) == 0);
  FiberStack stack;
  stack.base = static_cast<char*>(memory) + kGuardBytes;
  stack.size = kStackBytes;
#if defined(POLLUX_FIBER_ASAN)
  // The leak checker looks for pointers on the OS thread's stack; it has to be told of these.
  __lsan_register_root_region(stack.base, stack.size);
#endif
#if defined(POLLUX_FIBER_TSAN)
  stack.tsan_fiber = __tsan_create_fiber(0);
#endif
  return stack;
}

FiberStacks::~FiberStacks() {
  for (const FiberStack& stack : free_) {
#if defined(POLLUX_FIBER_ASAN)
    __lsan_unregister_root_region(stack.base, stack.size);
#endif
#if defined(POLLUX_FIBER_TSAN)
    __tsan_destroy_fiber(stack.tsan_fiber);
#endif
    ::munmap(stack.base - kGuardBytes, kGuardBytes + stack.size);
  }
  // Those that were abandoned stay mapped: what points into them must keep pointing at something.
}

// The part of a switch that runs on the other side of it.
struct FiberJump {
  // `arrived.data` is the fiber that was left: where it goes on is known only now.
  static void Land(Fiber& landed, context::transfer_t arrived) {
    auto* from = static_cast<Fiber*>(arrived.data);
    from->context_ = arrived.fctx;
#if defined(POLLUX_FIBER_ASAN)
    const void* bottom = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(landed.asan_fake_stack_, &bottom, &size);
    if (from->stack_.base == nullptr) {  // the OS thread's own stack, seen for the first time
      from->stack_.base = static_cast<char*>(const_cast<void*>(bottom));
      from->stack_.size = size;
    }
#endif
    std::memcpy(static_cast<void*>(abi::__cxa_get_globals()), &landed.exceptions_,
                sizeof landed.exceptions_);
    errno = landed.errno_;
  }

  static void Leave(Fiber& from, Fiber& to, bool for_good) {
    from.errno_ = errno;
    std::memcpy(&from.exceptions_, static_cast<void*>(abi::__cxa_get_globals()),
                sizeof from.exceptions_);
#if defined(POLLUX_FIBER_ASAN)
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from.asan_fake_stack_, to.stack_.base,
                                   to.stack_.size);
#endif
#if defined(POLLUX_FIBER_TSAN)
    if (from.stack_.tsan_fiber == nullptr) from.stack_.tsan_fiber = __tsan_get_current_fiber();
    // With synchronisation: the simulator's own state is shared by all fibers.
    __tsan_switch_to_fiber(to.stack_.tsan_fiber, 0);
#endif
    (void)to;
    (void)for_good;
  }

  static void Run(context::transfer_t arrived) {
    Fiber* self = started_;
    Land(*self, arrived);
    self->entry_(self->argument_);
    CHECK(false);  // left by return
  }

  static thread_local Fiber* started_;  // whom a first jump is for
};

thread_local Fiber* FiberJump::started_ = nullptr;

void Fiber::Start(const FiberStack& stack, Entry entry, void* argument) {
  stack_ = stack;
  entry_ = entry;
  argument_ = argument;
  errno_ = 0;
  exceptions_ = {};
  asan_fake_stack_ = nullptr;
  context_ = context::make_fcontext(stack.base + stack.size, stack.size, &FiberJump::Run);
}

void Fiber::Switch(Fiber& from, Fiber& to) {
  FiberJump::Leave(from, to, /*for_good=*/false);
  FiberJump::started_ = &to;
  FiberJump::Land(from, context::jump_fcontext(to.context_, &from));
}

void Fiber::Finish(Fiber& from, Fiber& to) {
  FiberJump::Leave(from, to, /*for_good=*/true);
  FiberJump::started_ = &to;
  (void)context::jump_fcontext(to.context_, &from);
  __builtin_unreachable();
}

}  // namespace pollux::sim
