#include "fuzz/request_mutator.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <string_view>
#include <vector>

// Weak: AFL++ has none, and never calls what needs it.
extern "C" __attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t* data, size_t size,
                                                         size_t size_max);

namespace pollux::fuzz {
namespace {

struct Field {
  const char* name;
  std::array<const char*, 5> values;
};

constexpr std::array<Field, 15> kFields = {{
    {"Host", {"a", "a:80", "[::1]:8080", "", "a b"}},
    {"Connection", {"close", "keep-alive", "close, x", "Upgrade", "keep-alive, close"}},
    {"Content-Length", {"0", "5", "18446744073709551615", "+1", "1, 1"}},
    {"Transfer-Encoding", {"chunked", "gzip, chunked", "chunked, chunked", "identity", "x"}},
    {"Expect", {"100-continue", "100-Continue, x", "x", "", "100-continue;q=1"}},
    {"Range", {"bytes=0-0", "bytes=-5", "bytes=1-,0-0", "bytes=99999-", "bytes=0-1,4-5,8-9"}},
    {"If-Range", {"\"e\"", "W/\"e\"", "Sun, 06 Nov 1994 08:49:37 GMT", "*", ""}},
    {"If-Match", {"*", "\"e\"", "W/\"e\"", "\"a\", \"b\"", "x"}},
    {"If-None-Match", {"*", "\"e\"", "W/\"e\", \"f\"", "\"a\",,\"b\"", "x"}},
    {"If-Modified-Since",
     {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
      "Fri, 31 Dec 9999 23:59:59 GMT", "x"}},
    {"If-Unmodified-Since",
     {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
      "Fri, 31 Dec 9999 23:59:59 GMT", "x"}},
    {"Accept", {"*/*", "text/html;q=0.5, application/json", "application/json", "q", "text/*;q=0"}},
    {"Referer", {"http://a/", "\"", "\\", "a\tb", "\x80"}},
    {"User-Agent", {"curl/8", "\"", "\\x22", "", "\xc3\xa9"}},
    {"X", {"", "1", "a: b", "\t", "\x7f"}},
}};

constexpr std::array<const char*, 12> kRequestLines = {
    "GET / HTTP/1.1",       "GET /small HTTP/1.1",         "GET /large HTTP/1.1",
    "HEAD /small HTTP/1.1", "POST /small HTTP/1.1",        "OPTIONS * HTTP/1.1",
    "GET /dir HTTP/1.1",    "GET /%2e%2e/secret HTTP/1.1", "GET http://a/small HTTP/1.1",
    "GET /small HTTP/1.0",  "GET /metrics HTTP/1.1",       "BREW /small HTTP/1.2"};

size_t Below(Random& random, size_t count) { return random() % count; }

// `field` with one of its values, and white space around it that parsers may take for part of it.
std::string Line(const Field& field, Random& random) {
  static constexpr const char* kBefore[] = {" ", " ", "", "\t", "  "};
  static constexpr const char* kBehind[] = {"", "", " ", "\t", " \t"};
  return std::string(field.name) + ":" + kBefore[Below(random, std::size(kBefore))] +
         field.values[Below(random, field.values.size())] +
         kBehind[Below(random, std::size(kBehind))] + "\r\n";
}

std::string AnyField(Random& random) {
  return Line(kFields[Below(random, kFields.size())], random);
}

std::string AnyRequest(Random& random) {
  std::string request = kRequestLines[Below(random, kRequestLines.size())];
  request += "\r\nHost: a\r\n";
  for (size_t i = Below(random, 3); i > 0; --i) request += AnyField(random);
  request += "\r\n";
  if (Below(random, 4) == 0) request += "5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\n";
  return request;
}

// Offsets where lines begin, and the end.
std::vector<size_t> LinesOf(std::string_view text) {
  std::vector<size_t> out = {0};
  for (size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    out.push_back(at + 1);
  }
  if (out.back() != text.size()) out.push_back(text.size());
  return out;
}

// Another value for the field in `line`, if it is a field that is known.
std::string WithOtherValue(std::string_view line, Random& random) {
  for (const Field& field : kFields) {
    if (line.starts_with(std::string(field.name) + ":")) return Line(field, random);
  }
  return AnyField(random);
}

}  // namespace

void MutateBytes(std::string& text, size_t size_max) {
  if (LLVMFuzzerMutate == nullptr || size_max == 0) return;
  const size_t size = std::min(text.size(), size_max);
  text.resize(size_max);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, size_max));
}

void MutateRequests(std::string& text, Random& random) {
  const std::vector<size_t> lines = LinesOf(text);
  const size_t count = lines.size() - 1;
  if (count == 0) {
    text = AnyRequest(random);
    return;
  }
  const size_t at = Below(random, count);
  const std::string line = text.substr(lines[at], lines[at + 1] - lines[at]);
  switch (Below(random, 7)) {
    case 0:
      text.insert(lines[at], AnyField(random));
      break;
    case 1:
      text.erase(lines[at], line.size());
      break;
    case 2:
      text.insert(lines[at], line);
      break;
    case 3:
      text.replace(lines[at], line.size(), WithOtherValue(line, random));
      break;
    case 4:
      text.insert(lines[Below(random, lines.size())], line);
      break;
    case 5:
      text.insert(lines[Below(random, lines.size())], AnyRequest(random));
      break;
    default:
      text.replace(lines[at], line.size(),
                   std::string(kRequestLines[Below(random, kRequestLines.size())]) + "\r\n");
  }
}

size_t Store(const std::string& text, uint8_t* data, size_t size_max) {
  const size_t size = std::min(text.size(), size_max);
  std::copy_n(text.begin(), size, data);
  return size;
}

}  // namespace pollux::fuzz
