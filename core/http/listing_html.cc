#include <string>
#include <vector>

#include "core/http/date.h"
#include "core/http/listing.h"
#include "core/http/response.h"
#include "core/http/syntax.h"
#include "core/http/target.h"
#include "core/http/utf8.h"

namespace pollux::http {
namespace {

constexpr size_t kTrailSegmentsMax = 64;

// The icon is empty, so that no browser asks for /favicon.ico.
constexpr std::string_view kHead = R"(<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --text: #1d2125; --page: #fff; --dim: #5b646d; --line: #dfe3e8;
  --link: #0b57c2; --over: #f2f5f8; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ea; --page: #15181b; --dim: #98a2ad;
  --line: #2d3339; --link: #82b5ff; --over: #1f2429; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; color: var(--text);
  background: var(--page); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; }
a { color: var(--link); text-decoration: none; }
a:hover, a:focus { text-decoration: underline; }
bdi { white-space: pre-wrap; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--dim); font-weight: normal; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:hover td { background: var(--over); }
td:first-child { width: 100%; overflow-wrap: anywhere; }
.size { text-align: right; white-space: nowrap; }
.date { white-space: nowrap; }
small, .date, footer, .note { color: var(--dim); }
small { display: block; font-size: .8rem; }
@media (max-width: 40rem) {
  thead { display: none; }
  table, tbody { display: block; }
  tr { display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  td { border: 0; padding: 0 .25rem; }
  td:first-child { flex: 1 0 100%; box-sizing: border-box; padding: .25rem; }
  .size { order: 2; margin-left: auto; }
  small { display: inline; padding-left: .5rem; }
}
</style>
)";

// Text for HTML out of any bytes: controls as the pictures of them (U+2400 and following), so that
// a name with a line break is seen for what it is.
std::string Show(std::string_view text) {
  std::string shown;
  shown.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const char c = text.front();
    if (length == 0) {
      shown += kReplacementCharacter;
    } else if (length == 1 && IsControl(c)) {
      // U+2400 + c, and U+2421 for 0x7f.
      shown.append("\xe2\x90").append(1, static_cast<char>(0x80 + (c == 0x7f ? 0x21 : c)));
    } else {
      shown += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return EscapeHtml(shown);
}

std::vector<std::string_view> Segments(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    const std::string_view segment = path.substr(0, path.find('/'));
    if (!segment.empty()) segments.push_back(segment);
    path.remove_prefix(std::min(segment.size() + 1, path.size()));
  }
  return segments;
}

// The path, each folder of it a link. They are relative, so that they hold behind a prefix, too.
void AppendTrail(std::string_view path, std::string& out) {
  const std::vector<std::string_view> segments = Segments(path);
  // Each link is as long as its folder is far up: all together grow with the square of the depth.
  if (segments.size() > kTrailSegmentsMax) {
    out.append("<bdi>").append(Show(path)).append("</bdi>");
    return;
  }
  size_t up = segments.size();
  const auto crumb = [&](std::string_view text) {
    out += "<a href=\"";
    if (up == 0) out += "./";
    for (size_t i = 0; i < up; ++i) out += "../";
    out.append("\"><bdi>").append(text).append("</bdi></a>");
  };
  crumb("/");
  for (const std::string_view segment : segments) {
    --up;
    crumb(Show(segment));
    out += " / ";
  }
}

// "1,234,567"
std::string Grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, 1, ',');
  }
  return digits;
}

std::string Counted(uint64_t count, const char* one, const char* many) {
  return Grouped(count) + " " + (count == 1 ? one : many);
}

class HtmlListing final : public ListingWriter {
 public:
  void Begin(std::string_view path, bool sorted, std::string& out) override {
    out.append("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<title>").append(Show(path));
    out.append("</title>\n").append(kHead).append("</head>\n<body>\n<header><h1>");
    AppendTrail(path, out);
    out += "</h1></header>\n<main>\n";
    if (!sorted) {
      out +=
          "<p class=\"note\">This folder has too many entries to sort; "
          "they come in the order of its file system.</p>\n";
    }
    out +=
        "<table>\n<thead><tr><th>Name</th><th class=\"size\">Size</th>"
        "<th class=\"date\">Changed (UTC)</th></tr></thead>\n<tbody>\n";
    if (path.size() > 1) {
      out +=
          "<tr><td><a href=\"../\">../</a></td><td class=\"size\"></td>"
          "<td class=\"date\"></td></tr>\n";
    }
  }

  void Add(const ListingEntry& entry, std::string& out) override {
    const std::string_view slash = entry.folder ? "/" : "";
    out.append("<tr><td><a href=\"")
        .append(EncodePath(entry.name))
        .append(slash)
        .append("\"><bdi>");
    out.append(Show(entry.name)).append("</bdi>").append(slash);
    out += "</a></td><td class=\"size\">";
    if (entry.folder) {
      ++folders_;
    } else {
      ++files_;
      bytes_ += entry.size;
      AppendSize(entry.size, out);
    }
    const std::string date = FormatIsoDate(entry.modified);
    out.append("</td><td class=\"date\"><time datetime=\"").append(date).append("\">");
    // "2026-01-31T12:34:56Z" without what nobody reads in a list.
    out.append(date, 0, 10).append(" ").append(date, 11, 5).append("</time></td></tr>\n");
  }

  void End(std::string& out) override {
    out.append("</tbody>\n</table>\n</main>\n<footer><p>");
    out.append(Counted(folders_, "folder", "folders")).append(", ");
    out.append(Counted(files_, "file", "files")).append(", ").append(HumanSize(bytes_));
    out += "</p></footer>\n</body>\n</html>\n";
  }

 private:
  static void AppendSize(uint64_t size, std::string& out) {
    out += HumanSize(size);
    if (size >= 1024) out.append("<small>").append(Grouped(size)).append(" B</small>");
  }

  uint64_t folders_ = 0;
  uint64_t files_ = 0;
  uint64_t bytes_ = 0;  // of the files; wraps where no disk reaches
};

}  // namespace

std::unique_ptr<ListingWriter> MakeHtmlListing() { return std::make_unique<HtmlListing>(); }

}  // namespace pollux::http
