// Fibers: the simulated threads, all on one OS thread, switched in user space (Boost.Context's
// jump_fcontext: a few nanoseconds, where swapcontext(3) makes a system call).
//
// A switch takes along what the C++ runtime keeps per OS thread and a fiber must have for itself:
// errno and the stack of exceptions being handled. Under the address and thread sanitizers it is
// announced to them.
//
// A fiber is used again and again: it costs system calls and page faults to make, and under a
// sanitizer memory as well. What runs on it returns at its end, so that whatever keeps a stack of
// calls sees each of them end.
//
// Threads: a fiber belongs to the OS thread that made it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace pollux::sim {

class Fiber {
 public:
  // What runs on a fiber; returns whom the OS thread goes to from there.
  using Entry = Fiber* (*)(void* argument);

  // Stands for the OS thread's own stack: whoever calls Switch first.
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // `entry` runs at the next switch to it. It is not for the OS thread's own stack, nor for a fiber
  // whose last entry has not returned.
  void Start(Entry entry, void* argument);

  // Returns when somebody switches back to `from`, which must be the running fiber.
  static void Switch(Fiber& from, Fiber& to);

 private:
  friend class FiberPool;
  friend struct FiberJump;

  void Prepare();

  char* stack_ = nullptr;   // its lowest usable byte
  size_t stack_bytes_ = 0;  // both of the OS thread's own: not known before somebody else ran
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  void* context_ = nullptr;  // where it goes on
  bool began_ = false;       // something has run on it
  int errno_ = 0;
  struct {
    void* caught = nullptr;
    unsigned uncaught = 0;
  } exceptions_;
  [[maybe_unused]] void* asan_fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;  // under another sanitizer
};

// Keeps fibers from one execution to the next.
class FiberPool {
 public:
  FiberPool() = default;
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  // One that can be started. Valid until the pool ends.
  Fiber& Take();
  // Its entry has returned, or is about to, or never ran.
  void Give(Fiber& fiber) { free_.push_back(&fiber); }
  // Its entry stands somewhere and will never go on. Nothing on its stack is destroyed: what it
  // owns is lost, and no leak checker complains of that. `in_model`: where it stands is (tsan.h).
  void Abandon(Fiber& fiber, bool in_model);

 private:
  std::vector<std::unique_ptr<Fiber>> all_;
  std::vector<Fiber*> free_;
};

}  // namespace pollux::sim
