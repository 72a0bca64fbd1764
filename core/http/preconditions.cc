#include "core/http/preconditions.h"

#include "core/http/date.h"
#include "core/http/syntax.h"

namespace pollux::http {
namespace {

using Kind = PreconditionResult::Kind;

enum class Comparison { kStrong, kWeak };  // RFC 9110 §8.8.3.2

// etagc: no control, no space, no quote (RFC 9110 §8.8.3).
bool IsEtagByte(char c) { return !IsControl(c) && c != ' ' && c != '"'; }

// Cuts one entity-tag off `rest`; empty where there is none.
std::string_view TakeEtag(std::string_view& rest) {
  size_t i = rest.substr(0, 2) == "W/" ? 2 : 0;  // case-sensitive
  if (i >= rest.size() || rest[i] != '"') return {};
  ++i;
  while (i < rest.size() && IsEtagByte(rest[i])) ++i;
  if (i == rest.size() || rest[i] != '"') return {};
  const std::string_view etag = rest.substr(0, i + 1);
  rest.remove_prefix(i + 1);
  return etag;
}

bool IsWeak(std::string_view etag) { return etag.substr(0, 2) == "W/"; }

bool Matches(std::string_view a, std::string_view b, Comparison comparison) {
  if (comparison == Comparison::kStrong) return !IsWeak(a) && a == b;
  return a.substr(IsWeak(a) ? 2 : 0) == b.substr(IsWeak(b) ? 2 : 0);
}

// "*", which any existing representation matches, or a list of entity tags, whose commas may be
// inside of the quotes.
bool AnyMatches(std::string_view list, std::string_view etag, Comparison comparison) {
  list = TrimOws(list);
  if (list == "*") return true;
  bool matched = false;
  while (!list.empty()) {
    if (list.front() != ',') {
      const std::string_view element = TakeEtag(list);
      if (element.empty()) return false;
      matched = matched || Matches(element, etag, comparison);
      list = TrimOws(list);
      if (list.empty()) break;
      if (list.front() != ',') return false;
    }
    list = TrimOws(list.substr(1));
  }
  return matched;
}

bool IfRangeHolds(std::string_view value, const Validators& current, int64_t now) {
  std::string_view rest = TrimOws(value);
  const std::string_view etag = TakeEtag(rest);
  if (!etag.empty()) return rest.empty() && Matches(etag, current.etag, Comparison::kStrong);
  const auto date = ParseDate(rest, now);
  return date && current.last_modified == *date && *date < now;
}

Kind Evaluate(const Request& request, const Validators& current, int64_t now) {
  if (request.if_match) {
    if (!AnyMatches(*request.if_match, current.etag, Comparison::kStrong)) return Kind::kFailed;
  } else if (request.if_unmodified_since) {
    const auto date = ParseDate(*request.if_unmodified_since, now);
    if (date && current.last_modified && *current.last_modified > *date) return Kind::kFailed;
  }
  if (request.if_none_match) {
    if (AnyMatches(*request.if_none_match, current.etag, Comparison::kWeak)) {
      return Kind::kNotModified;
    }
  } else if (request.if_modified_since) {
    const auto date = ParseDate(*request.if_modified_since, now);
    if (date && current.last_modified && *current.last_modified <= *date) {
      return Kind::kNotModified;
    }
  }
  return Kind::kProceed;
}

}  // namespace

PreconditionResult EvaluatePreconditions(const Request& request, const Validators& current,
                                         int64_t now) {
  if (request.method != Method::kGet && request.method != Method::kHead) return {};
  const Kind kind = Evaluate(request, current, now);
  if (kind != Kind::kProceed || request.method != Method::kGet || !request.range) return {kind};
  const bool holds = !request.if_range || IfRangeHolds(*request.if_range, current, now);
  return {kind, holds};
}

}  // namespace pollux::http
