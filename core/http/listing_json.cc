#include "core/http/date.h"
#include "core/http/listing.h"
#include "core/http/syntax.h"
#include "core/http/target.h"
#include "core/http/utf8.h"

namespace pollux::http {
namespace {

// RFC 8259 §7: quotes, backslashes and controls are escaped, the rest is UTF-8.
void AppendString(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const size_t length = Utf8SequenceLength(text);
    const char c = text.front();
    if (length == 0) {
      out += kReplacementCharacter;
    } else if (length > 1) {
      out += text.substr(0, length);
    } else if (c == '"' || c == '\\') {
      out.append(1, '\\').append(1, c);
    } else if (IsControl(c)) {
      out.append("\\u00").append(1, kHex[c >> 4]).append(1, kHex[c & 15]);
    } else {
      out += c;
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

class JsonListing final : public ListingWriter {
 public:
  void Begin(std::string_view path, bool sorted, std::string& out) override {
    out += "{\"path\":";
    AppendString(path, out);
    out += sorted ? ",\"sorted\":true" : ",\"sorted\":false";
    out += ",\"entries\":[";
  }

  void Add(const ListingEntry& entry, std::string& out) override {
    out += first_ ? "\n{\"name\":" : ",\n{\"name\":";
    first_ = false;
    AppendString(entry.name, out);
    out.append(",\"href\":\"").append(EncodePath(entry.name));
    if (entry.folder) {
      out += "/\",\"type\":\"directory\"";
    } else {
      out.append("\",\"type\":\"file\",\"size\":").append(std::to_string(entry.size));
    }
    out.append(",\"modified\":\"").append(FormatIsoDate(entry.modified)).append("\"}");
  }

  void End(std::string& out) override { out += "\n]}\n"; }

 private:
  bool first_ = true;
};

}  // namespace

std::unique_ptr<ListingWriter> MakeJsonListing() { return std::make_unique<JsonListing>(); }

}  // namespace pollux::http
