#include "fuzz/differences.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "core/http/syntax.h"
#include "fuzz/plain_target.h"

namespace pollux::fuzz {
namespace {

struct Difference {
  const char* clause;
  const char* why;
  bool (*applies)(const Case&);
};

bool Refused(const Case& c, int status, std::string_view reason) {
  return c.pollux.state == http::RequestParser::State::kBad && c.pollux.status == status &&
         c.pollux.reason == reason;
}

size_t Count(const Case& c, std::string_view name) { return ValuesOf(c, name).size(); }

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
  return http::IsToken(line.substr(0, first)) && !target.empty() &&
         std::none_of(target.begin(), target.end(), http::IsControl) && version.size() == 8 &&
         version.starts_with("HTTP/") && version[6] == '.' && http::IsDigit(version[5]) &&
         http::IsDigit(version[7]);
}

bool AnyValue(const Case& c, std::string_view name, bool (*is)(std::string_view)) {
  const std::vector<std::string_view> values = ValuesOf(c, name);
  return std::any_of(values.begin(), values.end(), is);
}

// More than tokens, commas and white space.
bool IsNoTokenList(std::string_view text) {
  return std::any_of(
             text.begin(), text.end(),
             [](char c) { return !http::IsTokenChar(c) && c != ',' && c != ' ' && c != '\t'; }) ||
         text.find_first_of(" \t") != std::string_view::npos;
}

// The elements of all lines of the list `name`, lower-case, without the white space around them.
std::vector<std::string> Elements(const Case& c, std::string_view name) {
  std::vector<std::string> out;
  for (std::string_view rest : ValuesOf(c, name)) {
    for (bool more = true; more;) {
      const size_t comma = rest.find(',');
      std::string element(http::TrimOws(rest.substr(0, comma)));
      for (char& ch : element) ch = http::ToLower(ch);
      out.push_back(std::move(element));
      more = comma != rest.npos;
      if (more) rest.remove_prefix(comma + 1);
    }
  }
  return out;
}

bool HasBareCr(std::string_view bytes) {
  for (size_t i = bytes.find('\r'); i != std::string_view::npos; i = bytes.find('\r', i + 1)) {
    if (bytes.substr(i + 1, 1) != "\n") return true;
  }
  return false;
}

// A line of the head begins with white space.
bool HasFold(const Case& c) {
  const std::string_view head = c.bytes.substr(0, c.other.consumed);
  return head.find("\n ") != head.npos || head.find("\n\t") != head.npos;
}

bool HasControl(const Case& c) {
  const auto is_control = [](char ch) { return ch != '\t' && http::IsControl(ch); };
  return std::any_of(c.other.fields.begin(), c.other.fields.end(), [&](const auto& field) {
    return std::any_of(field.first.begin(), field.first.end(), is_control) ||
           std::any_of(field.second.begin(), field.second.end(), is_control);
  });
}

bool IsNoHost(std::string_view text) { return !IsPlainHost(http::TrimOws(text)); }

// HTTP/1.x as the request line has it.
bool IsVersionOne(std::string_view bytes) {
  const size_t begin = bytes.find_first_not_of("\r\n");
  if (begin == bytes.npos) return false;
  const std::string_view line = bytes.substr(begin, bytes.find_first_of("\r\n", begin) - begin);
  return line.size() > 9 && line.substr(line.size() - 9, 8) == " HTTP/1." &&
         http::IsDigit(line.back());
}

// chunked is not the last coding, or not the only one of its kind, or something is no coding.
bool IsBadCoding(const Case& c) {
  const std::vector<std::string> codings = Elements(c, "Transfer-Encoding");
  return codings.empty() || codings.back() != "chunked" ||
         std::any_of(codings.begin(), codings.end() - 1, [](const std::string& coding) {
           const auto name = http::TrimOws(std::string_view(coding).substr(0, coding.find(';')));
           return name == "chunked" || !http::IsToken(name);
         });
}

// What a server that is no proxy can be asked for with `method`.
bool IsTargetFor(std::string_view method, std::string_view target) {
  if (method == "CONNECT") return true;  // not looked at
  return (method == "OPTIONS" && target == "*") || ReadPlainTarget(target).has_value();
}

bool BeginsWith(std::string_view text, std::string_view beginning) {
  return http::EqualsIgnoreCase(text.substr(0, beginning.size()), beginning);
}

// Some name begins with `name` and goes on, and none is `name`.
bool OnlyBeginsWith(const Case& c, std::string_view name) {
  return Count(c, name) == 0 &&
         std::any_of(c.other.fields.begin(), c.other.fields.end(),
                     [&](const auto& field) { return BeginsWith(field.first, name); });
}

// Behind the field `name` is one whose name begins with it and goes on.
bool IsFollowedByLonger(const Case& c, std::string_view name) {
  const auto& fields = c.other.fields;
  const auto whole = std::find_if(fields.begin(), fields.end(), [&](const auto& field) {
    return http::EqualsIgnoreCase(field.first, name);
  });
  return std::any_of(whole, fields.end(), [&](const auto& field) {
    return field.first.size() > name.size() && BeginsWith(field.first, name);
  });
}

// A line of the head is for the field `name`, and of the white space behind its value some is a
// tab. From the bytes, as the other keeps nothing of a value that it refuses.
bool HasTabBehind(const Case& c, const std::string& name) {
  for (std::string_view rest = c.bytes.substr(0, c.pollux.consumed); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find("\r\n"));
    const size_t end = line.find_last_not_of(" \t");
    if (BeginsWith(line, name + ":") && end != line.npos && line.find('\t', end) != line.npos) {
      return true;
    }
    rest.remove_prefix(std::min(rest.size(), line.size() + 2));
  }
  return false;
}

bool HasOther(const Case& c, std::string_view name, std::string_view usual) {
  const std::vector<std::string> elements = Elements(c, name);
  return std::any_of(elements.begin(), elements.end(), [&](const std::string& element) {
    return !element.empty() && element != usual;
  });
}

// RFC 9112 9.3, read from the fields that the other found.
bool ShouldPersist(const Case& c) {
  const std::vector<std::string> options = Elements(c, "Connection");
  const auto has = [&](const char* option) {
    return std::find(options.begin(), options.end(), option) != options.end();
  };
  return !has("close") && (c.other.minor > 0 || has("keep-alive"));
}

// What Pollux refuses and the other takes.
constexpr Difference kStricter[] = {
    {"RFC 9112 3", "method, target and version, one space between them, CRLF behind: nothing else",
     [](const Case& c) {
       return (Refused(c, 400, "bad request line") || Refused(c, 400, "bad HTTP version") ||
               Refused(c, 400, "bad method")) &&
              !IsPlainRequestLine(c.bytes);
     }},
    {"RFC 9112 2.2", "a line ends in CRLF; taking a lone LF is allowed, not asked for",
     [](const Case& c) {
       const bool refused = Refused(c, 400, "bare LF") || Refused(c, 400, "bad HTTP version");
       return refused && HasBareLf(c.bytes.substr(0, c.other.consumed));
     }},
    {"RFC 9112 2.2", "a CR that is not part of CRLF makes the element invalid",
     [](const Case& c) {
       return Refused(c, 400, "bare CR") && HasBareCr(c.bytes.substr(0, c.other.consumed));
     }},
    {"RFC 9112 2.2", "one empty line before a request is to be skipped; here, eight",
     [](const Case& c) {
       return Refused(c, 400, "too many empty lines before a request") &&
              c.bytes.starts_with("\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n");
     }},
    {"RFC 9112 5.1", "a field's name is a token, and no space is between it and the colon",
     [](const Case& c) {
       return Refused(c, 400, "bad header field") &&
              std::any_of(c.other.fields.begin(), c.other.fields.end(),
                          [](const auto& field) { return !http::IsToken(field.first); });
     }},
    {"RFC 9112 6", "what decides the framing is there once",
     [](const Case& c) {
       return Refused(c, 400, "bad header field") && Count(c, "Transfer-Encoding") > 1;
     }},
    {"RFC 9110 7.6.1", "Connection is a list of tokens",
     [](const Case& c) {
       return Refused(c, 400, "bad header field") &&
              (AnyValue(c, "Connection", IsNoTokenList) ||
               AnyValue(c, "Proxy-Connection", IsNoTokenList));
     }},
    {"RFC 9112 5.2", "a server must reject obs-fold, or replace it",
     [](const Case& c) { return Refused(c, 400, "line folding") && HasFold(c); }},
    {"RFC 9110 5.5", "control bytes in a value are invalid; a recipient may reject them",
     [](const Case& c) { return Refused(c, 400, "control byte in a field") && HasControl(c); }},
    {"RFC 9110 5.4", "header fields may be limited in number",
     [](const Case& c) {
       return Refused(c, 431, "too many header fields") && c.other.fields.size() > 100;
     }},
    {"RFC 9110 5.4", "and in size",
     [](const Case& c) {
       return Refused(c, 431, "request head too large") && c.other.consumed > 16384;
     }},
    {"RFC 9112 3", "a request target may be limited in length",
     [](const Case& c) {
       return Refused(c, 414, "request target too long") && c.other.target.size() > 8192;
     }},
    {"RFC 9110 15.6.6", "a major version other than 1 is not served",
     [](const Case& c) {
       return Refused(c, 505, "HTTP version not supported") && !IsVersionOne(c.bytes);
     }},
    {"RFC 9112 3.2", "HTTP/1.1 has exactly one Host, and it is a host and a port",
     [](const Case& c) {
       return (Refused(c, 400, "no Host") && Count(c, "Host") == 0) ||
              (Refused(c, 400, "repeated Host") && Count(c, "Host") > 1) ||
              (Refused(c, 400, "bad Host") && AnyValue(c, "Host", IsNoHost));
     }},
    {"RFC 9112 3.2", "origin-form, absolute-form with http(s), '*' for OPTIONS: nothing else",
     [](const Case& c) {
       return Refused(c, 400, "bad request target") && !IsTargetFor(c.other.method, c.other.target);
     }},
    {"RFC 9112 6.1", "Transfer-Encoding in HTTP/1.0 is faulty framing",
     [](const Case& c) {
       return Refused(c, 400, "Transfer-Encoding in HTTP/1.0") && c.other.minor == 0;
     }},
    {"RFC 9112 6.3", "a request whose final transfer coding is not chunked is answered 400",
     [](const Case& c) { return Refused(c, 400, "bad Transfer-Encoding") && IsBadCoding(c); }},
    {"RFC 9112 6.1", "a transfer coding that is not understood is answered 501",
     [](const Case& c) {
       return Refused(c, 501, "transfer coding not implemented") && c.other.minor > 0 &&
              Count(c, "Content-Length") == 0 && !IsBadCoding(c) &&
              HasOther(c, "Transfer-Encoding", "chunked");
     }},
    {"RFC 9110 10.1.1", "an expectation other than 100-continue may be answered 417",
     [](const Case& c) {
       return Refused(c, 417, "expectation not supported") && HasOther(c, "Expect", "100-continue");
     }},
};

// What Pollux takes and the other refuses.
constexpr Difference kLooser[] = {
    {"RFC 9110 9.1", "a method is any token; what is not known is answered 501",
     [](const Case& c) {
       return c.other.error == HPE_INVALID_METHOD && http::IsToken(c.request.method_name) &&
              !KnownToOther(c.request.method_name);
     }},
    {"RFC 9110 8.6", "lengths up to 2^64 - 1 are numbers; the other stops a few before",
     [](const Case& c) {
       return c.other.error == HPE_INVALID_CONTENT_LENGTH &&
              c.request.content_length.value_or(0) > std::numeric_limits<uint64_t>::max() - 16;
     }},
    {"RFC 9110 5.6.3", "white space behind a value may be a tab; the other has it in the length",
     [](const Case& c) {
       return c.other.error == HPE_INVALID_CONTENT_LENGTH && HasTabBehind(c, "Content-Length");
     }},
    {"RFC 9110 9.3.6", "CONNECT is answered 405 whatever its target is",
     [](const Case& c) {
       return c.request.method_name == "CONNECT" && c.other.error == HPE_INVALID_URL;
     }},
    {"RFC 9110 5.1",
     "a field is known by its whole name; the other looks for Transfer-Encoding only",
     [](const Case& c) {
       return (c.other.error == HPE_UNEXPECTED_CONTENT_LENGTH ||
               c.other.error == HPE_INVALID_TRANSFER_ENCODING) &&
              OnlyBeginsWith(c, "Transfer-Encoding");
     }},
};

// What both take, and one keeps the connection for.
constexpr Difference kPersistence[] = {
    {"RFC 9110 9.3.6", "what follows a CONNECT may be meant for the tunnel: the connection ends",
     [](const Case& c) { return c.request.method_name == "CONNECT" && !c.request.keep_alive; }},
    {"RFC 9112 9.3", "close is looked for first, whatever else Connection says",
     [](const Case& c) { return c.request.keep_alive == ShouldPersist(c); }},
};

// What both take, and one reads content in chunks behind.
constexpr Difference kFraming[] = {
    {"RFC 9110 5.1",
     "a field is known by its whole name; the other forgets chunked at Transfer-Encodings too",
     [](const Case& c) {
       return c.request.chunked &&
              Elements(c, "Transfer-Encoding") == std::vector<std::string>{"chunked"} &&
              IsFollowedByLonger(c, "Transfer-Encoding");
     }},
    {"RFC 9110 5.6.3", "white space behind a value may be a tab; the other has it in the coding",
     [](const Case& c) {
       return c.request.chunked &&
              Elements(c, "Transfer-Encoding") == std::vector<std::string>{"chunked"} &&
              HasTabBehind(c, "Transfer-Encoding");
     }},
};

template <size_t size>
bool AnyApplies(const Difference (&list)[size], const Case& c) {
  return std::any_of(std::begin(list), std::end(list),
                     [&](const Difference& difference) { return difference.applies(c); });
}

}  // namespace

bool MayBeStricter(const Case& c) { return AnyApplies(kStricter, c); }
bool MayBeLooser(const Case& c) { return AnyApplies(kLooser, c); }
bool MayFrameOtherwise(const Case& c) { return AnyApplies(kFraming, c); }
bool MayPersistOtherwise(const Case& c) { return AnyApplies(kPersistence, c); }

std::vector<std::string_view> ValuesOf(const Case& c, std::string_view name) {
  std::vector<std::string_view> values;
  for (const auto& [known, value] : c.other.fields) {
    if (http::EqualsIgnoreCase(known, name)) values.emplace_back(value);
  }
  return values;
}

}  // namespace pollux::fuzz
