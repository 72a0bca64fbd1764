// Listings of folders: whatever bytes a name has, the page is UTF-8 with the tags of an entry and
// no others, and its link leads back to the name; and names have one order, whatever they are. The
// input is names, a line each; its first line is an Accept value, too.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/http/accept.h"
#include "core/http/listing.h"
#include "core/http/name_order.h"
#include "core/http/syntax.h"
#include "core/http/target.h"
#include "core/http/utf8.h"

namespace {

using pollux::http::AcceptWeight;
using pollux::http::EncodePath;
using pollux::http::ListingFormat;
using pollux::http::MakeListing;
using pollux::http::NameBefore;
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

// All of a page about the folder `path`, without entries.
std::string PageOf(ListingFormat format, std::string_view path, bool sorted) {
  const auto writer = MakeListing(format);
  std::string text;
  writer->Begin(path, sorted, text);
  writer->End(text);
  return text;
}

// NameBefore as name_order.h tells it: lists of characters and numbers, compared as lists.
struct Part {
  bool number;
  char first;        // of a number its first digit, which may be a zero that `text` leaves out
  std::string text;  // a character, or a number without leading zeros
};

std::vector<Part> PartsOf(std::string_view name) {
  std::vector<Part> parts;
  bool in_number = false;
  for (const char c : name) {
    const bool digit = pollux::http::IsDigit(c);
    if (!digit || !in_number) parts.push_back({digit, pollux::http::ToLower(c), {}});
    in_number = digit;
    std::string& text = parts.back().text;
    if (digit && text == "0") text.clear();
    text.push_back(pollux::http::ToLower(c));
  }
  return parts;
}

bool ReferenceBefore(std::string_view a, std::string_view b) {
  const std::vector<Part> left = PartsOf(a), right = PartsOf(b);
  for (size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
    if (left[i].number != right[i].number) {
      return static_cast<unsigned char>(left[i].first) < static_cast<unsigned char>(right[i].first);
    }
    if (left[i].number && left[i].text.size() != right[i].text.size()) {
      return left[i].text.size() < right[i].text.size();
    }
    if (left[i].text != right[i].text) return left[i].text < right[i].text;
  }
  if (left.size() != right.size()) return left.size() < right.size();
  return a < b;
}

void CheckOrder(std::string_view a, std::string_view b) {
  CHECK(!NameBefore(a, a) && !NameBefore(b, b));
  CHECK(a == b ? !NameBefore(a, b) : NameBefore(a, b) != NameBefore(b, a));
  CHECK(NameBefore(a, b) == ReferenceBefore(a, b));
}

void CheckPages(std::string_view name) {
  const std::string path = "/" + std::string(name) + "/";
  const std::string plain = PageOf(ListingFormat::kHtml, "/x/", true);
  const bool sorted = name.size() % 2 == 0;
  const std::string page = PageOf(ListingFormat::kHtml, path, sorted);
  CHECK(IsUtf8(page) && IsUtf8(PageOf(ListingFormat::kJson, path, sorted)));
  CHECK(!sorted ||
        std::count(page.begin(), page.end(), '"') == std::count(plain.begin(), plain.end(), '"'));
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
  std::string_view last;
  while (!rest.empty()) {
    const std::string_view name = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (!CouldBeAName(name)) continue;
    CheckOrder(std::exchange(last, name), name);
    if (rest.empty()) CheckPages(name);
    // Deeper than a page has links for.
    if (std::string deep = "/"; name.starts_with("deep")) {
      for (int i = 0; i < 100; ++i) deep.append(name).append("/");
      CHECK(IsUtf8(PageOf(ListingFormat::kHtml, deep, true)));
    }
    CHECK(ParseTarget(EncodePath("//" + std::string(name)))->path == "/" + std::string(name));
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
