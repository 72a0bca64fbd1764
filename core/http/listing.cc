#include "core/http/listing.h"

#include "core/http/accept.h"

namespace pollux::http {

ListingFormat ChooseListingFormat(std::string_view accept) {
  const bool json = AcceptWeight(accept, "application/json") > AcceptWeight(accept, "text/html");
  return json ? ListingFormat::kJson : ListingFormat::kHtml;
}

std::string_view ListingContentType(ListingFormat format) {
  return format == ListingFormat::kJson ? "application/json" : "text/html; charset=utf-8";
}

std::unique_ptr<ListingWriter> MakeListing(ListingFormat format) {
  return format == ListingFormat::kJson ? MakeJsonListing() : MakeHtmlListing();
}

std::string HumanSize(uint64_t bytes) {
  static constexpr const char* kUnits[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"};
  size_t unit = 0;
  uint64_t tenths = 0;  // of the unit, behind the point
  while (bytes >= 1024) {
    tenths = bytes % 1024 * 10 / 1024;
    bytes /= 1024;
    ++unit;
  }
  std::string text = std::to_string(bytes);
  if (unit > 0 && bytes < 10) text.append(".").append(std::to_string(tenths));
  return text + kUnits[unit];
}

}  // namespace pollux::http
