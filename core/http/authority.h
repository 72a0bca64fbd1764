// The authority of a target URI, as it stands in Host and in absolute-form targets.
#pragma once

#include <string_view>

namespace pollux::http {

// uri-host [ ":" port ] of RFC 9112 §3.2, with RFC 3986's syntax: a registered name (it may be
// empty), an IPv4 address or an IPv6 literal, and a port of at most 65535. No user information.
bool IsHostAndPort(std::string_view text);

}  // namespace pollux::http
