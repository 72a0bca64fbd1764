// The listening socket: bounded accepts a turn, and patience when descriptors run out.
//
// Out of descriptors (EMFILE, ENFILE) or memory (ENOBUFS, ENOMEM), a level-triggered listener would
// be reported again and again and the loop would spin. It is taken out of the poll set for
// kAcceptBackoff instead; clients wait in the backlog and running connections go on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "core/event/event_loop.h"
#include "core/server/address.h"
#include "core/sys/kernel.h"
#include "core/sys/log.h"
#include "core/sys/raii.h"

namespace pollux {

inline constexpr int kListenBacklog = 1024;  // capped by net.core.somaxconn
inline constexpr int kAcceptsPerTurn = 64;
// --max-unsent: as much as net.ipv4.tcp_wmem lets a queue hold by default. A smaller bound costs
// more wake-ups for each answer.
inline constexpr uint64_t kUnsentBytesMax = 4096 * 1024;
inline constexpr uint64_t kUnsentBytesLimit = uint64_t{1} << 30;
inline constexpr std::chrono::milliseconds kAcceptBackoff{100};
// A shortage that comes and goes is told once in this time.
inline constexpr std::chrono::seconds kShortageLogInterval{60};

class Acceptor {
 public:
  virtual ~Acceptor() = default;
  // False when no further connection is wanted now: the caller stops until Resume.
  virtual bool OnAccept(Fd socket, const SocketAddress& peer) = 0;
};

// socket, bind and listen: non-blocking, SO_REUSEADDR, TCP_NODELAY (accepted sockets inherit it).
// EADDRINUSE, EACCES, EADDRNOTAVAIL, EAFNOSUPPORT come back as they are.
//
// `unsent_bytes_max` (TCP_NOTSENT_LOWAT, tcp(7); inherited too) bounds what lies in a connection's
// send queue and was not sent yet. Without it the kernel takes megabytes from a sender for a client
// that never reads: a thousand of them were measured to hold 1.3 to 1.5 GB, page references of
// punched chunks among it, and the host's TCP memory pressure then slowed every connection down.
// What is on its way to a client that reads is bounded by its window alone.
//
// `shared`: others of the same user may listen here too, and the kernel deals connections out to
// all of them (SO_REUSEPORT, socket(7)).
Result<Fd> OpenListeningSocket(Kernel& kernel, const SocketAddress& address,
                               uint64_t unsent_bytes_max = kUnsentBytesMax, bool shared = false);

// Where it really listens: the port that 0 became.
Result<SocketAddress> BoundAddress(Kernel& kernel, const Fd& socket);

// Loop thread only.
class Listener final : public FdeventCallback {
 public:
  // `acceptor` must outlive it.
  Listener(Kernel& kernel, EventLoop& loop, Logger& log, Fd socket, Acceptor& acceptor);

  Status Start();
  // No more OnAccept until Resume. Both may be called at any time.
  void Pause();
  void Resume();
  bool paused() const { return paused_; }
  // Clients are refused from now on.
  void Close();

  uint64_t accepted() const { return accepted_; }
  uint64_t shortages() const { return shortages_; }

  void OnFdevent(uint32_t revents) override;

 private:
  enum class Verdict { kNext, kNothingLeft, kShortage, kUnknown };
  static Verdict Classify(int code);
  void BackOff(const Error& error);
  Status Register();
  void Watch();

  Kernel& kernel_;
  EventLoop& loop_;
  Logger& log_;
  Fd socket_;
  Acceptor& acceptor_;
  Registration registration_;  // after socket_: leaves the poll set before the close
  Timer backoff_;
  bool started_ = false;
  bool paused_ = false;
  uint64_t accepted_ = 0;
  uint64_t shortages_ = 0;
  std::optional<TimePoint> shortage_logged_;
};

}  // namespace pollux
