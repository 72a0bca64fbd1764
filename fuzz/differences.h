// Where Pollux and the other parser may differ over a request's head: each place with the clause
// that Pollux goes by. An entry applies only where a reading of its own, beside that of Pollux,
// finds in the bytes what the clause is about.
#pragma once

#include <string_view>

#include "core/http/request.h"
#include "fuzz/other_parser.h"

namespace pollux::fuzz {

struct Case {
  std::string_view bytes;
  const http::RequestParser::Outcome& pollux;
  const http::Request& request;
  const Other& other;
};

bool MayBeStricter(const Case& c);        // what Pollux refuses and the other takes
bool MayBeLooser(const Case& c);          // what Pollux takes and the other refuses
bool MayFrameOtherwise(const Case& c);    // what both take, and one reads chunks behind
bool MayPersistOtherwise(const Case& c);  // what both take, and one keeps the connection for

// The values of the fields `name`, as the other has them.
std::vector<std::string_view> ValuesOf(const Case& c, std::string_view name);

}  // namespace pollux::fuzz
