// UTF-8 out of bytes that may be none (RFC 3629): file names are bytes, pages and JSON are text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace pollux::http {

// Bytes of the well-formed sequence that `text` (not empty) begins with: 1 to 4. 0 if it is
// ill-formed: overlong, a surrogate, beyond U+10FFFF, cut off, or no lead byte.
size_t Utf8SequenceLength(std::string_view text);

// U+FFFD, which stands for each byte that belongs to no sequence.
inline constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

}  // namespace pollux::http
