// Request targets: whatever is asked for, the path is the one that a plain reading finds, stays
// below the root, and is the same when it is written and read again. The input is a target.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/check.h"
#include "core/http/target.h"
#include "fuzz/input.h"

namespace {

using pollux::http::EncodePath;
using pollux::http::ParseTarget;
using pollux::http::Target;

constexpr std::string_view kHexDigits = "0123456789abcdef0123456789ABCDEF";

// Each escape once. Nothing for a broken one, and for NUL.
std::optional<std::string> Decoded(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    size_t byte = static_cast<unsigned char>(text[i]);
    if (text[i] == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const size_t high = kHexDigits.find(text[i + 1]);
      const size_t low = kHexDigits.find(text[i + 2]);
      if (high == std::string_view::npos || low == std::string_view::npos) return std::nullopt;
      byte = high % 16 * 16 + low % 16;
      i += 2;
    }
    if (byte == 0) return std::nullopt;
    out.push_back(static_cast<char>(byte));
  }
  return out;
}

// The segments as a list: "..", takes one away, "." and nothing are none.
std::string Resolved(const std::string& path) {
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

// Where `path` leads to, seen from the root; below 0 it has left it.
int LowestDepth(std::string_view path) {
  int depth = 0, lowest = 0;
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), segment.size() + 1));
    if (segment == "..") {
      --depth;
    } else if (!segment.empty() && segment != ".") {
      ++depth;
    }
    lowest = std::min(lowest, depth);
  }
  return lowest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = pollux::fuzz::Input(data, size).rest();
  const std::optional<Target> target = ParseTarget(text);
  if (text.starts_with('/')) {
    const std::string_view before_query = text.substr(0, text.find('?'));
    const std::optional<std::string> decoded = Decoded(before_query);
    const bool good = decoded && text.find('#') == std::string_view::npos;
    CHECK(good == target.has_value());
    if (good) {
      CHECK(target->path == Resolved(*decoded));
      CHECK(target->query == text.substr(std::min(text.size(), before_query.size() + 1)));
      CHECK(target->host.empty());
    }
  }
  if (!target) return 0;
  CHECK(target->path.starts_with('/'));
  CHECK(target->path.find('\0') == std::string::npos);
  CHECK(target->path.find("//") == std::string::npos);
  CHECK(LowestDepth(target->path) == 0);
  CHECK(Resolved(target->path) == target->path);
  CHECK(target->host.find_first_of("/?#@") == std::string::npos);

  const std::string written = EncodePath(target->path);
  CHECK(!written.starts_with("//"));
  const std::optional<Target> again = ParseTarget(written);
  CHECK(again && again->path == target->path && again->query.empty() && again->host.empty());
  return 0;
}
