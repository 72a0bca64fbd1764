#include "core/http/name_order.h"

#include <algorithm>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

// Cuts the digits off `rest`, and leading zeros off them.
std::string_view TakeNumber(std::string_view& rest) {
  const auto end = std::find_if_not(rest.begin(), rest.end(), IsDigit);
  std::string_view digits = rest.substr(0, static_cast<size_t>(end - rest.begin()));
  rest.remove_prefix(digits.size());
  digits.remove_prefix(std::min(digits.find_first_not_of('0'), digits.size()));
  return digits;
}

// < 0, 0 or > 0, without the bytes' last word.
int CompareFolded(std::string_view a, std::string_view b) {
  while (!a.empty() && !b.empty()) {
    if (IsDigit(a.front()) && IsDigit(b.front())) {
      const std::string_view left = TakeNumber(a);
      const std::string_view right = TakeNumber(b);
      if (left.size() != right.size()) return left.size() < right.size() ? -1 : 1;
      if (const int order = left.compare(right); order != 0) return order;
      continue;
    }
    const auto left = static_cast<unsigned char>(ToLower(a.front()));
    const auto right = static_cast<unsigned char>(ToLower(b.front()));
    if (left != right) return left < right ? -1 : 1;
    a.remove_prefix(1);
    b.remove_prefix(1);
  }
  if (a.empty() && b.empty()) return 0;
  return a.empty() ? -1 : 1;
}

}  // namespace

bool NameBefore(std::string_view a, std::string_view b) {
  const int order = CompareFolded(a, b);
  return order != 0 ? order < 0 : a < b;
}

}  // namespace pollux::http
