// Request heads, read by Pollux and by Node's former http_parser: both refuse, or both find the
// same request in the same bytes. Where they may differ is said in one list, with the clause that
// Pollux goes by. The input is the bytes of a connection.
#include <http_parser.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/http/request.h"
#include "core/http/syntax.h"
#include "core/http/target.h"
#include "fuzz/input.h"

namespace {

using pollux::http::EqualsIgnoreCase;
using pollux::http::Request;
using pollux::http::RequestParser;
using State = RequestParser::State;

// --- The other parser.

struct Other {
  bool complete = false;
  http_errno error = HPE_OK;
  size_t consumed = 0;  // of the whole head, when complete
  std::string method, target;
  std::vector<std::pair<std::string, std::string>> fields;
  bool value_began = true;
  int major = 0, minor = 0;
  unsigned flags = 0;
  uint64_t content_length = 0;
  bool keep_alive = false;
};

Other* Self(http_parser* parser) { return static_cast<Other*>(parser->data); }

int OnField(http_parser* parser, const char* at, size_t length) {
  Other* self = Self(parser);
  if (self->value_began) self->fields.emplace_back();
  self->value_began = false;
  self->fields.back().first.append(at, length);
  return 0;
}

int OnValue(http_parser* parser, const char* at, size_t length) {
  Self(parser)->value_began = true;
  Self(parser)->fields.back().second.append(at, length);
  return 0;
}

int OnTarget(http_parser* parser, const char* at, size_t length) {
  Self(parser)->target.append(at, length);
  return 0;
}

int OnComplete(http_parser* parser) {
  Other* self = Self(parser);
  self->complete = true;
  self->method = http_method_str(static_cast<http_method>(parser->method));
  self->major = parser->http_major;
  self->minor = parser->http_minor;
  self->flags = parser->flags;
  self->content_length = parser->content_length;
  self->keep_alive = http_should_keep_alive(parser) != 0;
  http_parser_pause(parser, 1);
  return 0;
}

Other ReadWithOther(std::string_view bytes) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = OnTarget;
  settings.on_header_field = OnField;
  settings.on_header_value = OnValue;
  settings.on_headers_complete = OnComplete;
  http_parser parser;
  http_parser_init(&parser, HTTP_REQUEST);
  Other other;
  parser.data = &other;
  const size_t taken = http_parser_execute(&parser, &settings, bytes.data(), bytes.size());
  if (other.complete) {
    other.consumed = taken + 1;  // paused before the last line feed
  } else {
    other.error = HTTP_PARSER_ERRNO(&parser);
  }
  return other;
}

// --- Where they may differ.

struct Case {
  std::string_view bytes;
  std::string_view head;  // what Pollux took of them, at least
  const RequestParser::Outcome& pollux;
  const Request& request;
  const Other& other;
};

struct Difference {
  const char* clause;
  const char* why;
  bool (*applies)(const Case&);
};

bool Refused(const Case& c, std::string_view reason) {
  return c.pollux.state == State::kBad && c.pollux.reason == reason;
}

size_t Count(const Case& c, std::string_view name) {
  return static_cast<size_t>(
      std::count_if(c.other.fields.begin(), c.other.fields.end(),
                    [&](const auto& field) { return EqualsIgnoreCase(field.first, name); }));
}

const std::string* Find(const Case& c, std::string_view name) {
  for (const auto& [known, value] : c.other.fields) {
    if (EqualsIgnoreCase(known, name)) return &value;
  }
  return nullptr;
}

bool HasBareLf(std::string_view bytes) {
  for (size_t i = bytes.find('\n'); i != std::string_view::npos; i = bytes.find('\n', i + 1)) {
    if (i == 0 || bytes[i - 1] != '\r') return true;
  }
  return false;
}

// method SP request-target SP HTTP/d.d CRLF, after empty lines.
bool IsPlainRequestLine(std::string_view bytes) {
  while (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
  std::string_view line = bytes.substr(0, bytes.find('\n'));
  if (!line.ends_with('\r')) return false;
  line.remove_suffix(1);
  const size_t first = line.find(' '), second = line.find(' ', first + 1);
  if (first == line.npos || second == line.npos) return false;
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  return pollux::http::IsToken(line.substr(0, first)) && !target.empty() &&
         std::none_of(target.begin(), target.end(), pollux::http::IsControl) &&
         version.size() == 8 && version.starts_with("HTTP/") && version[6] == '.' &&
         pollux::http::IsDigit(version[5]) && pollux::http::IsDigit(version[7]);
}

bool KnownToOther(std::string_view method) {
  for (int i = 0; i <= HTTP_SOURCE; ++i) {
    if (method == http_method_str(static_cast<http_method>(i))) return true;
  }
  return false;
}

bool AnyValue(const Case& c, std::string_view name, bool (*is)(std::string_view)) {
  return std::any_of(c.other.fields.begin(), c.other.fields.end(), [&](const auto& field) {
    return EqualsIgnoreCase(field.first, name) && is(field.second);
  });
}

// More than tokens, commas and white space.
bool IsNoTokenList(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) {
                       return !pollux::http::IsTokenChar(c) && c != ',' && c != ' ' && c != '\t';
                     }) ||
         text.find_first_of(" \t") != std::string_view::npos;
}

bool IsNoNumber(std::string_view text) { return !pollux::http::ParseDecimal(text); }

bool IsNotChunked(std::string_view text) { return !EqualsIgnoreCase(text, "chunked"); }

// What Pollux refuses and the other takes.
constexpr Difference kStricter[] = {
    {"RFC 9112 3", "method, target and version, one space between them, CRLF behind: nothing else",
     [](const Case& c) {
       return (Refused(c, "bad request line") || Refused(c, "bad HTTP version") ||
               Refused(c, "bad method")) &&
              !IsPlainRequestLine(c.bytes);
     }},
    {"RFC 9112 2.2", "a line ends in CRLF; taking a lone LF is allowed, not asked for",
     [](const Case& c) {
       const bool refused = Refused(c, "bare LF") || Refused(c, "bad HTTP version");
       return refused && HasBareLf(c.bytes);
     }},
    {"RFC 9112 2.2", "a CR that is not part of CRLF makes the element invalid",
     [](const Case& c) { return Refused(c, "bare CR"); }},
    {"RFC 9112 2.2", "one empty line before a request is to be skipped; here, eight",
     [](const Case& c) { return Refused(c, "too many empty lines before a request"); }},
    {"RFC 9112 5.1", "a field's name is a token, and no space is between it and the colon",
     [](const Case& c) {
       return Refused(c, "bad header field") &&
              std::any_of(c.other.fields.begin(), c.other.fields.end(),
                          [](const auto& field) { return !pollux::http::IsToken(field.first); });
     }},
    {"RFC 9112 6", "what decides the framing is there once, and is well-formed",
     [](const Case& c) {
       return Refused(c, "bad header field") &&
              (Count(c, "Content-Length") + Count(c, "Transfer-Encoding") > 1 ||
               AnyValue(c, "Content-Length", IsNoNumber) ||
               AnyValue(c, "Transfer-Encoding", IsNotChunked));
     }},
    {"RFC 9110 7.6.1", "Connection and Upgrade are lists of tokens",
     [](const Case& c) {
       return Refused(c, "bad header field") && (AnyValue(c, "Connection", IsNoTokenList) ||
                                                 AnyValue(c, "Proxy-Connection", IsNoTokenList) ||
                                                 AnyValue(c, "Upgrade", IsNoTokenList));
     }},
    {"RFC 9112 5.2", "a server must reject obs-fold, or replace it",
     [](const Case& c) { return Refused(c, "line folding"); }},
    {"RFC 9110 5.5", "control bytes in a value are invalid; a recipient may reject them",
     [](const Case& c) { return Refused(c, "control byte in a field"); }},
    {"RFC 9110 5.4", "header fields may be limited in number",
     [](const Case& c) {
       return Refused(c, "too many header fields") && c.other.fields.size() > 100;
     }},
    {"RFC 9110 5.4", "and in size",
     [](const Case& c) { return Refused(c, "request head too large") && c.bytes.size() > 16384; }},
    {"RFC 9112 3", "a request target may be limited in length",
     [](const Case& c) { return Refused(c, "request target too long") && c.bytes.size() > 8192; }},
    {"RFC 9110 15.6.6", "a major version other than 1 is not served",
     [](const Case& c) {
       return (Refused(c, "HTTP version not supported") || Refused(c, "bad HTTP version")) &&
              (c.other.major != 1 || c.other.minor > 9 || c.head.find("HTTP/1.") == c.head.npos);
     }},
    {"RFC 9112 3.2", "HTTP/1.1 has exactly one Host, and it is a host and a port",
     [](const Case& c) {
       return (Refused(c, "no Host") && Count(c, "Host") == 0) ||
              (Refused(c, "repeated Host") && Count(c, "Host") > 1) || Refused(c, "bad Host");
     }},
    {"RFC 9112 3.2", "origin-form, absolute-form with http(s), '*' for OPTIONS: nothing else",
     [](const Case& c) {
       return Refused(c, "bad request target") && !pollux::http::ParseTarget(c.other.target);
     }},
    {"RFC 9112 6.3", "Content-Length must be one valid number",
     [](const Case& c) {
       return Refused(c, "repeated Content-Length") || Refused(c, "bad Content-Length");
     }},
    {"RFC 9112 6.1", "Content-Length beside Transfer-Encoding ought to be handled as an error",
     [](const Case& c) {
       return Refused(c, "Content-Length with Transfer-Encoding") &&
              Count(c, "Content-Length") > 0 && Count(c, "Transfer-Encoding") > 0;
     }},
    {"RFC 9112 6.1", "Transfer-Encoding in HTTP/1.0 is faulty framing",
     [](const Case& c) {
       return Refused(c, "Transfer-Encoding in HTTP/1.0") && c.other.minor == 0;
     }},
    {"RFC 9112 6.3", "a request whose final transfer coding is not chunked is answered 400",
     [](const Case& c) {
       return Refused(c, "bad Transfer-Encoding") && Count(c, "Transfer-Encoding") > 0;
     }},
    {"RFC 9112 6.1", "a transfer coding that is not understood is answered 501",
     [](const Case& c) {
       return Refused(c, "transfer coding not implemented") && Count(c, "Transfer-Encoding") > 0;
     }},
    {"RFC 9110 10.1.1", "an expectation other than 100-continue may be answered 417",
     [](const Case& c) {
       return Refused(c, "expectation not supported") && Count(c, "Expect") > 0;
     }},
};

// What Pollux takes and the other refuses.
constexpr Difference kLooser[] = {
    {"RFC 9110 9.1", "a method is any token; what is not known is answered 501",
     [](const Case& c) {
       return c.other.error == HPE_INVALID_METHOD && !KnownToOther(c.request.method_name);
     }},
    {"RFC 9112 3",
     "an invalid request line should be refused; bytes like raw UTF-8 come from real "
     "clients, and mean only themselves",
     [](const Case& c) { return c.other.error == HPE_INVALID_URL; }},
    {"RFC 9110 8.6", "lengths up to 2^64 - 1 are numbers; the other stops a few before",
     [](const Case& c) {
       return c.other.error == HPE_INVALID_CONTENT_LENGTH &&
              c.request.content_length.value_or(0) > std::numeric_limits<uint64_t>::max() - 16;
     }},
    {"RFC 9110 9.3.6", "CONNECT is answered 405 whatever its target is",
     [](const Case& c) { return c.request.method_name == "CONNECT"; }},
    {"RFC 9112 5.1", "a field's name is a token, which may hold what the other takes for none",
     [](const Case& c) { return c.other.error == HPE_INVALID_HEADER_TOKEN; }},
};

// What both take, and read differently.
constexpr Difference kRead[] = {
    {"RFC 9110 9.3.6", "what follows a CONNECT may be meant for the tunnel: the connection ends",
     [](const Case& c) { return c.request.method_name == "CONNECT" && !c.request.keep_alive; }},
    {"RFC 9112 9.3", "close is looked for first, whatever else Connection says",
     [](const Case& c) {
       const std::string* connection = Find(c, "Connection");
       const bool pollux = c.request.keep_alive, other = c.other.keep_alive;
       return connection != nullptr && pollux != other;
     }},
};

template <size_t size>
bool Allowed(const Difference (&list)[size], const Case& c) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](const Difference& difference) { return difference.applies(c); });
}

void CheckAllowed(bool allowed, const Case& c, const char* what) {
  if (allowed) return;
  std::fprintf(stderr, "%s: Pollux %d %d %s, http_parser %s\n", what,
               static_cast<int>(c.pollux.state), c.pollux.status, c.pollux.reason,
               c.other.complete ? "complete" : http_errno_name(c.other.error));
  CHECK(allowed);
}

// What both have read of one request.
void CompareRequests(const Case& c) {
  const auto same = [&](bool equal, const char* what) {
    CheckAllowed(equal || Allowed(kRead, c), c, what);
  };
  CHECK(c.pollux.consumed == c.other.consumed);
  CHECK(c.request.method_name == c.other.method);
  CHECK(c.request.target == c.other.target);
  CHECK(c.request.version_minor == std::min(c.other.minor, 1));
  CHECK(c.request.chunked == ((c.other.flags & F_CHUNKED) != 0));
  const bool length = (c.other.flags & F_CONTENTLENGTH) != 0;
  CHECK(c.request.content_length.has_value() == length);
  if (length) CHECK(*c.request.content_length == c.other.content_length);
  same(c.request.keep_alive == c.other.keep_alive, "keep-alive");
  const std::pair<const char*, const std::optional<std::string>*> joined[] = {
      {"Range", &c.request.range},
      {"If-Range", &c.request.if_range},
      {"If-Match", &c.request.if_match},
      {"If-None-Match", &c.request.if_none_match},
      {"If-Modified-Since", &c.request.if_modified_since},
      {"If-Unmodified-Since", &c.request.if_unmodified_since}};
  for (const auto& [name, value] : joined) {
    CHECK(value->has_value() == (Count(c, name) > 0));
    if (Count(c, name) == 1) CHECK(**value == pollux::http::TrimOws(*Find(c, name)));
  }
  if (Count(c, "User-Agent") == 1) {
    CHECK(c.request.user_agent == pollux::http::TrimOws(*Find(c, "User-Agent")));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes = pollux::fuzz::Input(data, size).rest();
  RequestParser parser(pollux::http::Limits{});
  const RequestParser::Outcome pollux = parser.Parse(bytes);
  const Other other = ReadWithOther(bytes);
  const Case c{bytes, bytes.substr(0, pollux.consumed), pollux, parser.request(), other};
  if (pollux.state == State::kComplete && other.complete) {
    CompareRequests(c);
  } else if (pollux.state == State::kComplete) {
    CheckAllowed(Allowed(kLooser, c), c, "Pollux is looser");
  } else if (other.complete) {
    CheckAllowed(Allowed(kStricter, c), c, "Pollux is stricter");
  }
  return 0;
}
