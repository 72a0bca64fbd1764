// Pages that list a folder: entries in, text out. Nothing is kept but a few counters, so an entry
// costs no memory once it is written.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace pollux::http {

struct ListingEntry {
  std::string_view name;  // any bytes but '/' and NUL; they need not be UTF-8
  bool folder = false;
  uint64_t size = 0;     // bytes; not shown for folders
  int64_t modified = 0;  // seconds since the epoch
};

enum class ListingFormat { kHtml, kJson };

// JSON if Accept prefers it to HTML, else HTML: also if it refuses both, as a page that was not
// asked for is of more use than 406 (RFC 9110 §12.5.1 leaves the choice).
ListingFormat ChooseListingFormat(std::string_view accept);

std::string_view ListingContentType(ListingFormat format);

// Each call appends to `out`. Begin once, Add for each entry in the order to be shown, End once.
// Links are relative to the listed folder, whose path ends in a slash.
class ListingWriter {
 public:
  virtual ~ListingWriter() = default;

  // `path` is the folder's, decoded, from "/" to "/". `sorted` false says that there were too many
  // entries to sort.
  virtual void Begin(std::string_view path, bool sorted, std::string& out) = 0;
  virtual void Add(const ListingEntry& entry, std::string& out) = 0;
  virtual void End(std::string& out) = 0;
};

// A page in itself: no script, nothing fetched, light or dark as the reader has it.
std::unique_ptr<ListingWriter> MakeHtmlListing();

// {"path":…,"sorted":…,"entries":[{"name":…,"href":…,"type":"file","size":…,"modified":…},…]}
// `href` has the name's exact bytes, percent-encoded; in `name` what is no UTF-8 is U+FFFD.
// `type` is "file" or "directory"; a directory has no size. `modified` is an RFC 3339 date.
std::unique_ptr<ListingWriter> MakeJsonListing();

std::unique_ptr<ListingWriter> MakeListing(ListingFormat format);

// "12 B", "1.2 KiB", "34 MiB": three digits at most before the point, one behind it below ten,
// rounded down.
std::string HumanSize(uint64_t bytes);

}  // namespace pollux::http
