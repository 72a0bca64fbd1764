// Preconditions (RFC 9110 §13), in the order of §13.2.2, and whether Range applies.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/http/request.h"

namespace pollux::http {

// Of the representation that would be sent with 200.
struct Validators {
  std::string_view etag;  // quoted, perhaps with W/ in front; empty if there is none
  // Seconds since the epoch, as Last-Modified would say; none if it would not be sent.
  std::optional<int64_t> last_modified;
};

struct PreconditionResult {
  enum class Kind {
    kProceed,      // perform the method
    kNotModified,  // 304
    kFailed,       // 412
  };
  Kind kind = Kind::kProceed;
  bool range_applies = false;  // kProceed: there is a Range, the method is GET, If-Range holds
};

// `now` in seconds since the epoch: it tells an rfc850 date's century, and whether a Last-Modified
// is old enough to be a strong validator. Methods other than GET and HEAD have no preconditions
// here, as OPTIONS must not (§13.2.1) and the rest is not performed.
//
// Choices: invalid dates are ignored, as §13.1.3 asks, and so are all where nothing has a date. A
// malformed list of entity tags matches nothing: If-Match fails by it, If-None-Match does not.
// If-Range with a date holds only for the very date of Last-Modified, and only once that second is
// over (§8.8.2.2).
PreconditionResult EvaluatePreconditions(const Request& request, const Validators& current,
                                         int64_t now);

}  // namespace pollux::http
