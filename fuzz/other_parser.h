// Node's former http_parser, which request heads are compared with.
#pragma once

#include <http_parser.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pollux::fuzz {

// What it makes of a request's head.
struct Other {
  bool complete = false;
  http_errno error = HPE_OK;
  size_t consumed = 0;  // of the whole head, when complete
  std::string method, target;
  std::vector<std::pair<std::string, std::string>> fields;
  bool value_began = true;
  int major = 0, minor = 0;
  unsigned flags = 0;
  uint64_t content_length = 0;
  bool keep_alive = false;
};

// Of the first head in `bytes`.
Other ReadWithOther(std::string_view bytes);

// Whether it has heard of the method.
bool KnownToOther(std::string_view method);

}  // namespace pollux::fuzz
