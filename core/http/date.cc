#include "core/http/date.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>

#include "core/http/syntax.h"

namespace pollux::http {
namespace {

using std::chrono::day;
using std::chrono::days;
using std::chrono::month;
using std::chrono::sys_days;
using std::chrono::year;
using std::chrono::year_month_day;

constexpr std::array<std::string_view, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 7> kLongDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                       "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

constexpr int64_t kSecondsPerDay = 86400;
constexpr int64_t kFiftyYears = 50 * 31556952LL;  // of 365.2425 days

constexpr int64_t SecondsAt(year_month_day date) {
  return sys_days(date).time_since_epoch().count() * kSecondsPerDay;
}

// What four digits can say.
constexpr int64_t kFirst = SecondsAt(year(0) / 1 / 1);
constexpr int64_t kLast = SecondsAt(year(9999) / 12 / 31) + kSecondsPerDay - 1;

year_month_day DateOf(int64_t seconds) {
  // Rounds down, before 1970, too.
  int64_t count = seconds / kSecondsPerDay;
  if (seconds % kSecondsPerDay < 0) --count;
  return year_month_day(sys_days(days(static_cast<int>(count))));
}

// Reads one form from the left; the first mismatch fails it.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  bool Literal(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }

  template <size_t size>
  bool Name(const std::array<std::string_view, size>& names, int& index) {
    for (size_t i = 0; i < size; ++i) {
      if (!Literal(names[i])) continue;
      index = static_cast<int>(i);
      return true;
    }
    return false;
  }

  // Exactly so many digits.
  bool Number(size_t digits, int& number) {
    if (rest_.size() < digits) return false;
    number = 0;
    for (size_t i = 0; i < digits; ++i) {
      if (!IsDigit(rest_[i])) return false;
      number = number * 10 + (rest_[i] - '0');
    }
    rest_.remove_prefix(digits);
    return true;
  }

  bool AtEnd() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

struct Fields {
  int weekday = 0;  // named, but not compared: a wrong one does not make the date ambiguous
  int year = 0;
  int month = 0;  // from 0
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
};

bool ReadTime(Reader& reader, Fields& f) {
  return reader.Number(2, f.hour) && reader.Literal(":") && reader.Number(2, f.minute) &&
         reader.Literal(":") && reader.Number(2, f.second);
}

bool ReadImfFixdate(Reader reader, Fields& f) {
  return reader.Name(kDays, f.weekday) && reader.Literal(", ") && reader.Number(2, f.day) &&
         reader.Literal(" ") && reader.Name(kMonths, f.month) && reader.Literal(" ") &&
         reader.Number(4, f.year) && reader.Literal(" ") && ReadTime(reader, f) &&
         reader.Literal(" GMT") && reader.AtEnd();
}

// The year has two digits.
bool ReadRfc850(Reader reader, Fields& f) {
  return reader.Name(kLongDays, f.weekday) && reader.Literal(", ") && reader.Number(2, f.day) &&
         reader.Literal("-") && reader.Name(kMonths, f.month) && reader.Literal("-") &&
         reader.Number(2, f.year) && reader.Literal(" ") && ReadTime(reader, f) &&
         reader.Literal(" GMT") && reader.AtEnd();
}

bool ReadAsctime(Reader reader, Fields& f) {
  return reader.Name(kDays, f.weekday) && reader.Literal(" ") && reader.Name(kMonths, f.month) &&
         reader.Literal(" ") &&
         (reader.Literal(" ") ? reader.Number(1, f.day) : reader.Number(2, f.day)) &&
         reader.Literal(" ") && ReadTime(reader, f) && reader.Literal(" ") &&
         reader.Number(4, f.year) && reader.AtEnd();
}

// Nothing for a day that its month has not, or a time that its day has not. Second 60, a leap
// second, is the first of the next minute, as in POSIX time.
std::optional<int64_t> SecondsOf(const Fields& f) {
  const year_month_day date =
      year(f.year) / month(static_cast<unsigned>(f.month + 1)) / day(static_cast<unsigned>(f.day));
  if (!date.ok() || f.hour > 23 || f.minute > 59 || f.second > 60) return std::nullopt;
  return SecondsAt(date) + f.hour * 3600 + f.minute * 60 + f.second;
}

// The latest year with these two digits that is not more than 50 years ahead.
std::optional<int64_t> SecondsOfTwoDigitYear(Fields f, int64_t now) {
  // However absurd the clock, the year has four digits.
  now = std::clamp(now, kFirst + 2 * kFiftyYears, kLast - kFiftyYears);
  const int current = static_cast<int>(DateOf(now).year());
  f.year += current / 100 * 100 + 100;
  // The first of the month stands for the day, which a common year may not have.
  for (int tries = 0; tries < 2; ++tries) {
    Fields first = f;
    first.day = 1;
    const auto seconds = SecondsOf(first);
    if (!seconds) return std::nullopt;
    if (*seconds + (f.day - 1) * kSecondsPerDay <= now + kFiftyYears) break;
    f.year -= 100;
  }
  return SecondsOf(f);
}

}  // namespace

void FormatDate(int64_t seconds, std::string& out) {
  seconds = std::clamp(seconds, kFirst, kLast);
  const year_month_day date = DateOf(seconds);
  const int64_t of_day = seconds - SecondsAt(date);
  const unsigned weekday = std::chrono::weekday(sys_days(date)).c_encoding();
  char text[64];
  const int size = std::snprintf(text, sizeof(text), "%s, %02u %s %04d %02d:%02d:%02d GMT",
                                 kDays[weekday].data(), static_cast<unsigned>(date.day()),
                                 kMonths[static_cast<unsigned>(date.month()) - 1].data(),
                                 static_cast<int>(date.year()), static_cast<int>(of_day / 3600),
                                 static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60));
  out.assign(text, static_cast<size_t>(size));
}

std::string FormatDate(int64_t seconds) {
  std::string out;
  FormatDate(seconds, out);
  return out;
}

std::string FormatIsoDate(int64_t seconds) {
  seconds = std::clamp(seconds, kFirst, kLast);
  const year_month_day date = DateOf(seconds);
  const int64_t of_day = seconds - SecondsAt(date);
  char text[64];
  const int size = std::snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02dZ",
                                 static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                                 static_cast<unsigned>(date.day()), static_cast<int>(of_day / 3600),
                                 static_cast<int>(of_day / 60 % 60), static_cast<int>(of_day % 60));
  return std::string(text, static_cast<size_t>(size));
}

std::optional<int64_t> ParseDate(std::string_view text, int64_t now) {
  Fields f;
  if (ReadImfFixdate(Reader(text), f) || ReadAsctime(Reader(text), f)) return SecondsOf(f);
  if (ReadRfc850(Reader(text), f)) return SecondsOfTwoDigitYear(f, now);
  return std::nullopt;
}

}  // namespace pollux::http
