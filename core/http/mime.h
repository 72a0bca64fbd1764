// MIME types by file extension, from the text of a mime.types(5) file.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace pollux::http {

class MimeTypes {
 public:
  // Longer extensions have no type. Of those in Debian's table the longest has 24 bytes.
  static constexpr size_t kExtensionBytesMax = 64;

  // Lines of "type ext ext ..."; '#' starts a comment. The first type named for an extension wins;
  // lines whose type is none (RFC 9110 §8.3.1) are skipped.
  explicit MimeTypes(std::string_view mime_types_text);

  // By the extension of the path's last segment, ASCII case folded; application/octet-stream else.
  // Valid as long as this object. Allocates nothing.
  std::string_view TypeOf(std::string_view path) const;

 private:
  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::unordered_map<std::string, std::string, Hash, std::equal_to<>> types_;
};

}  // namespace pollux::http
