#include "core/http/authority.h"

#include <algorithm>
#include <boost/url/ipv6_address.hpp>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr uint64_t kPortMax = 65535;

// unreserved and sub-delims of RFC 3986 §2.
constexpr ByteSet kNameBytes = MakeByteSet([](char c) {
  return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z') ||
         (c != '\0' && std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos);
});

// reg-name of RFC 3986 §3.2.2: every IPv4 address is one, too. Boost.URL 1.81 is not asked, for it
// takes the beginning of "1.2.3.4.example" for an address and refuses the rest.
bool IsRegisteredName(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (Contains(kNameBytes, text[i])) continue;
    if (text[i] != '%' || text.size() - i < 3) return false;
    if (HexValue(text[i + 1]) < 0 || HexValue(text[i + 2]) < 0) return false;
    i += 2;
  }
  return true;
}

// IPvFuture of RFC 3986 §3.2.2; its "v" has either case (RFC 5234 §2.3), for Boost.URL just one.
bool IsFutureAddress(std::string_view text) {
  const size_t dot = text.find('.');
  if (dot == std::string_view::npos || dot < 2 || ToLower(text[0]) != 'v') return false;
  const std::string_view version = text.substr(1, dot - 1), address = text.substr(dot + 1);
  return std::all_of(version.begin(), version.end(), [](char c) { return HexValue(c) >= 0; }) &&
         !address.empty() && std::all_of(address.begin(), address.end(), [](char c) {
           return c == ':' || Contains(kNameBytes, c);
         });
}

// What stands between brackets.
bool IsLiteral(std::string_view text) {
  return boost::urls::parse_ipv6_address({text.data(), text.size()}).has_value() ||
         IsFutureAddress(text);
}

// The port, and the colon before it, that may follow a host.
bool IsPortPart(std::string_view text) {
  if (text.empty()) return true;
  if (text.front() != ':') return false;
  text.remove_prefix(1);
  if (text.empty()) return true;  // "host:" is in the grammar (RFC 3986 §3.2.3)
  const auto number = ParseDecimal(text);
  return number && *number <= kPortMax;
}

}  // namespace

bool IsHostAndPort(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    return bracket != std::string_view::npos && IsLiteral(text.substr(1, bracket - 1)) &&
           IsPortPart(text.substr(bracket + 1));
  }
  const size_t end = std::min(text.find(':'), text.size());
  return IsRegisteredName(text.substr(0, end)) && IsPortPart(text.substr(end));
}

}  // namespace pollux::http
