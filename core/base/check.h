// CHECK: for what cannot happen. Always on, in every build: a server that carries on after an
// impossible state is how unread memory reaches the wire. Never used on what the outside world
// (a client, a disk, an errno) can bring about.
#pragma once

namespace pollux {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace pollux

#define CHECK(condition)                        \
  (__builtin_expect(!!(condition), 1) ? (void)0 \
                                      : ::pollux::CheckFailed(#condition, __FILE__, __LINE__))
