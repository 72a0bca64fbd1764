#include "fakes/scenarios/received_answer.h"

#include <charconv>

#include "core/http/syntax.h"

namespace pollux::sim {
namespace {

// Calls `f` with the value of each field of this name.
template <typename F>
void ForEachField(std::string_view head, std::string_view name, F f) {
  size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    at += line.size() + 2;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (http::EqualsIgnoreCase(line.substr(0, colon), name))
      f(http::TrimOws(line.substr(colon + 1)));
  }
}

// The data of chunks, cut off `rest` as far as they are there. False if they are none.
bool TakeChunks(std::string_view& rest, std::string& data, bool& whole) {
  for (;;) {
    const size_t line = rest.find("\r\n");
    if (line == std::string_view::npos) return true;
    size_t size = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + line, size, 16);
    if (error != std::errc() || end != rest.data() + line) return false;
    rest.remove_prefix(line + 2);
    data += rest.substr(0, size);
    if (rest.size() < size + 2) {
      rest = {};
      return true;
    }
    if (rest.substr(size, 2) != "\r\n") return false;
    rest.remove_prefix(size + 2);
    whole = size == 0;
    if (whole) return true;
  }
}

// Cuts the body off `rest`. False if its length is not said.
bool TakeBody(std::string_view& rest, const AnswerFrame& frame, ReceivedAnswer& answer) {
  answer.whole = true;
  if (frame.head_only || answer.status == 204 || answer.status == 304) return true;
  if (answer.Field("Transfer-Encoding").value_or("") == "chunked") {
    answer.whole = false;
    return TakeChunks(rest, answer.body, answer.whole);
  }
  const auto field = answer.Field("Content-Length");
  const auto bytes = field ? http::ParseDecimal(*field) : std::nullopt;
  if (!bytes && !(frame.ends_by_close && answer.status == 200)) return false;
  answer.body = rest.substr(0, bytes.value_or(rest.npos));
  answer.whole = !bytes || answer.body.size() == *bytes;
  rest.remove_prefix(answer.body.size());
  return true;
}

}  // namespace

std::optional<std::string_view> ReceivedAnswer::Field(std::string_view name) const {
  std::optional<std::string_view> value;
  bool again = false;
  ForEachField(head, name, [&](std::string_view found) {
    again = value.has_value();
    value = found;
  });
  return again ? std::nullopt : value;
}

size_t ReceivedAnswer::CountFields(std::string_view name) const {
  size_t count = 0;
  ForEachField(head, name, [&](std::string_view) { ++count; });
  return count;
}

bool ReceivedAnswer::Closes() const { return Field("Connection").value_or("") == "close"; }

std::optional<ReceivedAnswer> TakeAnswer(std::string_view& rest, const AnswerFrame& frame) {
  const size_t end = rest.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  ReceivedAnswer answer;
  answer.head = rest.substr(0, end + 4);
  if (!answer.head.starts_with("HTTP/1.1 ")) return std::nullopt;
  const auto status = http::ParseDecimal(answer.head.substr(9, 3));
  if (!status) return std::nullopt;
  answer.status = static_cast<int>(*status);
  std::string_view behind = rest.substr(answer.head.size());
  if (!TakeBody(behind, frame, answer)) return std::nullopt;
  answer.body_bytes = rest.size() - answer.head.size() - behind.size();
  rest = behind;
  return answer;
}

}  // namespace pollux::sim
