// Request targets: whatever is asked for, the path is the one that a plain reading finds, stays
// below the root, and is the same when it is written and read again. The input is a target.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/http/target.h"
#include "fuzz/input.h"
#include "fuzz/plain_target.h"

namespace {

using pollux::fuzz::PlainTarget;
using pollux::fuzz::ReadPlainTarget;
using pollux::fuzz::ResolvedPath;
using pollux::http::EncodePath;
using pollux::http::ParseTarget;
using pollux::http::Target;

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
  const std::optional<PlainTarget> plain = ReadPlainTarget(text);
  CHECK(target.has_value() == plain.has_value());
  if (!target) return 0;
  CHECK(target->path == plain->path && target->query == plain->query);
  CHECK(target->host == plain->host);
  CHECK(target->path.starts_with('/'));
  CHECK(target->path.find('\0') == std::string::npos);
  CHECK(target->path.find("//") == std::string::npos);
  CHECK(LowestDepth(target->path) == 0);
  CHECK(ResolvedPath(target->path) == target->path);
  CHECK(target->host.find_first_of("/?#@") == std::string::npos);

  const std::string written = EncodePath(target->path);
  CHECK(!written.starts_with("//"));
  const std::optional<Target> again = ParseTarget(written);
  CHECK(again && again->path == target->path && again->query.empty() && again->host.empty());
  return 0;
}
