// Content negotiation by Accept (RFC 9110 §12.5.1).
#pragma once

#include <string_view>

namespace pollux::http {

// The weight that `accept` gives to `type` ("text/html"), in thousandths: that of the most specific
// range that matches. 0 is "not acceptable". Without the field, an empty `accept`, everything has
// 1000.
//
// Choices: an element that is no media range, or whose weight is none, is as if it were not there;
// so is one with parameters, as no type here has any. A field without a value says as little as
// none.
int AcceptWeight(std::string_view accept, std::string_view type);

}  // namespace pollux::http
