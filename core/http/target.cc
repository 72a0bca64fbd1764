#include "core/http/target.h"

#include <algorithm>

#include "core/http/authority.h"
#include "core/http/syntax.h"

namespace pollux::http {
namespace {

// unreserved of RFC 3986 §2.3, and the slashes between segments.
constexpr ByteSet kPathBytes = MakeByteSet([](char c) {
  return IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z') || c == '-' || c == '.' ||
         c == '_' || c == '~' || c == '/';
});

// Decodes each escape once. False for a broken escape and for %00.
bool PercentDecode(std::string_view text, std::string& out) {
  out.clear();
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (text.size() - i < 3) return false;
      const int high = HexValue(text[i + 1]);
      const int low = HexValue(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high << 4 | low);
      i += 2;
    }
    if (c == '\0') return false;
    out.push_back(c);
  }
  return true;
}

// remove_dot_segments of RFC 3986 §5.2.4, in place, on a decoded path that begins with '/'. Empty
// segments go, too, before "..": "/a//../b" is "/b", as the file system has it and not "/a/b".
void RemoveDotSegments(std::string& path) {
  size_t out = 0;  // path[0, out) is done, without the slash that ends it
  size_t in = 0;
  while (in < path.size()) {
    const size_t begin = in + 1;  // path[in] is a slash
    size_t end = path.find('/', begin);
    if (end == std::string::npos) end = path.size();
    const std::string_view segment = std::string_view(path).substr(begin, end - begin);
    const bool last = end == path.size();
    in = end;
    if (segment == "..") {
      const size_t slash = out == 0 ? std::string::npos : path.rfind('/', out - 1);
      out = slash == std::string::npos ? 0 : slash;
    }
    if (segment.empty() || segment == "." || segment == "..") {
      if (last) path[out++] = '/';  // "/a/." and "/a/.." name directories
      continue;
    }
    // Forwards onto itself: never further right than it was read.
    std::copy(path.begin() + begin - 1, path.begin() + end, path.begin() + out);
    out += end - begin + 1;
  }
  path.resize(out);
}

// Cuts "http://authority" off an absolute-form target. False if it is none, or a bad one.
bool TakeAuthority(std::string_view& rest, std::string& host) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!EqualsIgnoreCase(rest.substr(0, scheme.size()), scheme)) continue;
    rest.remove_prefix(scheme.size());
    const size_t end = rest.find_first_of("/?");
    host = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
    return !host.empty() && host.front() != ':' && IsHostAndPort(host);
  }
  return false;
}

}  // namespace

bool ParseTarget(std::string_view text, Target& target) {
  target.host.clear();
  // A fragment is never sent (RFC 9112 §3.2); who sends one means another path than is seen here.
  if (text.find('#') != std::string_view::npos) return false;
  if (text.empty() || (text.front() != '/' && !TakeAuthority(text, target.host))) return false;
  const size_t question = text.find('?');
  const bool query = question != std::string_view::npos;
  target.query = query ? text.substr(question + 1) : std::string_view();
  std::string_view path = text.substr(0, question);
  if (path.empty()) path = "/";  // "http://host" and "http://host?query"
  if (!PercentDecode(path, target.path)) return false;
  RemoveDotSegments(target.path);
  return true;
}

std::optional<Target> ParseTarget(std::string_view text) {
  Target target;
  if (!ParseTarget(text, target)) return std::nullopt;
  return target;
}

std::string EncodePath(std::string_view path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(path.size());
  for (const char c : path) {
    if (c == '/' && encoded.size() == 1 && encoded[0] == '/')
      continue;  // "//host" would name another server
    if (Contains(kPathBytes, c)) {
      encoded.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      encoded.push_back('%');
      encoded.push_back(kHex[byte >> 4]);
      encoded.push_back(kHex[byte & 15]);
    }
  }
  return encoded;
}

}  // namespace pollux::http
