// Where a request ends and whether the connection outlives it: the fields that decide it, with
// every ambiguity refused (RFC 9112 §§3.2, 6, 9.3; RFC 9110 §§7.6.1, 10.1.1).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/http/request.h"

namespace pollux::http {

// Why a request is not served: a status, and a few static words.
struct Refusal {
  int status = 0;
  const char* reason = "";
};

// Is told of each such field in the order of arrival, then fills the request in. Choices:
//  - Content-Length is refused when repeated, even with equal values, and as a list.
//  - Transfer-Encoding is refused with 400 where no one can know the end of the body (chunked is
//    not last, is repeated or has parameters, or the list is malformed or has empty elements) and
//    with 501 where only the codings before chunked are unknown.
//  - A request in HTTP/1.0 that expects 100-continue gets none (RFC 9110 §10.1.1); nor does one
//    that has no body.
//  - An empty Host is valid, as RFC 9112 §3.2 has it for targets without an authority.
class Framing {
 public:
  void AddHost(std::string_view value);
  void AddConnection(std::string_view value);
  void AddContentLength(std::string_view value);
  void AddTransferEncoding(std::string_view value);
  void AddExpect(std::string_view value);

  // Sets keep_alive, chunked, content_length and expect_continue; reads version_minor.
  std::optional<Refusal> Finish(Request& request) const;

 private:
  void AddCoding(std::string_view element);

  int hosts_ = 0;
  bool host_bad_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  int content_lengths_ = 0;
  std::optional<uint64_t> content_length_;
  bool transfer_encoding_ = false;
  bool coding_bad_ = false;
  bool coding_unknown_ = false;
  bool chunked_ = false;
  bool expect_continue_ = false;
  bool expect_other_ = false;
};

}  // namespace pollux::http
