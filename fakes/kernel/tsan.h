// What the thread sanitizer has to be told of the model, so that it sees the races of the program
// on it: fibers switch without synchronisation, what the model does to itself is not looked at, and
// the seam's primitives say who synchronises with whom. Without effect in other builds.
#pragma once

#include <cstdint>

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_THREAD__) || __has_feature(thread_sanitizer)
#define POLLUX_TSAN 1
#include <sanitizer/tsan_interface.h>
extern "C" {
void __tsan_ignore_thread_begin();
void __tsan_ignore_thread_end();
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);
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
// In the model: the program's thread that runs has seen all that was released to `object`, or
// releases what it did itself.
inline void Acquire(const void* object) {
  LeaveModel();
  __tsan_acquire(const_cast<void*>(object));
  EnterModel();
}
inline void Release(const void* object) {
  LeaveModel();
  __tsan_release(const_cast<void*>(object));
  EnterModel();
}
// How many races have been reported by now.
uint64_t Reports();

#else

inline void EnterModel() {}
inline void LeaveModel() {}
inline void Acquire(const void*) {}
inline void Release(const void*) {}
inline uint64_t Reports() { return 0; }

#endif

// While it exists, the running fiber is in the model; or, called back by that, in the program.
struct InModel {
  InModel() { EnterModel(); }
  ~InModel() { LeaveModel(); }
  InModel(const InModel&) = delete;
  InModel& operator=(const InModel&) = delete;
};
struct InProgram {
  InProgram() { LeaveModel(); }
  ~InProgram() { EnterModel(); }
  InProgram(const InProgram&) = delete;
  InProgram& operator=(const InProgram&) = delete;
};

}  // namespace pollux::sim::tsan
