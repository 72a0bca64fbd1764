#include "core/server/address.h"

#include <arpa/inet.h>

#include <charconv>
#include <cstring>

namespace pollux {
namespace {

std::optional<uint16_t> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || error != std::errc{} || stop != end) return std::nullopt;
  return port;
}

}  // namespace

SocketAddress::SocketAddress() {
  std::memset(&storage_, 0, sizeof storage_);
  storage_.any.sa_family = AF_INET;
}

std::optional<SocketAddress> SocketAddress::Parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<uint16_t> port = ParsePort(text.substr(colon + 1));
  if (!port) return std::nullopt;
  std::string host(text.substr(0, colon));
  SocketAddress address;
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    address.storage_.v6.sin6_family = AF_INET6;
    address.storage_.v6.sin6_port = htons(*port);
    if (::inet_pton(AF_INET6, host.c_str(), &address.storage_.v6.sin6_addr) != 1) {
      return std::nullopt;
    }
    return address;
  }
  address.storage_.v4.sin_port = htons(*port);
  if (::inet_pton(AF_INET, host.c_str(), &address.storage_.v4.sin_addr) != 1) return std::nullopt;
  return address;
}

socklen_t SocketAddress::size() const {
  return family() == AF_INET6 ? sizeof storage_.v6 : sizeof storage_.v4;
}

uint16_t SocketAddress::port() const {
  return ntohs(family() == AF_INET6 ? storage_.v6.sin6_port : storage_.v4.sin_port);
}

std::string SocketAddress::Host() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET6) {
    ::inet_ntop(AF_INET6, &storage_.v6.sin6_addr, text, sizeof text);
  } else {
    ::inet_ntop(AF_INET, &storage_.v4.sin_addr, text, sizeof text);
  }
  return text;
}

std::string SocketAddress::ToString() const {
  std::string text = Host();
  if (family() == AF_INET6) text.insert(0, 1, '[').push_back(']');
  return text.append(1, ':').append(std::to_string(port()));
}

}  // namespace pollux
