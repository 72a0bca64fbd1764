#include "fakes/kernel/fiber.h"

#include <cxxabi.h>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>
#include <cerrno>
#include <cstring>

#include "core/base/check.h"
#include "fakes/kernel/tsan.h"

// gcc says __SANITIZE_x__, clang __has_feature(x).
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define POLLUX_FIBER_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#endif

namespace pollux::sim {
namespace {

namespace context = boost::context::detail;

// Sanitizers make frames several times as large. Only what is touched is committed.
#if defined(POLLUX_FIBER_ASAN) || defined(POLLUX_TSAN)
constexpr size_t kStackBytes = 2 << 20;
#else
constexpr size_t kStackBytes = 512 << 10;
#endif
constexpr size_t kGuardBytes = 4096;  // below it: overflow is a fault, not a corruption

#if defined(POLLUX_FIBER_ASAN)
// What is referred to between two addresses, frames that were moved off the stack included, is not
// to be called a leak. (Reads red zones, too.)
__attribute__((no_sanitize("address"))) void IgnoreLeaks(void* fake_stack, char* begin, char* end) {
  for (char* at = begin; at + sizeof(void*) <= end; at += sizeof(void*)) {
    void* word = *reinterpret_cast<void**>(at);
    __lsan_ignore_object(word);
    void *frame = nullptr, *frame_end = nullptr;
    if (fake_stack == nullptr ||
        __asan_addr_is_in_fake_stack(fake_stack, word, &frame, &frame_end) == nullptr) {
      continue;
    }
    IgnoreLeaks(nullptr, static_cast<char*>(frame), static_cast<char*>(frame_end));
  }
}

// A fake stack ends with its fiber's last switch. The fiber that is gone cannot make it: the OS
// thread pretends to be there, and leaves for good. No call in between may have a frame of its own.
__attribute__((no_sanitize("address"))) void EndFakeStack(void* fake_stack, char* stack,
                                                          size_t bytes) {
  void* own = nullptr;
  const void* own_stack = nullptr;
  size_t own_bytes = 0;
  __sanitizer_start_switch_fiber(&own, stack, bytes);
  __sanitizer_finish_switch_fiber(fake_stack, &own_stack, &own_bytes);
  __sanitizer_start_switch_fiber(nullptr, own_stack, own_bytes);
  __sanitizer_finish_switch_fiber(own, nullptr, nullptr);
}
#endif

}  // namespace

struct FiberJump {
  // The part of a switch that runs on the other side of it. `arrived.data` is the fiber that was
  // left: where it goes on is known only now.
  static void Land(Fiber& landed, context::transfer_t arrived) {
    auto* from = static_cast<Fiber*>(arrived.data);
    from->context_ = arrived.fctx;
#if defined(POLLUX_FIBER_ASAN)
    const void* bottom = nullptr;
    size_t size = 0;
    __sanitizer_finish_switch_fiber(landed.asan_fake_stack_, &bottom, &size);
    if (from->stack_ == nullptr) {  // the OS thread's own, seen for the first time
      from->stack_ = static_cast<char*>(const_cast<void*>(bottom));
      from->stack_bytes_ = size;
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
    __sanitizer_start_switch_fiber(for_good ? nullptr : &from.asan_fake_stack_, to.stack_,
                                   to.stack_bytes_);
#endif
#if defined(POLLUX_TSAN)
    if (from.tsan_fiber_ == nullptr) from.tsan_fiber_ = __tsan_get_current_fiber();
    // The sanitizer keeps a stack of calls for each fiber, too: what is entered on one and left on
    // another must not be counted, and is not, since this folder is not instrumented.
    __tsan_switch_to_fiber(to.tsan_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
    (void)to;
    (void)for_good;
  }

  // The bottom of each fiber's stack: one entry after the other, until there is none.
  static void Run(context::transfer_t arrived) {
    Fiber& self = *started_;
    Land(self, arrived);
    while (self.entry_ != nullptr) Fiber::Switch(self, *self.entry_(self.argument_));
    Fiber& last = *static_cast<Fiber*>(self.argument_);
    Leave(self, last, /*for_good=*/true);
    (void)context::jump_fcontext(last.context_, &self);
    __builtin_unreachable();
  }

  static thread_local Fiber* started_;  // whom a first jump is for
};

thread_local Fiber* FiberJump::started_ = nullptr;

void Fiber::Prepare() {
  context_ = context::make_fcontext(stack_ + stack_bytes_, stack_bytes_, &FiberJump::Run);
  began_ = false;
  asan_fake_stack_ = nullptr;
#if defined(POLLUX_TSAN)
  tsan_fiber_ = __tsan_create_fiber(0);
  AnnotateBenignRaceSized(__FILE__, __LINE__, &errno, sizeof errno, "each fiber has its own");
#endif
}

void Fiber::Start(Entry entry, void* argument) {
  entry_ = entry;
  argument_ = argument;
  errno_ = 0;
  exceptions_ = {};
}

void Fiber::Switch(Fiber& from, Fiber& to) {
  to.began_ = true;
  FiberJump::started_ = &to;
  FiberJump::Leave(from, to, /*for_good=*/false);
  FiberJump::Land(from, context::jump_fcontext(to.context_, &from));
}

Fiber& FiberPool::Take() {
  if (free_.empty()) {
    void* memory = ::mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(::mprotect(memory, kGuardBytes, PROT_NONE) == 0);
    auto made = std::make_unique<Fiber>();
    made->stack_ = static_cast<char*>(memory) + kGuardBytes;
    made->stack_bytes_ = kStackBytes;
    made->Prepare();
    free_.push_back(made.get());
    all_.push_back(std::move(made));
  }
  Fiber& taken = *free_.back();
  free_.pop_back();
  return taken;
}

void FiberPool::Abandon(Fiber& fiber, [[maybe_unused]] bool in_model) {
#if defined(POLLUX_FIBER_ASAN)
  if (fiber.began_) {
    IgnoreLeaks(fiber.asan_fake_stack_, static_cast<char*>(fiber.context_),
                fiber.stack_ + fiber.stack_bytes_);
    EndFakeStack(fiber.asan_fake_stack_, fiber.stack_, fiber.stack_bytes_);
  }
  __asan_unpoison_memory_region(fiber.stack_, fiber.stack_bytes_);
#endif
#if defined(POLLUX_TSAN)
  if (in_model) {  // it cannot say itself that it leaves
    void* here = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(fiber.tsan_fiber_, __tsan_switch_to_fiber_no_sync);
    tsan::LeaveModel();
    __tsan_switch_to_fiber(here, __tsan_switch_to_fiber_no_sync);
  }
  __tsan_destroy_fiber(fiber.tsan_fiber_);
#endif
  fiber.Prepare();
  Give(fiber);
}

// Those that were neither given back nor abandoned stay: somebody may still stand on them.
FiberPool::~FiberPool() {
  Fiber here;
  for (Fiber* fiber : free_) {
    if (fiber->began_) {
      fiber->Start(nullptr, &here);
      Fiber::Switch(here, *fiber);
    }
#if defined(POLLUX_FIBER_ASAN)
    // What its frames poisoned would outlive the mapping, and meet whoever is mapped here next.
    __asan_unpoison_memory_region(fiber->stack_, fiber->stack_bytes_);
#endif
#if defined(POLLUX_TSAN)
    __tsan_destroy_fiber(fiber->tsan_fiber_);
#endif
    ::munmap(fiber->stack_ - kGuardBytes, kGuardBytes + fiber->stack_bytes_);
  }
}

}  // namespace pollux::sim
