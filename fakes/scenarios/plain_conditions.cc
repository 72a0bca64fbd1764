#include "fakes/scenarios/plain_conditions.h"

#include <string>
#include <string_view>
#include <vector>

#include "core/http/date.h"

namespace pollux::sim {
namespace {

using http::Method;
using http::ParseDate;
using http::PreconditionResult;
using http::Request;
using http::Validators;
using Kind = PreconditionResult::Kind;

// Whole tags of a list; nothing for what is no list of them.
std::optional<std::vector<std::string>> Tags(std::string_view list) {
  std::vector<std::string> tags;
  enum { kBefore, kWeak, kInside, kAfter } at = kBefore;
  std::string tag;
  for (const char c : list) {
    const bool space = c == ' ' || c == '\t';
    const auto byte = static_cast<unsigned char>(c);
    switch (at) {
      case kBefore:
        if (space || c == ',') break;
        if (c != 'W' && c != '"') return std::nullopt;
        tag = c;
        at = c == 'W' ? kWeak : kInside;
        break;
      case kWeak:
        if (c == '/' && tag == "W") {
          tag += c;
        } else if (c == '"' && tag == "W/") {
          tag += c;
          at = kInside;
        } else {
          return std::nullopt;
        }
        break;
      case kInside:
        if (byte <= 0x20 || byte == 0x7f) return std::nullopt;
        tag += c;
        if (c != '"') break;
        tags.push_back(tag);
        at = kAfter;
        break;
      case kAfter:
        if (c == ',') {
          at = kBefore;
        } else if (!space) {
          return std::nullopt;
        }
    }
  }
  if (at == kWeak || at == kInside) return std::nullopt;
  return tags;
}

std::string Trimmed(std::string_view text) {
  std::string out(text);
  while (!out.empty() && (out.back() == ' ' || out.back() == '\t')) out.pop_back();
  while (!out.empty() && (out.front() == ' ' || out.front() == '\t')) out.erase(0, 1);
  return out;
}

std::string Opaque(const std::string& tag) { return tag.starts_with("W/") ? tag.substr(2) : tag; }

bool Listed(std::string_view list, const std::string& etag, bool strong) {
  if (Trimmed(list) == "*") return true;
  // A list is read until it turns out to be none: what matched before does not count then.
  const auto tags = Tags(list);
  if (!tags) return false;
  for (const std::string& tag : *tags) {
    if (strong ? tag == etag && !tag.starts_with("W/") : Opaque(tag) == Opaque(etag)) return true;
  }
  return false;
}

}  // namespace

PreconditionResult EvaluatePlainly(const Request& request, const Validators& file, int64_t now) {
  if (request.method != Method::kGet && request.method != Method::kHead) return {};
  const std::string etag(file.etag);
  const auto date = [&](const std::string& text) { return ParseDate(text, now); };
  if (request.if_match) {
    if (!Listed(*request.if_match, etag, true)) return {Kind::kFailed};
  } else if (request.if_unmodified_since && file.last_modified) {
    const auto since = date(*request.if_unmodified_since);
    if (since && *file.last_modified > *since) return {Kind::kFailed};
  }
  if (request.if_none_match) {
    if (Listed(*request.if_none_match, etag, false)) return {Kind::kNotModified};
  } else if (request.if_modified_since && file.last_modified) {
    const auto since = date(*request.if_modified_since);
    if (since && *file.last_modified <= *since) return {Kind::kNotModified};
  }
  if (request.method != Method::kGet || !request.range) return {};
  if (!request.if_range) return {Kind::kProceed, true};
  const std::string value = Trimmed(*request.if_range);
  const auto tags = Tags(value);
  if (tags && tags->size() == 1 && (*tags)[0] == value) {
    return {Kind::kProceed, value == etag && !value.starts_with("W/")};
  }
  const auto only = date(value);
  return {Kind::kProceed, only && only == file.last_modified && *only < now};
}

}  // namespace pollux::sim
