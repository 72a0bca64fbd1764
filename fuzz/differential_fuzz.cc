// Request heads, read by Pollux and by Node's former http_parser: both refuse, or both find the
// same request in the same bytes. Where they may differ is said in one list (differences.cc), with
// the clause that Pollux goes by. The input is the bytes of a connection.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/http/request.h"
#include "core/http/syntax.h"
#include "fuzz/differences.h"
#include "fuzz/input.h"

namespace {

using pollux::fuzz::Case;
using pollux::fuzz::MayBeLooser;
using pollux::fuzz::MayBeStricter;
using pollux::fuzz::MayFrameOtherwise;
using pollux::fuzz::MayPersistOtherwise;
using pollux::fuzz::Other;
using pollux::http::RequestParser;
using pollux::http::TrimOws;
using State = RequestParser::State;

void CheckAllowed(bool allowed, const Case& c, const char* what) {
  if (allowed) return;
  std::fprintf(stderr, "%s: Pollux %d %d %s, http_parser %s\n", what,
               static_cast<int>(c.pollux.state), c.pollux.status, c.pollux.reason,
               c.other.complete ? "complete" : http_errno_name(c.other.error));
  CHECK(allowed);
}

// What both have read of one request.
void CompareRequests(const Case& c) {
  CHECK(c.pollux.consumed == c.other.consumed);
  CHECK(c.request.method_name == c.other.method);
  CHECK(c.request.target == c.other.target);
  CHECK(c.request.version_minor == std::min(c.other.minor, 1));
  const bool chunked = (c.other.flags & F_CHUNKED) != 0;
  CheckAllowed(c.request.chunked == chunked || MayFrameOtherwise(c), c, "chunked");
  const bool length = (c.other.flags & F_CONTENTLENGTH) != 0;
  CHECK(c.request.content_length.has_value() == length);
  if (length) CHECK(*c.request.content_length == c.other.content_length);
  CheckAllowed(c.request.keep_alive == c.other.keep_alive || MayPersistOtherwise(c), c,
               "keep-alive");
  const std::pair<const char*, const std::optional<std::string>*> joined[] = {
      {"Range", &c.request.range},
      {"If-Range", &c.request.if_range},
      {"If-Match", &c.request.if_match},
      {"If-None-Match", &c.request.if_none_match},
      {"If-Modified-Since", &c.request.if_modified_since},
      {"If-Unmodified-Since", &c.request.if_unmodified_since}};
  for (const auto& [name, value] : joined) {
    const std::vector<std::string_view> lines = ValuesOf(c, name);
    CHECK(value->has_value() == !lines.empty());
    if (lines.size() == 1) CHECK(**value == TrimOws(lines[0]));
  }
  const std::vector<std::string_view> agents = ValuesOf(c, "User-Agent");
  if (agents.size() == 1) CHECK(c.request.user_agent == TrimOws(agents[0]));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = pollux::fuzz::Input(data, size).rest();
  RequestParser parser(pollux::http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(bytes);
  const Other other = pollux::fuzz::ReadWithOther(bytes);
  const Case c{bytes, pollux, parser.request(), other};
  if (pollux.state == State::kComplete && other.complete) {
    CompareRequests(c);
  } else if (pollux.state == State::kComplete) {
    CheckAllowed(MayBeLooser(c), c, "Pollux is looser");
  } else if (other.complete) {
    CheckAllowed(MayBeStricter(c), c, "Pollux is stricter");
  }
  return 0;
}
