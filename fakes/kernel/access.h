// Holds each step to what it declared. The reductions of the search are sound only as far as
// footprints are true, so that whatever the model's objects are touched by is compared with the
// footprint of the step that is under way: one that is not declared ends the program.
#pragma once

#include "fakes/kernel/choices.h"

namespace pollux::sim {

class AccessCheck {
 public:
  // `what` names the object for the message, and has static storage duration.
  void Read(ObjectId object, const char* what) const {
    if ((readable_ >> (object & 63) & 1) == 0) Fail("reads", object, what);
  }
  void Write(ObjectId object, const char* what) const {
    if ((writable_ >> (object & 63) & 1) == 0) Fail("writes", object, what);
  }
  // All that `touched` reads and writes.
  void Touch(const Footprint& touched, const char* what) const;

  // From here on a step that declared this; or whoever is not held to anything: those who make the
  // world before an execution and judge it.
  void Begin(const Footprint& declared, const char* operation) {
    readable_ = declared.reads | declared.writes;
    writable_ = declared.writes;
    operation_ = operation;
  }
  void Release() { Begin(Footprint::Everything(), ""); }

  class Scope;

 private:
  [[noreturn]] void Fail(const char* does, ObjectId object, const char* what) const;

  uint64_t readable_ = ~uint64_t{0};
  uint64_t writable_ = ~uint64_t{0};
  const char* operation_ = "";
};

// While it exists, something else is held to something else: a look at whether a thread that sleeps
// would go on, say.
class AccessCheck::Scope {
 public:
  Scope(AccessCheck& check, const Footprint& declared, const char* operation)
      : check_(check), before_(check) {
    check_.Begin(declared, operation);
  }
  ~Scope() { check_ = before_; }
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

 private:
  AccessCheck& check_;
  const AccessCheck before_;
};

}  // namespace pollux::sim
