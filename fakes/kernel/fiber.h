// Fibers: the simulated threads, all on one OS thread, switched in user space (Boost.Context's
// jump_fcontext: a few nanoseconds, where swapcontext(3) makes a system call).
//
// A switch takes along what the C++ runtime keeps per OS thread and a fiber must have for itself:
// errno and the stack of exceptions being handled. Under the address and thread sanitizers it is
// announced to them.
//
// Threads: a fiber and its stack belong to the OS thread that made them.
#pragma once

#include <cstddef>
#include <vector>

namespace pollux::sim {

// A stack with a guard page below: overflow is a fault, not a corruption.
struct FiberStack {
  char* base = nullptr;  // lowest usable byte
  size_t size = 0;       // bytes
  void* tsan_fiber = nullptr;
};

// Keeps stacks from one execution to the next: making one costs system calls and page faults.
class FiberStacks {
 public:
  FiberStacks() = default;
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  FiberStack Take();
  void Give(const FiberStack& stack) { free_.push_back(stack); }
  // The stack of a fiber that will never run again nor end: what it holds stays as it is, for good,
  // and no leak checker may complain.
  void Abandon(const FiberStack& stack) { abandoned_.push_back(stack); }

 private:
  std::vector<FiberStack> free_;
  std::vector<FiberStack> abandoned_;
};

// A line of execution. One that was not started stands for whoever calls Switch first: the OS
// thread's own stack.
class Fiber {
 public:
  using Entry = void (*)(void* argument);

  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // `entry` runs at the first switch to it, and leaves by Finish, never by return.
  void Start(const FiberStack& stack, Entry entry, void* argument);

  // Returns when somebody switches back to `from`, which must be the running fiber.
  static void Switch(Fiber& from, Fiber& to);
  // The last switch away from `from`: its stack may be used again at once.
  [[noreturn]] static void Finish(Fiber& from, Fiber& to);

  const FiberStack& stack() const { return stack_; }

 private:
  friend struct FiberJump;

  FiberStack stack_;
  Entry entry_ = nullptr;
  void* argument_ = nullptr;
  void* context_ = nullptr;  // where it goes on
  int errno_ = 0;
  struct {
    void* caught = nullptr;
    unsigned uncaught = 0;
  } exceptions_;
  void* asan_fake_stack_ = nullptr;
};

}  // namespace pollux::sim
