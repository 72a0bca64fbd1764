// Sizes and times as the command line writes them.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pollux {

// "512K", "1M", "2G", "4096": bytes, with powers of 1024. Nothing for anything else, overflow
// included.
std::optional<uint64_t> ParseSize(std::string_view text);

// "250ms", "10s", "2m". A bare number is refused: it would have to be guessed what it counts.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);

// The shortest text that Parse... reads back: "512K", "90s".
std::string FormatSize(uint64_t bytes);
std::string FormatDuration(std::chrono::milliseconds time);

}  // namespace pollux
