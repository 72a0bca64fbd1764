#include "core/http/framing.h"

#include "core/http/authority.h"
#include "core/http/syntax.h"

namespace pollux::http {

void Framing::AddHost(std::string_view value) {
  ++hosts_;
  if (!IsHostAndPort(value)) host_bad_ = true;
}

void Framing::AddConnection(std::string_view value) {
  ListReader options(value);
  while (const auto option = options.Next()) {
    if (EqualsIgnoreCase(*option, "close")) close_ = true;
    if (EqualsIgnoreCase(*option, "keep-alive")) keep_alive_ = true;
  }
}

void Framing::AddContentLength(std::string_view value) {
  ++content_lengths_;
  content_length_ = ParseDecimal(value);
}

void Framing::AddTransferEncoding(std::string_view value) {
  transfer_encoding_ = true;
  ListReader codings(value);
  while (const auto coding = codings.Next()) AddCoding(*coding);
}

void Framing::AddCoding(std::string_view element) {
  if (chunked_) coding_bad_ = true;  // chunked must be the last, and once
  const size_t semicolon = element.find(';');
  const std::string_view name = TrimOws(element.substr(0, semicolon));
  const bool parameters = semicolon != std::string_view::npos;
  const bool chunked = EqualsIgnoreCase(name, "chunked");
  if (!IsToken(name) || (chunked && parameters)) {  // chunked has none (RFC 9112 §7.1)
    coding_bad_ = true;
  } else if (!chunked) {
    coding_unknown_ = true;
  } else {
    chunked_ = true;
  }
}

void Framing::AddExpect(std::string_view value) {
  ListReader expectations(value);
  while (const auto expectation = expectations.Next()) {
    if (expectation->empty()) continue;  // RFC 9110 §5.6.1.2
    if (EqualsIgnoreCase(*expectation, "100-continue")) {
      expect_continue_ = true;
    } else {
      expect_other_ = true;
    }
  }
}

std::optional<Refusal> Framing::Finish(Request& request) const {
  const bool http_1_0 = request.version_minor == 0;
  request.keep_alive = !close_ && (!http_1_0 || keep_alive_);

  if (hosts_ > 1) return Refusal{400, "repeated Host"};
  if (host_bad_) return Refusal{400, "bad Host"};
  if (hosts_ == 0 && !http_1_0) return Refusal{400, "no Host"};

  if (content_lengths_ > 0 && transfer_encoding_) {
    return Refusal{400, "Content-Length with Transfer-Encoding"};
  }
  if (content_lengths_ > 1) return Refusal{400, "repeated Content-Length"};
  if (content_lengths_ == 1 && !content_length_) return Refusal{400, "bad Content-Length"};
  if (transfer_encoding_) {
    if (http_1_0) return Refusal{400, "Transfer-Encoding in HTTP/1.0"};
    if (coding_bad_ || !chunked_) return Refusal{400, "bad Transfer-Encoding"};
    if (coding_unknown_) return Refusal{501, "transfer coding not implemented"};
  }
  if (expect_other_) return Refusal{417, "expectation not supported"};

  request.chunked = chunked_;
  request.content_length = content_length_;
  const bool body = chunked_ || content_length_.value_or(0) > 0;
  request.expect_continue = expect_continue_ && body && !http_1_0;
  return std::nullopt;
}

}  // namespace pollux::http
