#include "fuzz/plain_target.h"

#include <arpa/inet.h>

#include <cstdint>
#include <vector>

namespace pollux::fuzz {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef0123456789ABCDEF";
constexpr std::string_view kDigits = "0123456789";
// unreserved and sub-delims.
constexpr std::string_view kNameBytes =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=";

bool ConsistsOf(std::string_view text, std::string_view bytes) {
  return text.find_first_not_of(bytes) == std::string_view::npos;
}

// Each escape once. Nothing for a broken one.
std::optional<std::string> Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const size_t high = kHexDigits.find(text[i + 1]);
    const size_t low = kHexDigits.find(text[i + 2]);
    if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
    out.push_back(static_cast<char>(high % 16 * 16 + low % 16));
    i += 2;
  }
  return out;
}

// What stands between brackets: IPv6address, or IPvFuture = "v" 1*HEXDIG "." 1*( name / ":" ).
bool IsLiteral(const std::string& text) {
  in6_addr address;
  // Without the first condition a NUL would end the text for inet_pton.
  if (ConsistsOf(text, "0123456789abcdefABCDEF:.") &&
      ::inet_pton(AF_INET6, text.c_str(), &address) == 1) {
    return true;
  }
  const size_t dot = text.find('.');
  if (dot == std::string::npos || (text[0] != 'v' && text[0] != 'V')) return false;
  const std::string version = text.substr(1, dot - 1), rest = text.substr(dot + 1);
  return !version.empty() && ConsistsOf(version, kHexDigits) && !rest.empty() &&
         ConsistsOf(rest, std::string(kNameBytes) + ":");
}

bool IsPort(std::string_view text) {
  if (!ConsistsOf(text, kDigits)) return false;
  uint64_t number = 0;
  for (const char c : text) {
    number = number * 10 + static_cast<uint64_t>(c - '0');
    if (number > 65535) return false;
  }
  return true;
}

// A registered name: names and whole escapes. IPv4 addresses are among them.
bool IsName(std::string_view text) {
  std::string without_escapes;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      without_escapes.push_back(text[i]);
      continue;
    }
    if (i + 2 >= text.size() || !ConsistsOf(text.substr(i + 1, 2), kHexDigits)) return false;
    i += 2;
  }
  return ConsistsOf(without_escapes, kNameBytes);
}

}  // namespace

bool IsPlainHost(std::string_view text) {
  size_t end = text.find(':');
  if (text.starts_with('[')) {
    const size_t bracket = text.find(']');
    if (bracket == text.npos || !IsLiteral(std::string(text.substr(1, bracket - 1)))) return false;
    end = bracket + 1;
    if (end < text.size() && text[end] != ':') return false;
  } else if (!IsName(text.substr(0, end))) {
    return false;
  }
  return end >= text.size() || IsPort(text.substr(end + 1));
}

std::string ResolvedPath(const std::string& path) {
  std::vector<std::string> kept;
  std::string segment;
  bool folder = false;
  for (size_t i = 1; i <= path.size(); ++i) {
    if (i < path.size() && path[i] != '/') {
      segment.push_back(path[i]);
      continue;
    }
    folder = segment.empty() || segment == "." || segment == "..";
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!folder) kept.push_back(segment);
    segment.clear();
  }
  std::string out;
  for (const std::string& name : kept) out += "/" + name;
  return folder ? out + "/" : out;
}

std::optional<PlainTarget> ReadPlainTarget(std::string_view text) {
  if (text.find('#') != text.npos) return std::nullopt;
  PlainTarget target;
  std::string lower(text.substr(0, 8));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const size_t scheme = lower.starts_with("http://") ? 7 : lower == "https://" ? 8 : 0;
  if (scheme > 0) {
    text.remove_prefix(scheme);
    target.host = text.substr(0, text.find_first_of("/?"));
    text.remove_prefix(target.host.size());
    if (target.host.empty() || target.host[0] == ':' || !IsPlainHost(target.host)) {
      return std::nullopt;
    }
  } else if (!text.starts_with('/')) {
    return std::nullopt;
  }
  const size_t question = text.find('?');
  if (question != text.npos) target.query = text.substr(question + 1);
  const std::optional<std::string> path = Decoded(text.substr(0, question));
  if (!path || path->find('\0') != std::string::npos) return std::nullopt;
  target.path = ResolvedPath(path->empty() ? "/" : *path);
  return target;
}

}  // namespace pollux::fuzz
