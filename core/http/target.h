// The request target's path (RFC 3986 §§2.1, 5.2.4; RFC 9112 §3.2).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pollux::http {

struct Target {
  std::string path;   // decoded exactly once, then dot segments removed; begins with '/'
  std::string query;  // undecoded, without '?'
  std::string host;   // of an absolute-form target, else empty
};

// Nothing for a broken escape, %00, a fragment, or a form that is not served: authority-form, and
// asterisk-form, which is no path. The path never climbs above "/": "/../x" is "/x". Any byte but
// NUL may come out of an escape, '/' included. Empty segments are dropped like ".", as the file
// system has it: "/a//../b" is "/b".
std::optional<Target> ParseTarget(std::string_view text);

// The same, into the memory of `target`'s strings; false for nothing, `target` is then anything.
bool ParseTarget(std::string_view text, Target& target);

// Percent-encodes a decoded path for Location: unreserved and '/' stay, the rest is escaped. Never
// yields a leading "//".
std::string EncodePath(std::string_view path);

}  // namespace pollux::http
