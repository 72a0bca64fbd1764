#include "core/http/accept.h"

#include <algorithm>
#include <optional>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr int kWeightMax = 1000;

// Cuts what precedes the next `separator` that stands outside quoted strings off `rest`.
std::string_view TakeUntil(std::string_view& rest, char separator) {
  bool quoted = false;
  size_t at = 0;
  for (; at < rest.size() && (quoted || rest[at] != separator); ++at) {
    if (rest[at] == '"') quoted = !quoted;
    if (quoted && rest[at] == '\\') ++at;
  }
  at = std::min(at, rest.size());
  const std::string_view taken = rest.substr(0, at);
  rest.remove_prefix(std::min(at + 1, rest.size()));
  return TrimOws(taken);
}

// qvalue: 0 or 1 with at most three decimals, which are 0 behind 1.
std::optional<int> ParseWeight(std::string_view text) {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int weight = (text[0] - '0') * kWeightMax;
  int unit = kWeightMax / 10;
  for (const char digit : text.substr(std::min<size_t>(2, text.size()))) {
    if (!IsDigit(digit)) return std::nullopt;
    weight += (digit - '0') * unit;
    unit /= 10;
  }
  if (weight > kWeightMax) return std::nullopt;
  return weight;
}

struct Match {
  int specificity = 0;  // of the range: 1 for */*, 2 for type/*, 3 for type/subtype; 0 for none
  int weight = 0;
};

Match MatchElement(std::string_view element, std::string_view type) {
  const std::string_view range = TakeUntil(element, ';');
  const size_t slash = type.find('/');
  Match match;
  if (range == "*/*") {
    match.specificity = 1;
  } else if (range.size() == slash + 2 && range.back() == '*' &&
             EqualsIgnoreCase(range.substr(0, slash + 1), type.substr(0, slash + 1))) {
    match.specificity = 2;
  } else if (EqualsIgnoreCase(range, type)) {
    match.specificity = 3;
  } else {
    return {};
  }
  match.weight = kWeightMax;
  bool weighed = false;
  while (!element.empty()) {
    const std::string_view parameter = TakeUntil(element, ';');
    if (parameter.empty()) continue;
    if (weighed) continue;  // accept-ext of RFC 7231: no longer means anything
    if (!EqualsIgnoreCase(parameter.substr(0, 2), "q=")) return {};
    const std::optional<int> weight = ParseWeight(parameter.substr(2));
    if (!weight) return {};
    match.weight = *weight;
    weighed = true;
  }
  return match;
}

}  // namespace

int AcceptWeight(std::string_view accept, std::string_view type) {
  if (TrimOws(accept).empty()) return kWeightMax;
  Match best;
  while (!accept.empty()) {
    const Match match = MatchElement(TakeUntil(accept, ','), type);
    // Of equals the first: nothing says which, and the client could not mean both.
    if (match.specificity > best.specificity) best = match;
  }
  return best.weight;
}

}  // namespace pollux::http
