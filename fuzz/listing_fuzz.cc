// Listings of folders: whatever bytes a name has, the page is UTF-8 with the tags of an entry and
// no others, and its link leads back to the name. The input is names, a line each; its first line
// is an Accept value, too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/http/accept.h"
#include "core/http/listing.h"
#include "core/http/target.h"
#include "core/http/utf8.h"

namespace {

using pollux::http::AcceptWeight;
using pollux::http::EncodePath;
using pollux::http::ListingFormat;
using pollux::http::MakeListing;
using pollux::http::ParseTarget;
using pollux::http::Utf8SequenceLength;

bool IsUtf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

// What one entry adds to a listing of `format`.
std::string EntryOf(ListingFormat format, std::string_view name) {
  const auto writer = MakeListing(format);
  std::string text;
  writer->Begin("/", true, text);
  const size_t begin = text.size();
  writer->Add({name, false, 1, 0}, text);
  return text.substr(begin);
}

bool CouldBeAName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/\0", 2)) == std::string_view::npos;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view accept = rest.substr(0, rest.find('\n'));
  for (const char* type : {"text/html", "application/json"}) {
    const int weight = AcceptWeight(accept, type);
    CHECK(weight >= 0 && weight <= 1000);
  }
  const std::string plain = EntryOf(ListingFormat::kHtml, "x");
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!CouldBeAName(name)) continue;
    const std::string html = EntryOf(ListingFormat::kHtml, name);
    const std::string json = EntryOf(ListingFormat::kJson, name);
    CHECK(IsUtf8(html) && IsUtf8(json));
    for (const char c : {'<', '>', '"'}) {
      CHECK(std::count(html.begin(), html.end(), c) == std::count(plain.begin(), plain.end(), c));
    }
    const auto target = ParseTarget("/" + EncodePath(name));
    CHECK(target && std::string_view(target->path).substr(1) == name);
  }
  return 0;
}
