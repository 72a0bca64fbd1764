// The small grammar that field values share (RFC 9110 §5.6): tokens, white space, lists, numbers.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace pollux::http {

constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

constexpr char ToLower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// 0..15, or -1 for what is no hexadecimal digit.
constexpr int HexValue(char c) {
  if (IsDigit(c)) return c - '0';
  const char lower = ToLower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// tchar of RFC 9110 §5.6.2.
constexpr bool IsTokenChar(char c) {
  if (IsDigit(c) || (ToLower(c) >= 'a' && ToLower(c) <= 'z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

// CTL: 0-31 and 127. Tab is one, too: the places that allow it say so.
constexpr bool IsControl(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte < 0x20 || byte == 0x7f;
}

// One bool per byte value, for the loops that see every byte of a request.
using ByteSet = std::array<bool, 256>;

constexpr ByteSet MakeByteSet(bool (*contains)(char)) {
  ByteSet set{};
  for (int byte = 0; byte < 256; ++byte) set[byte] = contains(static_cast<char>(byte));
  return set;
}

inline bool Contains(const ByteSet& set, char c) { return set[static_cast<unsigned char>(c)]; }

bool IsToken(std::string_view text);  // at least one tchar, and nothing else

bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// Without the spaces and tabs around it (OWS).
std::string_view TrimOws(std::string_view text);

// 1*DIGIT that fits; nothing for signs, spaces, hex, underscores, the empty string and overflow.
std::optional<uint64_t> ParseDecimal(std::string_view text);

// Walks the elements of a comma-separated list (RFC 9110 §5.6.1), trimmed, the empty ones included.
// Not for lists whose elements hold quoted strings.
class ListReader {
 public:
  explicit ListReader(std::string_view list) : rest_(list) {}
  std::optional<std::string_view> Next();

 private:
  std::string_view rest_;
  bool done_ = false;
};

}  // namespace pollux::http
