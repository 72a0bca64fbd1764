#include "fakes/scenarios/owed_head.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "core/http/date.h"
#include "core/http/listing.h"
#include "core/http/syntax.h"
#include "fakes/scenarios/plain_conditions.h"

namespace pollux::sim {
namespace {

using http::PreconditionResult;
using RangeKind = http::RangeResult::Kind;

// RFC 9110 §8.8.2.1: never later than Date.
int64_t Modified(const ServedFile& file, int64_t now) { return std::min(file.last_modified, now); }

std::optional<int> DigitOf(char c) {
  const size_t digit = std::string_view("0123456789ABCDEF").find(c);
  return digit == std::string_view::npos ? std::nullopt : std::optional(static_cast<int>(digit));
}

// Nothing for what is no path of a URI (RFC 3986 §3.3) or has an escape that it does not need.
std::optional<std::string> Decoded(std::string_view text) {
  constexpr std::string_view kPlain = "-._~/";
  const auto is_plain = [&](char c) {
    return http::IsDigit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           kPlain.find(c) != std::string_view::npos;
  };
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      if (!is_plain(text[i])) return std::nullopt;
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const auto high = DigitOf(text[i + 1]), low = DigitOf(text[i + 2]);
    if (!high || !low) return std::nullopt;
    out += static_cast<char>(*high * 16 + *low);
    if (is_plain(out.back())) return std::nullopt;
    i += 2;
  }
  return out;
}

// The same path with a slash behind it, in this place, with the same query.
bool LeadsToTheFolder(std::string_view location, const http::Request& request) {
  const size_t end = std::min(location.find('?'), location.size());
  const std::string_view query = location.substr(end);
  if (query != (request.query.empty() ? "" : "?" + request.query)) return false;
  if (location.starts_with("//")) return false;  // that would be another host
  return Decoded(location.substr(0, end)) == request.path + "/";
}

using Values = std::vector<std::pair<const char*, std::optional<std::string>>>;

// Of an answer that has content, whose length is known beforehand.
std::optional<std::string> LengthOwed(const Expected& expected, const Owed& owed) {
  const uint64_t size = expected.file->content->size();
  if (owed.status == 200) return std::to_string(size);
  if (owed.range.ranges.size() != 1) return std::nullopt;  // compared with the content
  return std::to_string(owed.range.ranges[0].length);
}

std::string RangeOwed(const Expected& expected, const Owed& owed) {
  const std::string size = std::to_string(expected.file->content->size());
  if (owed.status == 416) return "bytes */" + size;
  const http::ByteRange& range = owed.range.ranges[0];
  return "bytes " + std::to_string(range.offset) + "-" +
         std::to_string(range.offset + range.length - 1) + "/" + size;
}

Values ValuesOwed(const Expected& expected, const Owed& owed, int64_t now) {
  Values out = {{"Content-Range", {}},
                {"ETag", {}},
                {"Last-Modified", {}},
                {"Accept-Ranges", {}},
                {"Allow", {}}};
  const auto owe = [&](std::string_view name, std::string value) {
    for (auto& [known, slot] : out) {
      if (known == name) slot = std::move(value);
    }
  };
  const int status = owed.status;
  if (status == 204 || status == 405) owe("Allow", "GET, HEAD, OPTIONS");
  if (expected.file == nullptr) return out;
  if (status == 416 || (status == 206 && owed.range.ranges.size() == 1)) {
    owe("Content-Range", RangeOwed(expected, owed));
  }
  if (status >= 400) return out;
  owe("ETag", expected.file->etag);
  owe("Last-Modified", http::FormatDate(Modified(*expected.file, now)));
  if (status == 304) return out;
  owe("Accept-Ranges", "bytes");
  if (const auto length = LengthOwed(expected, owed)) out.emplace_back("Content-Length", length);
  if (owed.range.ranges.size() < 2) out.emplace_back("Content-Type", expected.type);
  return out;
}

// What has no content by its status says no length, and neither does a listing. Of a file
// ValuesOwed says which; all other pages have one, and it is not 0. HEAD says what GET would
// (RFC 9110 §8.6).
std::string CompareFraming(const ReceivedAnswer& answer, const Expected& expected,
                           const Owed& owed) {
  const bool page = expected.listing && owed.status == 200;
  const bool chunked = page && !expected.ends_by_close;
  if (answer.CountFields("Transfer-Encoding") != (chunked ? 1 : 0)) return "Transfer-Encoding";
  if (page || owed.status == 204 || owed.status == 304) {
    return answer.CountFields("Content-Length") == 0 ? "" : "Content-Length";
  }
  if (expected.file != nullptr && owed.status < 400) return "";
  const auto length = http::ParseDecimal(answer.Field("Content-Length").value_or(""));
  return length.value_or(0) > 0 ? "" : "Content-Length";
}

}  // namespace

Owed Decide(const Expected& expected, const ServerRules& rules, int64_t now) {
  Owed out{expected.status, {}};
  if (!expected.request || (expected.file == nullptr && !expected.listing)) return out;
  http::Validators validators;
  if (expected.file != nullptr) {
    validators = {expected.file->etag, Modified(*expected.file, now)};
  }
  const http::Request& request = *expected.request;
  const PreconditionResult condition = EvaluatePlainly(request, validators, now);
  if (condition.kind == PreconditionResult::Kind::kFailed) out.status = 412;
  if (condition.kind == PreconditionResult::Kind::kNotModified) out.status = 304;
  if (out.status != 200 || !condition.range_applies || expected.file == nullptr) return out;
  out.range = http::ParseRange(*request.range, expected.file->content->size(), rules.ranges_max);
  if (out.range.kind == RangeKind::kRanges) out.status = 206;
  if (out.range.kind == RangeKind::kUnsatisfiable) out.status = 416;
  return out;
}

std::string CompareHead(const ReceivedAnswer& answer, const Expected& expected, const Owed& owed) {
  const auto date = http::ParseDate(answer.Field("Date").value_or(""), 0);
  if (!date) return "Date";
  for (const auto& [name, value] : ValuesOwed(expected, owed, *date)) {
    if (answer.CountFields(name) != (value ? 1 : 0)) return name;
    if (value && answer.Field(name) != *value) return name;
  }
  const auto location = answer.Field("Location");
  if (answer.CountFields("Location") != (owed.status == 301 ? 1 : 0)) return "Location";
  if (location && !LeadsToTheFolder(*location, *expected.request)) return "Location";
  if (expected.listing && owed.status == 200) {
    const auto format = http::ChooseListingFormat(expected.request->accept);
    if (answer.Field("Content-Type") != http::ListingContentType(format)) return "Content-Type";
  }
  const bool stays = expected.says_that_it_stays && !answer.Closes();
  if (stays && answer.Field("Connection") != "keep-alive") return "Connection";
  return CompareFraming(answer, expected, owed);
}

// Of a page the rows, not the way up; of JSON what `href` says.
std::vector<std::string> NamesShown(const ReceivedAnswer& answer) {
  const bool json = answer.Field("Content-Type").value_or("").starts_with("application/json");
  const std::string_view mark = json ? "\"href\":\"" : "<tr><td><a href=\"";
  std::vector<std::string> names;
  const std::string& page = answer.body;
  for (size_t at = page.find(mark); at != page.npos; at = page.find(mark, at)) {
    at += mark.size();
    const std::string link = page.substr(at, page.find('"', at) - at);
    if (link != "../") names.push_back(Decoded(link).value_or("what is no name: " + link));
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pollux::sim
