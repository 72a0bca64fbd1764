// Socket addresses as people write them: 127.0.0.1:8080, [::1]:0.
//
// Numeric only: a name would mean a resolver, which blocks and opens descriptors behind the seam.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pollux {

class SocketAddress {
 public:
  SocketAddress();  // 0.0.0.0:0

  // Nothing for what is not ADDR:PORT with a numeric address (IPv6 in brackets) and a port of at
  // most 65535. Port 0 lets the kernel pick one.
  static std::optional<SocketAddress> Parse(std::string_view text);

  // For accept4 and getsockname: the buffer to be filled, and its room.
  sockaddr* data() { return &storage_.any; }
  static constexpr socklen_t kCapacity = sizeof(sockaddr_in6);

  const sockaddr* data() const { return &storage_.any; }
  socklen_t size() const;
  int family() const { return storage_.any.sa_family; }
  uint16_t port() const;

  std::string Host() const;      // "127.0.0.1", "::1"
  std::string ToString() const;  // "127.0.0.1:8080", "[::1]:8080"

 private:
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  } storage_;
};

}  // namespace pollux
