// Request targets and authorities as RFC 9112 §3.2 and RFC 3986 have them, read in the slow and
// obvious way and with nothing of core/http: what the targets judge its parsers by.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pollux::fuzz {

struct PlainTarget {
  std::string path;   // decoded once, without dot segments and empty ones
  std::string query;  // as it came
  std::string host;   // of the absolute form, with its port
};

// uri-host [ ":" port ] of RFC 9110 §7.2; the host may be empty.
bool IsPlainHost(std::string_view text);

// origin-form or absolute-form with http or https. Nothing for what is neither, a broken escape,
// NUL, a fragment and userinfo.
std::optional<PlainTarget> ReadPlainTarget(std::string_view text);

// The path without dot segments (RFC 3986 §5.2.4) and empty ones; it begins with '/'.
std::string ResolvedPath(const std::string& path);

}  // namespace pollux::fuzz
