// TCP sockets of the simulated process, all of them non-blocking.
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

uint16_t PortOf(const sockaddr_storage& address) {
  // Both families have it at the same place.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&address)->sin_port);
}

constexpr int kSocketFlags = SOCK_NONBLOCK | SOCK_CLOEXEC;

}  // namespace

// --- The world's side

std::shared_ptr<Connection> SimKernel::ConnectTo(const sockaddr_storage& address) {
  for (Description* listener : listeners_) {
    if (PortOf(listener->address) != PortOf(address)) continue;
    scheduler_.access().Touch(Footprint().Read(kDescriptorTable).Write(listener->object),
                              "a listener");
    if (listener->backlog.size() >= listener->backlog_max) return nullptr;
    const size_t buffer =
        listener->send_capacity != 0 ? listener->send_capacity : options_.send_buffer;
    auto made = std::make_shared<Connection>(scheduler_, frames_, buffer + options_.peer_buffer,
                                             options_.peer_buffer);
    listener->backlog.push_back(made);
    return made;
  }
  return nullptr;
}

std::shared_ptr<Connection> SimKernel::ConnectToListener() {
  return listeners_.empty() ? nullptr : ConnectTo(listeners_.front()->address);
}

bool SimKernel::listening() const {
  return std::any_of(listeners_.begin(), listeners_.end(), [](const Description* listener) {
    return listener->backlog.size() < listener->backlog_max;
  });
}

// --- The process's side

Result<int> SimKernel::socket(int domain, int type, int) {
  if ((domain != AF_INET && domain != AF_INET6) || (type & ~kSocketFlags) != SOCK_STREAM) {
    NotModelled("a socket that is not TCP");
  }
  Call call(*this, "socket", Opening());
  auto made =
      NewDescription(Description::Kind::kSocket, (type & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);
  made->address.ss_family = static_cast<sa_family_t>(domain);
  made->address_length = domain == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  return Install(std::move(made), "socket");
}

Status SimKernel::bind(int fd, const sockaddr* addr, socklen_t len) {
  Call call(*this, "bind", Using(fd, true).Add(Opening()));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "bind");
  if (found->kind != Description::Kind::kSocket || len > sizeof found->address) {
    return Err(EINVAL, "bind");
  }
  sockaddr_storage wanted{};
  std::memcpy(&wanted, addr, len);
  if (PortOf(wanted) == 0) {
    reinterpret_cast<sockaddr_in*>(&wanted)->sin_port = htons(next_port_++);
  }
  for (const Description* other : listeners_) {
    if (PortOf(other->address) == PortOf(wanted)) return Err(EADDRINUSE, "bind");
  }
  Writes(*found);
  found->address = wanted;
  found->address_length = len;
  return {};
}

Status SimKernel::listen(int fd, int backlog) {
  Call call(*this, "listen", Using(fd, true).Add(Opening()));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "listen");
  if (found->kind != Description::Kind::kSocket) return Err(EINVAL, "listen");
  if (PortOf(found->address) == 0) {
    reinterpret_cast<sockaddr_in*>(&found->address)->sin_port = htons(next_port_++);
  }
  Writes(*found);
  found->kind = Description::Kind::kListener;
  found->backlog_max = static_cast<size_t>(std::max(backlog, 0)) + 1;
  listeners_.push_back(found);
  return {};
}

Result<int> SimKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  Call call(*this, "accept4", Using(fd, true).Add(Opening()));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "accept4");
  if (found->kind != Description::Kind::kListener) return Err(EINVAL, "accept4");
  if (found->backlog.empty()) {
    if (found->nonblocking()) return Err(EAGAIN, "accept4");
    NotModelled("accept4 that blocks");
  }
  auto made =
      NewDescription(Description::Kind::kConnection, (flags & SOCK_NONBLOCK) != 0 ? O_NONBLOCK : 0);
  made->connection = found->backlog.front();
  const Result<int> accepted = Install(made, "accept4");
  if (!accepted) return accepted;
  Writes(*found);
  found->backlog.pop_front();
  if (addr != nullptr) {
    const socklen_t size = std::min(*len, found->address_length);
    std::memcpy(addr, &found->address, size);  // a peer on this machine
    *len = found->address_length;
  }
  return accepted;
}

Status SimKernel::getsockname(int fd, sockaddr* addr, socklen_t* len) {
  Call call(*this, "getsockname", Using(fd, false));
  const Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "getsockname");
  if (found->address_length == 0) return Err(ENOTSOCK, "getsockname");
  std::memcpy(addr, &found->address, std::min(*len, found->address_length));
  *len = found->address_length;
  return {};
}

Status SimKernel::setsockopt(int fd, int level, int name, const void* value, socklen_t len) {
  Call call(*this, "setsockopt", Using(fd, true));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "setsockopt");
  if (level == SOL_SOCKET && name == SO_LINGER) {
    linger wanted{};
    if (len < sizeof wanted) return Err(EINVAL, "setsockopt");
    std::memcpy(&wanted, value, sizeof wanted);
    if (found->connection != nullptr) {
      found->connection->set_linger_zero(wanted.l_onoff != 0 && wanted.l_linger == 0);
    }
    return {};
  }
  if (level == SOL_SOCKET && name == SO_SNDBUF) {
    int bytes = 0;
    if (len < sizeof bytes) return Err(EINVAL, "setsockopt");
    std::memcpy(&bytes, value, sizeof bytes);
    Writes(*found);
    found->send_capacity = static_cast<size_t>(bytes);
    if (found->connection != nullptr) found->connection->set_capacity(found->send_capacity);
    return {};
  }
  // Packets and ports are not modelled: these change nothing.
  const bool no_effect =
      (level == SOL_SOCKET && name == SO_REUSEADDR) ||
      (level == IPPROTO_TCP && (name == TCP_NODELAY || name == TCP_NOTSENT_LOWAT)) ||
      (level == IPPROTO_IPV6 && name == IPV6_V6ONLY);
  if (!no_effect) NotModelled("setsockopt of another option");
  return {};
}

Status SimKernel::getsockopt(int, int, int, void*, socklen_t*) { NotModelled("getsockopt"); }

Result<size_t> SimKernel::recv(int fd, void* buf, size_t len, int flags) {
  if ((flags & ~(MSG_PEEK | MSG_DONTWAIT)) != 0) NotModelled("recv with other flags");
  Call call(*this, "recv", Using(fd, true));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "recv");
  if (found->connection == nullptr) return Err(ENOTCONN, "recv");
  const long got =
      found->connection->Receive(static_cast<char*>(buf), len, (flags & MSG_PEEK) != 0);
  if (got == -EAGAIN && !found->nonblocking() && (flags & MSG_DONTWAIT) == 0) {
    NotModelled("recv that blocks");
  }
  if (got < 0) return Err(static_cast<int>(-got), "recv");
  return static_cast<size_t>(got);
}

// Of a call that sends through `fd`: a broken one brings a signal.
Footprint SimKernel::Sending(int fd) const {
  Footprint footprint = Using(fd, true).Read(kDispositions);
  const SimThread& self = scheduler_.current();
  return signals_.Drops(self, SIGPIPE) ? footprint : footprint.Write(self.signals_object);
}

// EPIPE comes with SIGPIPE unless the caller said no.
Result<size_t> SimKernel::Sent(long result, int flags, const char* operation) {
  if (result >= 0) return static_cast<size_t>(result);
  if (result == -EPIPE && (flags & MSG_NOSIGNAL) == 0) {
    signals_.SendToThread(scheduler_.current(), SIGPIPE);
  }
  return Err(static_cast<int>(-result), operation);
}

Result<size_t> SimKernel::send(int fd, const void* buf, size_t len, int flags) {
  if ((flags & ~(MSG_NOSIGNAL | MSG_MORE | MSG_DONTWAIT)) != 0) {
    NotModelled("send with other flags");
  }
  Call call(*this, "send", Sending(fd).Add(Buffer(buf, false)));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "send");
  if (found->connection == nullptr) return Err(EPIPE, "send");
  const auto* bytes = static_cast<const char*>(buf);
  if (options_.symbolic && symbols_.Find(buf)) {
    return Sent(SendSymbols(*found->connection, bytes, len), flags, "send");
  }
  return Sent(found->connection->Send(bytes, len), flags, "send");
}

Result<size_t> SimKernel::writev(int fd, const iovec* iov, int iovcnt) {
  Footprint footprint = Sending(fd);
  for (int i = 0; i < iovcnt; ++i) footprint.Add(Buffer(iov[i].iov_base, false));
  Call call(*this, "writev", footprint);
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "writev");
  if (found->connection == nullptr) NotModelled("writev to anything but a connection");
  size_t total = 0;
  for (int i = 0; i < iovcnt; ++i) {
    const long sent =
        found->connection->Send(static_cast<const char*>(iov[i].iov_base), iov[i].iov_len);
    if (sent < 0) return total > 0 ? Result<size_t>(total) : Sent(sent, 0, "writev");
    total += static_cast<size_t>(sent);
    if (static_cast<size_t>(sent) < iov[i].iov_len) break;
  }
  return total;
}

Result<size_t> SimKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  Footprint footprint = Sending(out_fd).Add(Using(in_fd, offset == nullptr));
  const Description* known = At(in_fd);
  if (known != nullptr && known->inode != nullptr) footprint.Write(known->inode->object);
  footprint.Write(kSharedMemory).Add(UsesDisk());
  Call call(*this, "sendfile", footprint);
  const DescriptionPtr out = Hold(out_fd), in = Hold(in_fd);
  if (out == nullptr || in == nullptr || (in->flags & O_PATH) != 0) return Err(EBADF, "sendfile");
  if (out->connection == nullptr) NotModelled("sendfile to anything but a connection");
  if (in->inode == nullptr || in->inode->kind == Inode::Kind::kDirectory) {
    return Err(EINVAL, "sendfile");
  }
  const size_t from = offset != nullptr ? static_cast<size_t>(*offset) : in->offset;
  constexpr size_t kDirectBlock = 512;
  if ((in->flags & O_DIRECT) != 0 && (from | count) % kDirectBlock != 0) {
    return Err(EINVAL, "sendfile");
  }
  const Result<size_t> sent = SendfileTo(*out->connection, *in, from, count);
  // Closed by another thread while this one waited for the disk: this was the last reference.
  if (out.use_count() == 1) out->connection->Close(out->connection->linger_zero());
  if (!sent) return sent;
  if (offset != nullptr) {
    *offset += static_cast<off_t>(*sent);
  } else {
    Writes(*in);
    in->offset += *sent;
  }
  return sent;
}

Result<size_t> SimKernel::SendfileTo(Connection& out, Description& in, size_t offset,
                                     size_t count) {
  const size_t size = in.inode->size();
  if (offset >= size) return 0;
  count = std::min(count, size - offset);
  if (in.inode->kind == Inode::Kind::kMemory) {
    return Sent(out.SendPages(*in.inode->memory, offset, count), 0, "sendfile");
  }
  scheduler_.access().Write(in.inode->object, "a file");
  if (in.inode->pages != nullptr) return SendfileFromDisk(out, in, offset, count);
  in.inode->cached = true;
  ++files_sent_;
  if (in.inode->content == nullptr) {
    return Sent(out.SendSymbols({in.inode->number, offset, count}), 0, "sendfile");
  }
  return Sent(out.SendCached(in.inode->content, in.inode->Zeroed(), offset, count), 0, "sendfile");
}

Status SimKernel::shutdown(int fd, int how) {
  Call call(*this, "shutdown", Using(fd, true));
  Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "shutdown");
  if (found->connection == nullptr) return Err(ENOTCONN, "shutdown");
  if ((found->connection->Readiness() & POLLHUP) != 0 && found->connection->peer_ended()) {
    return Err(ENOTCONN, "shutdown");
  }
  if (how != SHUT_RD) found->connection->ShutdownWrite();
  if (how != SHUT_WR) found->connection->ShutdownRead();
  return {};
}

Result<int> SimKernel::ioctl_outq(int fd) {
  Call call(*this, "ioctl SIOCOUTQ", Using(fd, false));
  const Description* found = Find(fd);
  if (found == nullptr) return Err(EBADF, "ioctl");
  if (found->connection == nullptr) return Err(ENOTTY, "ioctl");
  return static_cast<int>(found->connection->unacknowledged());
}

}  // namespace pollux::sim
