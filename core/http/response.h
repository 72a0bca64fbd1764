// Response heads and error bodies (RFC 9112 §4, RFC 9110 §15).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace pollux::http {

const char* ReasonPhrase(int status);

// Builds a head in place. Header values must hold no CR, LF or NUL: CHECKed.
class ResponseHead {
 public:
  explicit ResponseHead(int status);
  ResponseHead& Add(std::string_view name, std::string_view value);
  ResponseHead& Add(std::string_view name, uint64_t value);
  std::string Finish() &&;  // with the empty line

 private:
  std::string text_;
};

// A short HTML page: status, reason phrase and `detail`, escaped.
std::string ErrorBody(int status, std::string_view detail);

// &, <, >, " and ' as character references.
std::string EscapeHtml(std::string_view text);

// Strong validator of a file's state, quoted: "size-mtime_ns-inode" in hex (RFC 9110 §8.8.3). The
// inode tells a file from the one that replaced it with equal size and time.
std::string MakeEtag(uint64_t size, int64_t mtime_ns, uint64_t inode);

}  // namespace pollux::http
