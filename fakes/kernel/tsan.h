// What the thread sanitizer has to be told of the model, so that it sees the races of the program
// that runs on it: fibers switch without synchronising, what the model does to itself is not looked
// at, and the seam's primitives say who synchronises with whom. Without effect in other builds.
//
// Who synchronises: thread_create and the thread's start, its end and thread_join, unlock and lock
// of a mutex, all that is done to one word, an eventfd's write and read, and io_submit with whoever
// reaps what it submitted. Signals do not.
#pragma once

#include <cstddef>
#include <cstdint>

// Defined for this folder by its CMakeLists.txt, which leaves it without instrumentation; others
// see it by what their compiler says.
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if !defined(POLLUX_TSAN) && (defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer))
#define POLLUX_TSAN 1
#endif
#if defined(POLLUX_TSAN)
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
void AnnotateBenignRaceSized(const char* file, int line, const volatile void* address, size_t bytes,
                             const char* why);
}
#endif

namespace pollux::sim::tsan {

#if defined(POLLUX_TSAN)

inline void EnterModel() {
  __tsan_ignore_thread_begin();
  AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
}
inline void LeaveModel() {
  AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
  __tsan_ignore_thread_end();
}
// Outside of the model: the running fiber has seen all that was released to `object`, or releases
// what it did itself.
inline void AcquireOutside(const void* object) { __tsan_acquire(const_cast<void*>(object)); }
inline void ReleaseOutside(const void* object) { __tsan_release(const_cast<void*>(object)); }
// How many races have been reported by now.
uint64_t Reports();

#else

inline void EnterModel() {}
inline void LeaveModel() {}
inline void AcquireOutside(const void*) {}
inline void ReleaseOutside(const void*) {}
inline uint64_t Reports() { return 0; }

#endif

// The same within the model.
inline void Acquire(const void* object) {
  LeaveModel();
  AcquireOutside(object);
  EnterModel();
}
inline void Release(const void* object) {
  LeaveModel();
  ReleaseOutside(object);
  EnterModel();
}

// While it exists, the running thread is in the model. `inside`: whether it was already; one for
// each thread.
class InModel {
 public:
  explicit InModel(bool& inside) : inside_(inside), was_inside_(inside) {
    if (!was_inside_) EnterModel();
    inside_ = true;
  }
  ~InModel() {
    inside_ = was_inside_;
    if (!was_inside_) LeaveModel();
  }
  InModel(const InModel&) = delete;
  InModel& operator=(const InModel&) = delete;

 private:
  bool& inside_;
  const bool was_inside_;
};

// While it exists, the model has called the program back.
class InProgram {
 public:
  explicit InProgram(bool& inside) : inside_(inside), was_inside_(inside) {
    if (was_inside_) LeaveModel();
    inside_ = false;
  }
  ~InProgram() {
    inside_ = was_inside_;
    if (was_inside_) EnterModel();
  }
  InProgram(const InProgram&) = delete;
  InProgram& operator=(const InProgram&) = delete;

 private:
  bool& inside_;
  const bool was_inside_;
};

}  // namespace pollux::sim::tsan
