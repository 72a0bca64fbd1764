#include "core/server/listener.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/server/error_advice.h"

namespace pollux {

Result<Fd> OpenListeningSocket(Kernel& kernel, const SocketAddress& address,
                               uint64_t unsent_bytes_max, bool shared) {
  Result<Fd> socket =
      OwnFd(kernel, kernel.socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return socket;
  const int on = 1;
  // A restarted server must get its port back while old connections are in TIME_WAIT.
  if (Status s = kernel.setsockopt(socket->get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); !s) {
    return Err(s.error());
  }
  if (shared) {
    if (Status s = kernel.setsockopt(socket->get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on); !s) {
      return Err(s.error());
    }
  }
  // A head and its file are one answer: MSG_MORE joins what belongs together, and what ends an
  // answer must not wait for an ACK. Set here and not on each accepted socket: Linux hands it down,
  // which saves a system call per connection.
  if (Status s = kernel.setsockopt(socket->get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); !s) {
    return Err(s.error());
  }
  const int unsent = static_cast<int>(std::min<uint64_t>(unsent_bytes_max, kUnsentBytesLimit));
  if (Status s =
          kernel.setsockopt(socket->get(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent);
      !s) {
    return Err(s.error());
  }
  if (address.family() == AF_INET6) {
    // [::] means IPv6 and nothing else, whatever net.ipv6.bindv6only says.
    if (Status s = kernel.setsockopt(socket->get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
        !s) {
      return Err(s.error());
    }
  }
  if (Status s = kernel.bind(socket->get(), address.data(), address.size()); !s) {
    return Err(s.error());
  }
  if (Status s = kernel.listen(socket->get(), kListenBacklog); !s) return Err(s.error());
  return socket;
}

Result<SocketAddress> BoundAddress(Kernel& kernel, const Fd& socket) {
  SocketAddress address;
  socklen_t length = SocketAddress::kCapacity;
  if (Status s = kernel.getsockname(socket.get(), address.data(), &length); !s) {
    return Err(s.error());
  }
  return address;
}

Listener::Listener(Kernel& kernel, EventLoop& loop, Logger& log, Fd socket, Acceptor& acceptor)
    : kernel_(kernel),
      loop_(loop),
      log_(log),
      socket_(std::move(socket)),
      acceptor_(acceptor),
      backoff_([this] { Watch(); }) {}

Status Listener::Start() {
  if (Status s = Register(); !s) return s;
  started_ = true;
  return {};
}

Status Listener::Register() {
  Result<Registration> registration = loop_.Register(socket_.get(), POLLIN, this);
  if (!registration) return Err(registration.error());
  registration_ = std::move(*registration);
  return {};
}

void Listener::Pause() {
  paused_ = true;
  Watch();
}

void Listener::Resume() {
  paused_ = false;
  Watch();
}

void Listener::Close() {
  backoff_.Disarm();
  registration_.Reset();
  socket_.Reset();
}

// The one place that decides whether the listener is in the poll set.
void Listener::Watch() {
  if (!started_ || !socket_.valid()) return;
  const bool wanted = !paused_ && !backoff_.armed();
  Status done;
  if (registration_.valid()) {
    done = registration_.SetEvents(wanted ? POLLIN : 0);
  } else if (wanted) {
    done = Register();
  }
  if (done) return;
  // ENOMEM of epoll_ctl. To be left in the set would mean to be woken turn after turn for clients
  // that are not accepted; EPOLL_CTL_DEL needs no memory.
  registration_.Reset();
  // Tried again a little later, or the listener would stay deaf.
  if (wanted) loop_.timers().Arm(backoff_, loop_.now() + kAcceptBackoff);
}

Listener::Verdict Listener::Classify(int code) {
  switch (code) {
    case EAGAIN:  // nobody is waiting any more
      return Verdict::kNothingLeft;
    case EMFILE:   // RLIMIT_NOFILE
    case ENFILE:   // fs.file-max
    case ENOBUFS:  // socket memory; accept(2) lists both
    case ENOMEM:
      return Verdict::kShortage;
    case ECONNABORTED:  // the client gave up while it waited
    case EINTR:         // a signal of `published`; the next connection is as good
    case EPERM:         // a firewall rule forbids this one
    case ENETDOWN:      // accept(2): errors already pending on the new socket; go on as with EAGAIN
    case EPROTO:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case ETIMEDOUT:
      return Verdict::kNext;
    default:
      return Verdict::kUnknown;
  }
}

void Listener::OnFdevent(uint32_t /*revents*/) {
  for (int i = 0; i < kAcceptsPerTurn && !paused_; ++i) {
    SocketAddress peer;
    socklen_t length = SocketAddress::kCapacity;
    Result<int> fd =
        kernel_.accept4(socket_.get(), peer.data(), &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd) {
      ++accepted_;
      if (!acceptor_.OnAccept(Fd(kernel_, *fd), peer)) Pause();
      // The acceptor may have closed this listener.
      if (!socket_.valid()) return;
      continue;
    }
    switch (Classify(fd.error().code)) {
      case Verdict::kNext:
        continue;
      case Verdict::kNothingLeft:
        return;
      case Verdict::kShortage:
      case Verdict::kUnknown:
        // An errno that accept(2) does not list might come back at once, like a shortage.
        BackOff(fd.error());
        return;
    }
  }
}

void Listener::BackOff(const Error& error) {
  ++shortages_;
  const TimePoint now = loop_.now();
  if (!shortage_logged_ || now - *shortage_logged_ >= kShortageLogInterval) {
    shortage_logged_ = now;
    log_.Warn(
        "{} on the listening socket (descriptor {}): accepting pauses {} ms at a time until "
        "something is free{}",
        ToString(error), socket_.get(), kAcceptBackoff.count(), WhatToDo(error));
  }
  loop_.timers().Arm(backoff_, now + kAcceptBackoff);
  Watch();
}

}  // namespace pollux
