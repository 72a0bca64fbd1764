// Bytes as text in JSON, which is UTF-8: each byte is the code point of its number.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace pollux {

std::string BytesToUtf8(std::string_view bytes);
// Nothing, if a code point is no byte.
std::optional<std::string> BytesFromUtf8(std::string_view text);

}  // namespace pollux
