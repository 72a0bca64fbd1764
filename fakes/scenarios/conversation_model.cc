#include "fakes/scenarios/conversation_model.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/http/body.h"
#include "core/http/multipart.h"
#include "core/http/preconditions.h"
#include "core/http/range.h"
#include "core/http/syntax.h"
#include "core/server/connection.h"

namespace pollux::sim {
namespace {

using http::BodySkipper;
using http::Method;
using http::Request;
using http::RequestParser;

bool IsFolder(const Tree& tree, const std::string& path) {
  const std::string prefix = path.ends_with('/') ? path : path + "/";
  const auto next = tree.lower_bound(prefix);
  return next != tree.end() && next->first.starts_with(prefix);
}

// What is directly in the folder `path`, which ends in a slash.
std::vector<std::string> NamesIn(const Tree& tree, const std::string& path) {
  std::vector<std::string> names;
  for (auto entry = tree.lower_bound(path); entry != tree.end() && entry->first.starts_with(path);
       ++entry) {
    const std::string rest = entry->first.substr(path.size());
    names.push_back(rest.substr(0, rest.find('/')));
  }
  return names;
}

// A listing has no validators: only "*" is met by it.
void ExpectListing(const Request& request, const Tree& tree, Expected& expected) {
  using Kind = http::PreconditionResult::Kind;
  const Kind condition = http::EvaluatePreconditions(request, {}, 0).kind;
  if (condition == Kind::kFailed || condition == Kind::kNotModified) {
    expected.status = condition == Kind::kFailed ? 412 : 304;
    return;
  }
  expected.status = 200;
  expected.names = NamesIn(tree, request.path);
  expected.ends_by_close = request.version_minor == 0;
}

void ExpectFile(const Request& request, const Tree& tree, const ServerRules& rules,
                Expected& expected) {
  std::string path = request.path;
  if (path.ends_with('/')) {
    const bool folder = IsFolder(tree, path);
    path += "index.html";
    expected.status = folder && !tree.contains(path) ? 403 : 404;
    if (expected.status == 403 && rules.listing) return ExpectListing(request, tree, expected);
  } else {
    expected.status = IsFolder(tree, path) ? 301 : 404;
  }
  const auto found = tree.find(path);
  if (found == tree.end()) return;
  expected.status = 200;
  expected.file = found->second;
  expected.type = rules.mime.TypeOf(path);
  expected.conditions = request.if_match || request.if_none_match || request.if_modified_since ||
                        request.if_unmodified_since || (request.if_range && request.range);
  if (request.method == Method::kGet) expected.range = request.range;
}

Expected ExpectAnswer(const Request& request, const Tree& tree, const ServerRules& rules) {
  Expected expected;
  expected.last = !request.keep_alive;
  expected.head_only = request.method == Method::kHead;
  switch (request.method) {
    case Method::kOptions:
      expected.status = 204;
      break;
    case Method::kOtherKnown:
      expected.status = 405;
      break;
    case Method::kUnknown:
      expected.status = 501;
      break;
    case Method::kGet:
    case Method::kHead:
      if (!rules.metrics_path.empty() && request.path == rules.metrics_path) {
        expected.status = 200;
      } else {
        ExpectFile(request, tree, rules, expected);
      }
  }
  return expected;
}

Expected ExpectRefusal(int status, bool head_only) {
  Expected expected;
  expected.status = status;
  expected.last = true;
  expected.head_only = head_only;
  return expected;
}

// What follows from a request whose head is whole. `rest` is what follows the head; what belongs to
// the request is cut off. Nothing if its content is not whole.
std::optional<Expected> ExpectRequest(const Request& request, std::string_view& rest,
                                      const Tree& tree, const ServerRules& rules) {
  const bool reads = request.method == Method::kGet || request.method == Method::kHead;
  const bool head_only = request.method == Method::kHead;
  BodySkipper body(request, {kSkippedBodyBytesMax, http::BodyLimits().chunk_line_bytes_max,
                             http::BodyLimits().trailer_bytes_max});
  BodySkipper::Outcome outcome = body.Skip("");
  if (outcome.state == BodySkipper::State::kComplete) return ExpectAnswer(request, tree, rules);
  if (outcome.state == BodySkipper::State::kBad && reads) {
    return ExpectRefusal(outcome.status, head_only);
  }
  if (request.expect_continue || outcome.state == BodySkipper::State::kBad) {
    Expected expected = ExpectAnswer(request, tree, rules);
    expected.last = true;
    return expected;
  }
  outcome = body.Skip(rest);
  rest.remove_prefix(outcome.consumed);
  if (outcome.state == BodySkipper::State::kNeedMore) return std::nullopt;
  if (outcome.state == BodySkipper::State::kBad) return ExpectRefusal(outcome.status, head_only);
  return ExpectAnswer(request, tree, rules);
}

// --- What came.

struct Answer {
  int status = 0;
  std::string_view head;  // with its empty line
  std::string body;       // without the frames of chunks
  bool whole = false;     // of `body`
};

std::optional<std::string_view> FieldOf(std::string_view head, std::string_view name) {
  size_t at = head.find("\r\n") + 2;
  while (at < head.size()) {
    const std::string_view line = head.substr(at, head.find("\r\n", at) - at);
    at += line.size() + 2;
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    if (http::EqualsIgnoreCase(line.substr(0, colon), name)) {
      return http::TrimOws(line.substr(colon + 1));
    }
  }
  return std::nullopt;
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
bool TakeBody(std::string_view& rest, const Expected& expected, Answer& answer) {
  answer.whole = true;
  if (expected.head_only || answer.status == 204 || answer.status == 304) return true;
  if (FieldOf(answer.head, "Transfer-Encoding").value_or("") == "chunked") {
    answer.whole = false;
    return TakeChunks(rest, answer.body, answer.whole);
  }
  const auto field = FieldOf(answer.head, "Content-Length");
  const auto bytes = field ? http::ParseDecimal(*field) : std::nullopt;
  if (!bytes && !(expected.ends_by_close && answer.status == 200)) return false;
  answer.body = rest.substr(0, bytes.value_or(rest.npos));
  answer.whole = !bytes || answer.body.size() == *bytes;
  rest.remove_prefix(answer.body.size());
  return true;
}

// Cuts the answer to `expected` off `rest`. Nothing if not even its head is whole, or is none.
std::optional<Answer> TakeAnswer(std::string_view& rest, const Expected& expected) {
  const size_t end = rest.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  Answer answer;
  answer.head = rest.substr(0, end + 4);
  if (!answer.head.starts_with("HTTP/1.1 ")) return std::nullopt;
  const auto status = http::ParseDecimal(answer.head.substr(9, 3));
  if (!status) return std::nullopt;
  answer.status = static_cast<int>(*status);
  std::string_view behind = rest.substr(answer.head.size());
  if (!TakeBody(behind, expected, answer)) return std::nullopt;
  rest = behind;
  return answer;
}

std::string MultipartBody(const std::vector<http::ByteRange>& ranges, const Expected& expected,
                          const Answer& answer) {
  constexpr std::string_view kMultipart = "multipart/byteranges; boundary=";
  const std::string_view type = FieldOf(answer.head, "Content-Type").value_or("");
  if (!type.starts_with(kMultipart)) return "";
  const std::string& content = *expected.file;
  const http::MultipartRanges parts(ranges, content.size(), expected.type,
                                    std::string(type.substr(kMultipart.size())));
  std::string body;
  for (size_t i = 0; i < parts.parts(); ++i) {
    body += parts.PartHead(i);
    body += content.substr(parts.range(i).offset, parts.range(i).length);
  }
  return body + parts.End();
}

// What the body has to be; nothing if that is not said: error pages.
std::optional<std::string> BodyOf(const Answer& answer, const Expected& expected,
                                  const http::RangeResult& range) {
  if (expected.head_only) return "";
  if (expected.file == nullptr) return std::nullopt;
  const std::string& content = *expected.file;
  if (answer.status == 200) return content;
  if (answer.status != 206) return std::nullopt;
  if (range.ranges.size() > 1) return MultipartBody(range.ranges, expected, answer);
  return content.substr(range.ranges[0].offset, range.ranges[0].length);
}

// Which of the statuses that are possible it is.
bool StatusAgrees(int status, const Expected& expected, const http::RangeResult& range) {
  using Kind = http::RangeResult::Kind;
  if (expected.file == nullptr) return status == expected.status;
  int ranged = 200;
  if (range.kind == Kind::kRanges) ranged = 206;
  if (range.kind == Kind::kUnsatisfiable) ranged = 416;
  if (!expected.conditions) return status == ranged;
  return status == ranged || status == 200 || status == 304 || status == 412;
}

// What is said where a file could not be opened or read.
bool TellsOfFailure(int status) {
  return status == 403 || status == 404 || status == 500 || status == 503;
}

bool Closes(const Answer& answer) {
  return FieldOf(answer.head, "Connection").value_or("") == "close";
}

// Of a listing that came whole.
std::string CompareNames(const Answer& answer, const Expected& expected) {
  for (const std::string& name : expected.names) {
    if (answer.body.find(name) == std::string::npos) return "a listing does not show " + name;
  }
  return "";
}

std::string CompareAnswer(const Answer& answer, const Expected& expected, const ServerRules& rules,
                          const Leeway& leeway) {
  http::RangeResult range;
  if (expected.range) {
    range = http::ParseRange(*expected.range, expected.file->size(), rules.ranges_max);
  }
  const std::string status = std::to_string(answer.status);
  const bool failed = leeway.failed_calls && TellsOfFailure(answer.status);
  if (!failed && !StatusAgrees(answer.status, expected, range)) {
    return "came " + status + " where " + std::to_string(expected.status) + " was to come";
  }
  const bool last = expected.last || (expected.ends_by_close && answer.status == 200);
  if (Closes(answer) ? !last && !leeway.stopped : last) {
    return status + (last ? " does not say that it is the last" : " ends the connection");
  }
  if (answer.status == 200 && !expected.head_only && answer.whole && !leeway.failed_calls &&
      !(expected.ends_by_close && leeway.cut)) {
    const std::string missing = CompareNames(answer, expected);
    if (!missing.empty()) return missing;
  }
  const std::optional<std::string> body = BodyOf(answer, expected, range);
  if (!body) return "";
  if (answer.whole ? answer.body == *body : body->starts_with(answer.body)) return "";
  return "the body of " + status + " is not what was asked for";
}

bool IsPrintable(std::string_view line) {
  return std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

Expectation Expect(std::string_view sent, const Tree& tree, const ServerRules& rules) {
  Expectation out;
  RequestParser parser(rules.limits);
  while (!sent.empty()) {
    const RequestParser::Outcome outcome = parser.Parse(sent);
    sent.remove_prefix(outcome.consumed);
    if (outcome.state == RequestParser::State::kNeedMore) {
      out.open_end = true;
      return out;
    }
    const Request& request = parser.request();
    if (outcome.state == RequestParser::State::kBad) {
      out.answers.push_back(ExpectRefusal(outcome.status, request.method == Method::kHead));
      return out;
    }
    const auto answer = ExpectRequest(request, sent, tree, rules);
    if (!answer) {
      out.open_end = true;
      out.at_end = ExpectRefusal(400, request.method == Method::kHead);
      return out;
    }
    out.answers.push_back(*answer);
    if (answer->last || answer->ends_by_close) return out;
    parser.Reset();
  }
  return out;
}

std::string Compare(std::string_view received, const Expectation& expectation,
                    const ServerRules& rules, const Leeway& leeway) {
  std::vector<Expected> answers = expectation.answers;
  if (expectation.at_end) answers.push_back(*expectation.at_end);
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string which = "answer " + std::to_string(i + 1) + ": ";
    const Expected& expected = answers[i];
    const auto answer = TakeAnswer(received, expected);
    if (!answer && leeway.cut)
      return received.find("\r\n\r\n") == received.npos ? "" : which + "no head";
    if (!answer) return which + "did not come whole";
    if (answer->status == 408 && leeway.timed_out) return "";
    const std::string difference = CompareAnswer(*answer, expected, rules, leeway);
    if (!difference.empty()) return which + difference;
    if (!answer->whole) return leeway.cut ? "" : which + "did not come whole";
    // Without its page a listing need not end the connection: what follows is not foreseen.
    if (expected.ends_by_close && answer->status != 200) return "";
    if (Closes(*answer)) break;
  }
  if (received.empty()) return "";
  if (received.starts_with("HTTP/1.1 408 ") && leeway.timed_out) return "";
  return "something follows the last answer";
}

size_t CountAnswers(std::string_view received, const Expectation& expectation) {
  size_t count = 0;
  for (const Expected& expected : expectation.answers) {
    const auto answer = TakeAnswer(received, expected);
    if (!answer || !answer->whole) break;
    ++count;
  }
  return count;
}

// 127.0.0.1 - - [TIME] "METHOD TARGET VERSION" STATUS BYTES "REFERER" "AGENT"
std::string JudgeLog(std::string_view console, size_t answers) {
  size_t logged = 0;
  while (!console.empty()) {
    const size_t end = console.find('\n');
    if (end == std::string_view::npos) return "a line has no end";
    const std::string_view line = console.substr(0, end);
    console.remove_prefix(end + 1);
    if (!IsPrintable(line)) return "a line holds a byte that is no printable ASCII";
    const bool access = line.find(" - - [") < 48;
    const bool digit = !line.empty() && http::IsDigit(line.front());
    if (!access && !digit && !line.starts_with("pollux: ")) return "a line that is none of a log";
    if (!access) continue;
    ++logged;
    if (std::count(line.begin(), line.end(), '"') != 6 || !line.ends_with('"')) {
      return "a line of the access log has other quotes than its own";
    }
  }
  if (logged > answers) return "more lines than answers in the access log";
  return "";
}

}  // namespace pollux::sim
