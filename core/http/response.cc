#include "core/http/response.h"

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "core/base/check.h"
#include "core/http/syntax.h"

namespace pollux::http {
namespace {

// A head with all fields that a file answer has fits without growing.
constexpr size_t kTypicalHeadBytes = 512;

bool IsFieldValue(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

}  // namespace

const char* ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 431:
      return "Request Header Fields Too Large";  // RFC 6585 §5
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unknown";
  }
}

ResponseHead::ResponseHead(int status) {
  CHECK(status >= 100 && status <= 599);
  text_.reserve(kTypicalHeadBytes);
  text_.append("HTTP/1.1 ").append(std::to_string(status)).append(" ");
  text_.append(ReasonPhrase(status)).append("\r\n");
}

ResponseHead& ResponseHead::Add(std::string_view name, std::string_view value) {
  CHECK(IsToken(name));
  CHECK(IsFieldValue(value));
  text_.append(name).append(": ").append(value).append("\r\n");
  return *this;
}

ResponseHead& ResponseHead::Add(std::string_view name, uint64_t value) {
  char digits[20];  // of 2^64 - 1
  const auto end = std::to_chars(digits, digits + sizeof(digits), value).ptr;
  return Add(name, std::string_view(digits, static_cast<size_t>(end - digits)));
}

std::string ResponseHead::Finish() && {
  text_.append("\r\n");
  return std::move(text_);
}

std::string ErrorBody(int status, std::string_view detail) {
  const std::string title = std::to_string(status) + " " + ReasonPhrase(status);
  std::string body = "<!DOCTYPE html>\n<html><head><title>" + title +
                     "</title></head>\n<body><h1>" + title + "</h1>";
  if (!detail.empty()) body += "<p>" + EscapeHtml(detail) + "</p>";
  return body + "</body></html>\n";
}

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string MakeEtag(uint64_t size, int64_t mtime_ns, uint64_t inode) {
  char text[64];
  const int length = std::snprintf(text, sizeof(text), "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
                                   size, static_cast<uint64_t>(mtime_ns), inode);
  return std::string(text, static_cast<size_t>(length));
}

}  // namespace pollux::http
