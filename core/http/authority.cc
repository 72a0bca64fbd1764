#include "core/http/authority.h"

#include <algorithm>
#include <boost/url/authority_view.hpp>
#include <boost/url/parse.hpp>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr uint64_t kPortMax = 65535;

bool IsPlainName(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z') || c == '-' || c == '.';
  });
}

bool IsPort(std::string_view text) {
  if (text.empty()) return true;  // "host:" is in the grammar (RFC 3986 §3.2.3)
  const auto number = ParseDecimal(text);
  return number && *number <= kPortMax;
}

}  // namespace

bool IsHostAndPort(std::string_view text) {
  // Nearly every Host is a plain name or IPv4 address, where the grammar has nothing to add.
  const size_t colon = text.find(':');
  if (IsPlainName(text.substr(0, colon))) {
    return colon == std::string_view::npos || IsPort(text.substr(colon + 1));
  }
  const auto authority = boost::urls::parse_authority({text.data(), text.size()});
  if (!authority || authority->has_userinfo()) return false;
  return IsPort({authority->port().data(), authority->port().size()});
}

}  // namespace pollux::http
