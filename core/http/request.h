// Request heads: bytes in, a struct out. No descriptors, no loop.
//
// HeadScanner looks at each byte once, keeps the limits, and finds the end of the head;
// Boost.Beast's basic_parser takes the whole head apart; Framing decides body and connection. What
// Beast accepts but Pollux refuses (RFC 9112 §§2-6, where smuggling lives) the first and the last
// refuse. Not for use by two threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace pollux::http {

// Each has a flag of the server.
struct Limits {
  size_t head_bytes_max = 16 * 1024;   // whole head, request line included: 431
  size_t header_count_max = 100;       // 431
  size_t target_bytes_max = 8 * 1024;  // 414; RFC 9112 §3 asks for at least 8,000 octets of line
};

enum class Method { kGet, kHead, kOptions, kOtherKnown, kUnknown };

struct Request {
  Method method = Method::kUnknown;
  std::string method_name;
  std::string version;    // as received, for the log; empty if no valid one was
  int version_minor = 1;  // HTTP/1.x with x > 1 counts as 1
  std::string target;     // as received, for the log
  std::string path;       // decoded once, dot segments removed; begins with '/'. "*" for OPTIONS *,
                          // empty for CONNECT, whose target is no path
  std::string query;      // undecoded, without '?'
  bool keep_alive = true;

  bool chunked = false;
  std::optional<uint64_t> content_length;
  bool expect_continue = false;

  // Fields that came in several lines are joined with ", " (RFC 9110 §5.3).
  std::optional<std::string> range;
  std::optional<std::string> if_range;
  std::optional<std::string> if_match;
  std::optional<std::string> if_none_match;
  std::optional<std::string> if_modified_since;
  std::optional<std::string> if_unmodified_since;
  std::string accept;      // empty if there is none
  std::string host;        // of an absolute-form target, else of Host; with its port
  std::string referer;     // for the access log
  std::string user_agent;  // for the access log
};

class RequestParser {
 public:
  enum class State { kNeedMore, kComplete, kBad };
  struct Outcome {
    State state = State::kNeedMore;
    size_t consumed = 0;      // of the bytes given; after kComplete the rest is body or pipelined
    int status = 0;           // kBad: what to answer (400, 414, 417, 431, 501, 505)
    const char* reason = "";  // kBad: a few words for the body and the log, static
  };

  explicit RequestParser(const Limits& limits);
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;
  ~RequestParser();

  // Takes the bytes that followed the last call's consumed ones. Any split gives the same result.
  // kNeedMore has consumed them all. After kComplete and kBad it takes nothing until Reset; after
  // kBad the connection has to end, as no one knows where the next request begins.
  Outcome Parse(std::string_view bytes);

  // True once a byte of a request was consumed: a half-sent head, not an idle connection.
  bool started() const;

  const Request& request() const;  // after kComplete; after kBad what was understood until then
  void Reset();                    // for the next request of the connection

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pollux::http
