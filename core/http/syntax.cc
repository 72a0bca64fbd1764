#include "core/http/syntax.h"

#include <algorithm>
#include <limits>

namespace pollux::http {
namespace {
constexpr ByteSet kTokenBytes = MakeByteSet([](char c) { return IsTokenChar(c); });
}  // namespace

bool IsToken(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return Contains(kTokenBytes, c); });
}

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return ToLower(x) == ToLower(y); });
}

std::string_view TrimOws(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  const size_t last = text.find_last_not_of(" \t");
  return text.substr(first, last - first + 1);
}

std::optional<uint64_t> ParseDecimal(std::string_view text) {
  constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();
  if (text.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) return std::nullopt;
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (kMax - digit) / 10) return std::nullopt;
    value = value * 10 + digit;
  }
  return value;
}

std::optional<std::string_view> ListReader::Next() {
  if (done_) return std::nullopt;
  const size_t comma = rest_.find(',');
  const std::string_view element = TrimOws(rest_.substr(0, comma));
  if (comma == std::string_view::npos) {
    done_ = true;
  } else {
    rest_.remove_prefix(comma + 1);
  }
  return element;
}

}  // namespace pollux::http
