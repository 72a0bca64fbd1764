#include "core/base/result.h"

#include <cstring>

namespace pollux {

std::string ErrnoName(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? std::string(name) : "errno " + std::to_string(code);
}

std::string ToString(const Error& error) {
  const char* text = ::strerrordesc_np(error.code);
  std::string out = std::string(error.operation) + ": " + ErrnoName(error.code);
  if (text != nullptr) out += std::string(" (") + text + ")";
  return out;
}

}  // namespace pollux
