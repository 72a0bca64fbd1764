#include "core/http/authority.h"

#include <algorithm>
#include <boost/url/authority_view.hpp>
#include <boost/url/parse.hpp>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr uint64_t kPortMax = 65535;

// Nearly every Host is one of these, with or without a port: letters, digits, "-" and ".".
bool IsPlainName(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z') || c == '-' || c == '.';
  });
}

}  // namespace

bool IsHostAndPort(std::string_view text) {
  if (IsPlainName(text)) return true;
  const auto authority = boost::urls::parse_authority({text.data(), text.size()});
  if (!authority || authority->has_userinfo()) return false;
  const std::string_view port(authority->port().data(), authority->port().size());
  if (port.empty()) return true;  // "host:" is in the grammar (RFC 3986 §3.2.3)
  const auto number = ParseDecimal(port);
  return number && *number <= kPortMax;
}

}  // namespace pollux::http
