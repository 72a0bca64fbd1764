// Dates and preconditions against references that are written from RFC 9110 in another way: a date
// is read by writing it down again, and the order of §13.2.2 is spelled out step by step
// (plain_conditions.h).
//
// The input is the clock and the file's date (8 bytes each), a byte that says which fields there
// are, the file's entity tag, then the values of the fields, a line each.
#include <time.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/check.h"
#include "core/http/date.h"
#include "core/http/preconditions.h"
#include "core/http/request.h"
#include "fakes/scenarios/plain_conditions.h"
#include "fuzz/input.h"

namespace {

using pollux::http::EvaluatePreconditions;
using pollux::http::FormatDate;
using pollux::http::Method;
using pollux::http::ParseDate;
using pollux::http::PreconditionResult;
using pollux::http::Request;
using pollux::http::Validators;
using pollux::sim::EvaluatePlainly;

constexpr int64_t kFirst = -62167219200;  // Sat, 01 Jan 0000 00:00:00 GMT
constexpr int64_t kLast = 253402300799;   // Fri, 31 Dec 9999 23:59:59 GMT
constexpr int64_t kFiftyYears = 50 * 31556952LL;
constexpr std::array<const char*, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                              "Thursday", "Friday", "Saturday"};
constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

// The date of a day that there may not be (30 Feb), and whether there is.
struct Reading {
  int64_t seconds = 0;
  bool real = false;
};

Reading Read(int year, int month, int day, int hour, int minute, int second) {
  tm parts = {};
  parts.tm_year = year - 1900;
  parts.tm_mon = month;
  parts.tm_mday = day;
  Reading out;
  out.seconds = timegm(&parts);
  out.real =
      parts.tm_mon == month && parts.tm_mday == day && hour < 24 && minute < 60 && second <= 60;
  out.seconds += hour * 3600 + minute * 60 + second;
  return out;
}

// The century that puts the date no more than 50 years ahead, as late as that goes.
std::optional<int64_t> ReadTwoDigits(int year, int month, int day, int hour, int minute, int second,
                                     int64_t now) {
  for (int century = 98; century >= 0; --century) {
    const Reading time = Read(century * 100 + year, month, day, hour, minute, second);
    if (time.seconds > now + kFiftyYears) continue;
    return time.real ? std::optional(time.seconds) : std::nullopt;
  }
  return std::nullopt;
}

int Number(std::string_view text, size_t at, size_t digits) {
  int number = 0;
  for (size_t i = at; i < at + digits && i < text.size(); ++i) number = number * 10 + text[i] - '0';
  return number;
}

int MonthAt(std::string_view text, size_t at) {
  for (size_t i = 0; i < kMonths.size(); ++i) {
    if (text.substr(std::min(at, text.size()), 3) == kMonths[i]) return static_cast<int>(i);
  }
  return -1;
}

// Takes the numbers from where they would stand in each of the three forms, writes them down in
// that form with each day's name, and sees whether that is the text.
std::optional<int64_t> ReferenceDate(std::string_view text, int64_t now) {
  for (const char* day_name : kDays) {
    char form[80];
    const std::string_view rest = text.substr(std::min<size_t>(3, text.size()));
    int month = MonthAt(rest, 5);
    int day = Number(rest, 2, 2), year = Number(rest, 9, 4), hour = Number(rest, 14, 2),
        minute = Number(rest, 17, 2), second = Number(rest, 20, 2);
    if (month >= 0 && text.size() == 29) {
      std::snprintf(form, sizeof form, "%.3s, %02d %s %04d %02d:%02d:%02d GMT", day_name, day,
                    kMonths[static_cast<size_t>(month)], year, hour, minute, second);
      if (text == form) {
        const Reading time = Read(year, month, day, hour, minute, second);
        return time.real ? std::optional(time.seconds) : std::nullopt;
      }
    }
    month = MonthAt(rest, 1);
    hour = Number(rest, 8, 2), minute = Number(rest, 11, 2), second = Number(rest, 14, 2);
    year = Number(rest, 17, 4);
    const bool padded = rest.size() > 5 && rest[5] == ' ';
    day = padded ? Number(rest, 6, 1) : Number(rest, 5, 2);
    if (month >= 0 && text.size() == 24) {
      std::snprintf(form, sizeof form,
                    padded ? "%.3s %s %2d %02d:%02d:%02d %04d" : "%.3s %s %02d %02d:%02d:%02d %04d",
                    day_name, kMonths[static_cast<size_t>(month)], day, hour, minute, second, year);
      if (text == form) {
        const Reading time = Read(year, month, day, hour, minute, second);
        return time.real ? std::optional(time.seconds) : std::nullopt;
      }
    }
    const size_t comma = std::string_view(day_name).size();
    month = MonthAt(text, comma + 5);
    day = Number(text, comma + 2, 2), year = Number(text, comma + 9, 2);
    hour = Number(text, comma + 12, 2), minute = Number(text, comma + 15, 2),
    second = Number(text, comma + 18, 2);
    if (month >= 0 && text.size() == comma + 24) {
      std::snprintf(form, sizeof form, "%s, %02d-%s-%02d %02d:%02d:%02d GMT", day_name, day,
                    kMonths[static_cast<size_t>(month)], year, hour, minute, second);
      if (text == form) return ReadTwoDigits(year, month, day, hour, minute, second, now);
    }
  }
  return std::nullopt;
}

void CheckFormat(int64_t seconds) {
  const std::string text = FormatDate(seconds);
  CHECK(text.size() == 29);
  CHECK(ParseDate(text, 0) == std::clamp(seconds, kFirst, kLast));
  if (seconds < kFirst || seconds > kLast) return;
  const time_t time = seconds;
  tm parts = {};
  CHECK(gmtime_r(&time, &parts) != nullptr);
  char wanted[80];
  std::snprintf(wanted, sizeof wanted, "%.3s, %02d %s %04d %02d:%02d:%02d GMT",
                kDays[static_cast<size_t>(parts.tm_wday)], parts.tm_mday,
                kMonths[static_cast<size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour,
                parts.tm_min, parts.tm_sec);
  CHECK(text == wanted);
}

void CheckDate(std::string_view text, int64_t now) {
  const auto got = ParseDate(text, now);
  // Far from the ends of four-digit years, where the century is the clock's to say.
  const int64_t sane = std::clamp<int64_t>(now, 0, kLast - 2 * kFiftyYears);
  if (now == sane) CHECK(got == ReferenceDate(text, now));
  if (got) CHECK(ParseDate(FormatDate(*got), now) == got);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  pollux::fuzz::Input input(data, size);
  const auto now = static_cast<int64_t>(input.Number(8));
  const auto modified = static_cast<int64_t>(input.Number(8));
  const uint64_t fields = input.Number(1);
  CheckFormat(now);
  CheckFormat(modified);

  const std::string_view etag = input.Line();
  Request request;
  request.method = (fields & 1) == 0 ? Method::kGet : Method::kHead;
  if ((fields & 128) != 0) request.method = Method::kOptions;
  std::optional<std::string>* const values[] = {&request.if_match, &request.if_none_match,
                                                &request.if_modified_since,
                                                &request.if_unmodified_since, &request.if_range};
  int bit = 1;
  for (std::optional<std::string>* value : values) {
    if ((fields >> bit++ & 1) == 0) continue;
    const std::string_view line = input.Line();
    CheckDate(line, now);
    *value = line;
  }
  if ((fields & 64) != 0) request.range = "bytes=0-";
  Validators file{etag, modified};
  for (const bool dated : {true, false}) {
    if (!dated) file.last_modified.reset();
    const PreconditionResult got = EvaluatePreconditions(request, file, now);
    const PreconditionResult wanted = EvaluatePlainly(request, file, now);
    CHECK(got.kind == wanted.kind && got.range_applies == wanted.range_applies);
  }
  return 0;
}
