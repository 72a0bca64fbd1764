// MIME types by file extension, from the text of a mime.types(5) file.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

namespace pollux::http {

class MimeTypes {
 public:
  // Lines of "type ext ext ..."; '#' starts a comment. The first type named for an extension wins.
  explicit MimeTypes(std::string_view mime_types_text);

  // By the extension of the path's last segment, ASCII case folded; application/octet-stream else.
  std::string_view TypeOf(std::string_view path) const;

 private:
  std::unordered_map<std::string, std::string> types_;
};

}  // namespace pollux::http
