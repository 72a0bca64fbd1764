// What clients say to the server, and when: a script. Any bytes are one, so that a fuzzer can
// change them at will, and requests stand in it as they are sent.
//
// The first byte sets the stage (Settings). Then come the bytes that the first client sends; 0xff
// and a letter among them is something else that it does:
//
//   0xff 0xff  the byte 0xff        n  from here on, the next client speaks
//   c  cut: what follows is sent in a step of its own
//   p  pauses: kScriptPause of virtual time, in which everything else can happen first
//   l  takes no byte of its answers before it has said everything
//   s  stays when it has said everything, until the server ends the connection
//   h  shuts its sending side      q  closes      r  resets; the last thing it does, each of them
//   T  the server gets SIGTERM (and drains; a second time, it stops)      H  SIGHUP
//   F  one more call of the kernel may fail, if the choices say so (troubled_kernel.h)
//
// Other letters do nothing. A client that says nothing of the kind shuts its sending side at the
// end: the server has to answer all that it has asked for.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/units.h"

namespace pollux::sim {

inline constexpr Nanoseconds kScriptPause = std::chrono::seconds(7);
// More than these are not looked at.
inline constexpr size_t kScriptClientsMax = 4;
inline constexpr size_t kScriptActsMax = 64;  // of one client
inline constexpr int kScriptTroublesMax = 8;  // calls that may fail, of all clients

struct Act {
  enum class Kind { kSend, kPause, kTerminate, kHangup, kHalfClose, kClose, kReset };
  Kind kind = Kind::kSend;
  std::string bytes;  // kSend
};

struct ClientScript {
  std::vector<Act> acts;
  bool late = false;
  bool stays = false;

  // All that is sent before the connection is closed or reset.
  std::string Sent() const;
  bool Has(Act::Kind kind) const;
};

// The stage: what the server is told on its command line, and how large its sockets' queues are.
struct Settings {
  size_t socket_bytes = 128 * 1024;  // bits 0 and 1: 1, 4, 16 or 128 KiB
  bool small_chunks = false;         // bit 2: 4 KiB, not 16
  bool keeps_files = true;           // bit 3 unset
  bool poll = false;                 // bit 4: poll(2), not epoll
  bool names_cached = true;          // bit 5 unset: opened by the loop, not by a worker
  bool small_limits = false;         // bit 6: of heads, ranges, time
  bool listing = false;              // bit 7
};

struct Script {
  Settings settings;
  std::vector<ClientScript> clients;
  int troubles = 0;  // how many calls may fail

  // Whether any client does.
  bool Has(Act::Kind kind) const;
};

Script ParseScript(std::string_view text);

}  // namespace pollux::sim
