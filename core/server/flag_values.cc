#include "core/server/flag_values.h"

#include <charconv>
#include <limits>

namespace pollux {
namespace {

// The digits at the start of `text`, which loses them.
std::optional<uint64_t> TakeNumber(std::string_view& text) {
  uint64_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{}) return std::nullopt;
  text.remove_prefix(static_cast<size_t>(stop - text.data()));
  return number;
}

std::optional<uint64_t> Multiply(uint64_t a, uint64_t b) {
  uint64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

}  // namespace

std::optional<uint64_t> ParseSize(std::string_view text) {
  const std::optional<uint64_t> number = TakeNumber(text);
  if (!number) return std::nullopt;
  if (text.empty()) return number;
  if (text == "K") return Multiply(*number, uint64_t{1} << 10);
  if (text == "M") return Multiply(*number, uint64_t{1} << 20);
  if (text == "G") return Multiply(*number, uint64_t{1} << 30);
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const std::optional<uint64_t> number = TakeNumber(text);
  if (!number) return std::nullopt;
  uint64_t unit = 0;
  if (text == "ms") unit = 1;
  if (text == "s") unit = 1000;
  if (text == "m") unit = 60 * 1000;
  if (unit == 0) return std::nullopt;
  const std::optional<uint64_t> count = Multiply(*number, unit);
  // Nanoseconds of it must still fit in 64 signed bits.
  constexpr uint64_t kMillisecondsMax = std::numeric_limits<int64_t>::max() / 1'000'000;
  if (!count || *count > kMillisecondsMax) return std::nullopt;
  return std::chrono::milliseconds(*count);
}

std::string FormatSize(uint64_t bytes) {
  for (const auto& [shift, suffix] : {std::pair{30, "G"}, std::pair{20, "M"}, std::pair{10, "K"}}) {
    const uint64_t unit = uint64_t{1} << shift;
    if (bytes >= unit && bytes % unit == 0) return std::to_string(bytes / unit) + suffix;
  }
  return std::to_string(bytes);
}

std::string FormatDuration(std::chrono::milliseconds time) {
  const int64_t count = time.count();
  if (count >= 60'000 && count % 60'000 == 0) return std::to_string(count / 60'000) + "m";
  if (count >= 1000 && count % 1000 == 0) return std::to_string(count / 1000) + "s";
  return std::to_string(count) + "ms";
}

}  // namespace pollux
