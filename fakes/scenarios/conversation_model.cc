#include "fakes/scenarios/conversation_model.h"

#include <algorithm>
#include <utility>

#include "core/http/body.h"
#include "core/http/multipart.h"
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

void ExpectFile(const Request& request, const Tree& tree, const ServerRules& rules,
                Expected& expected) {
  std::string path = request.path;
  if (path.ends_with('/')) {
    const bool folder = IsFolder(tree, path);
    path += "index.html";
    expected.status = folder && !tree.contains(path) ? 403 : 404;
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
  std::string_view body;
  bool whole = false;  // of `body`
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

// Cuts the answer to `expected` off `rest`. Nothing if not even its head is whole, or is none.
std::optional<Answer> TakeAnswer(std::string_view& rest, bool head_only) {
  const size_t end = rest.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  Answer answer;
  answer.head = rest.substr(0, end + 4);
  if (!answer.head.starts_with("HTTP/1.1 ")) return std::nullopt;
  const auto status = http::ParseDecimal(answer.head.substr(9, 3));
  if (!status) return std::nullopt;
  answer.status = static_cast<int>(*status);
  size_t length = 0;
  if (!head_only && answer.status != 204 && answer.status != 304) {
    const auto field = FieldOf(answer.head, "Content-Length");
    const auto bytes = field ? http::ParseDecimal(*field) : std::nullopt;
    if (!bytes) return std::nullopt;
    length = *bytes;
  }
  rest.remove_prefix(answer.head.size());
  answer.body = rest.substr(0, length);
  answer.whole = answer.body.size() == length;
  rest.remove_prefix(answer.body.size());
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

std::string CompareAnswer(const Answer& answer, const Expected& expected,
                          const ServerRules& rules) {
  http::RangeResult range;
  if (expected.range) {
    range = http::ParseRange(*expected.range, expected.file->size(), rules.ranges_max);
  }
  const std::string status = std::to_string(answer.status);
  if (!StatusAgrees(answer.status, expected, range)) {
    return "came " + status + " where " + std::to_string(expected.status) + " was to come";
  }
  const bool closes = FieldOf(answer.head, "Connection").value_or("") == "close";
  if (closes != expected.last) {
    return status + (closes ? " ends the connection" : " does not say that it is the last");
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
    if (answer->last) return out;
    parser.Reset();
  }
  return out;
}

std::string Compare(std::string_view received, const Expectation& expectation,
                    const ServerRules& rules, bool may_be_cut, bool timed_out) {
  std::vector<Expected> answers = expectation.answers;
  if (expectation.at_end) answers.push_back(*expectation.at_end);
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string which = "answer " + std::to_string(i + 1) + ": ";
    const Expected& expected = answers[i];
    const auto answer = TakeAnswer(received, expected.head_only);
    if (!answer && may_be_cut)
      return received.find("\r\n\r\n") == received.npos ? "" : which + "no head";
    if (!answer) return which + "did not come whole";
    if (answer->status == 408 && timed_out) return "";
    const std::string difference = CompareAnswer(*answer, expected, rules);
    if (!difference.empty()) return which + difference;
    if (!answer->whole) return may_be_cut ? "" : which + "did not come whole";
  }
  if (received.empty()) return "";
  if (received.starts_with("HTTP/1.1 408 ") && timed_out) return "";
  return "something follows the last answer";
}

size_t CountAnswers(std::string_view received, const Expectation& expectation) {
  size_t count = 0;
  for (const Expected& expected : expectation.answers) {
    const auto answer = TakeAnswer(received, expected.head_only);
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
