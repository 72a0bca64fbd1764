// An answer as a client received it, taken apart by a plain reader of its own.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pollux::sim {

struct ReceivedAnswer {
  int status = 0;
  std::string_view head;  // with its empty line
  std::string body;       // without the frames of chunks
  size_t body_bytes = 0;  // with them
  bool whole = false;     // of `body`

  // The value of the one field of this name; nothing if there is none, or more than one.
  std::optional<std::string_view> Field(std::string_view name) const;
  // How often there is one of this name.
  size_t CountFields(std::string_view name) const;
  // "Connection: close"
  bool Closes() const;
};

// What decides over an answer's length beside itself.
struct AnswerFrame {
  bool head_only = false;      // HEAD
  bool ends_by_close = false;  // a 200 may be without a length
};

// Cuts an answer off `rest`. Nothing if not even its head is whole, or is none.
std::optional<ReceivedAnswer> TakeAnswer(std::string_view& rest, const AnswerFrame& frame);

}  // namespace pollux::sim
