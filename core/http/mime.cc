#include "core/http/mime.h"

#include <array>
#include <optional>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

constexpr std::string_view kDefaultType = "application/octet-stream";
constexpr std::string_view kBlank = " \t\r\v\f";

// The next word, cut off `rest`; empty at the end.
std::string_view NextWord(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
  const std::string_view word = rest.substr(0, rest.find_first_of(kBlank));
  rest.remove_prefix(word.size());
  return word;
}

// It goes into a response head, so a broken file must not be able to break that.
bool IsMediaType(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && IsToken(text.substr(0, slash)) &&
         IsToken(text.substr(slash + 1));
}

// Lower case into `folded`; nothing for what is longer than any extension that is kept.
std::optional<std::string_view> Fold(std::string_view extension,
                                     std::array<char, MimeTypes::kExtensionBytesMax>& folded) {
  if (extension.empty() || extension.size() > folded.size()) return std::nullopt;
  for (size_t i = 0; i < extension.size(); ++i) folded[i] = ToLower(extension[i]);
  return std::string_view(folded.data(), extension.size());
}

}  // namespace

MimeTypes::MimeTypes(std::string_view text) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const std::string_view type = NextWord(line);
    if (!IsMediaType(type)) continue;
    std::array<char, kExtensionBytesMax> folded;
    for (auto word = NextWord(line); !word.empty(); word = NextWord(line)) {
      if (const auto extension = Fold(word, folded))
        types_.try_emplace(std::string(*extension), type);
    }
  }
}

std::string_view MimeTypes::TypeOf(std::string_view path) const {
  const size_t slash = path.rfind('/');
  const std::string_view name = slash == std::string_view::npos ? path : path.substr(slash + 1);
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return kDefaultType;  // ".profile" has none
  std::array<char, kExtensionBytesMax> folded;
  const auto extension = Fold(name.substr(dot + 1), folded);
  if (!extension) return kDefaultType;
  const auto found = types_.find(*extension);
  return found == types_.end() ? kDefaultType : std::string_view(found->second);
}

}  // namespace pollux::http
