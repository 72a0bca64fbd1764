// HTTP dates (RFC 9110 §5.6.7): written as IMF-fixdate, read in all three forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pollux::http {

// Seconds since the epoch -> "Sun, 06 Nov 1994 08:49:37 GMT".
std::string FormatDate(int64_t seconds);
// The same into `out`, which allocates nothing once it held a date.
void FormatDate(int64_t seconds, std::string& out);

// Seconds since the epoch -> "1994-11-06T08:49:37Z" (RFC 3339 §5.6), for listings.
std::string FormatIsoDate(int64_t seconds);

// Nothing for what is no date. `now` decides the century of an rfc850 date (a two-digit year that
// would be more than 50 years in the future is in the past).
std::optional<int64_t> ParseDate(std::string_view text, int64_t now);

}  // namespace pollux::http
