#include "fakes/scenarios/conversation_judge.h"

#include <algorithm>
#include <optional>

#include "core/http/date.h"
#include "core/http/multipart.h"
#include "core/http/syntax.h"
#include "fakes/scenarios/owed_head.h"
#include "fakes/scenarios/received_answer.h"

namespace pollux::sim {
namespace {

AnswerFrame FrameOf(const Expected& expected) {
  return {expected.head_only, expected.ends_by_close};
}

std::string MultipartBody(const Expected& expected, const Owed& owed,
                          const ReceivedAnswer& answer) {
  constexpr std::string_view kMultipart = "multipart/byteranges; boundary=";
  const std::string_view type = answer.Field("Content-Type").value_or("");
  if (!type.starts_with(kMultipart)) return "";
  const std::string& content = *expected.file->content;
  const http::MultipartRanges parts(owed.range.ranges, content.size(), expected.type,
                                    std::string(type.substr(kMultipart.size())));
  std::string body;
  for (size_t i = 0; i < parts.parts(); ++i) {
    body += parts.PartHead(i);
    body += content.substr(parts.range(i).offset, parts.range(i).length);
  }
  return body + parts.End();
}

// What the body has to be; nothing if that is not said: error pages.
std::optional<std::string> BodyOf(const ReceivedAnswer& answer, const Expected& expected,
                                  const Owed& owed) {
  if (expected.head_only) return "";
  if (expected.file == nullptr) return std::nullopt;
  const std::string& content = *expected.file->content;
  if (owed.status == 200) return content;
  if (owed.status != 206) return std::nullopt;
  if (owed.range.ranges.size() > 1) return MultipartBody(expected, owed, answer);
  return content.substr(owed.range.ranges[0].offset, owed.range.ranges[0].length);
}

// What is said where a file could not be opened or read.
bool TellsOfFailure(int status) {
  return status == 403 || status == 404 || status == 500 || status == 503;
}

// Of a listing that came whole.
std::string CompareNames(const ReceivedAnswer& answer, const Expected& expected) {
  const std::vector<std::string> shown = NamesShown(answer);
  if (shown == expected.names) return "";
  std::string text = "a listing shows";
  for (const std::string& name : shown) text += " " + name;
  return text + " and nothing else";
}

std::string CompareTyped(const ReceivedAnswer& answer, const Expected& expected,
                         const ServerRules& rules, const Leeway& leeway) {
  const int64_t now = http::ParseDate(answer.Field("Date").value_or(""), 0).value_or(0);
  const Owed owed = Decide(expected, rules, now);
  const std::string status = std::to_string(answer.status);
  const bool failed = leeway.failed_calls && TellsOfFailure(answer.status);
  if (!failed && answer.status != owed.status) {
    return "came " + status + " where " + std::to_string(owed.status) + " was to come";
  }
  const bool last = expected.last || (expected.ends_by_close && answer.status == 200);
  if (answer.Closes() ? !last && !leeway.stopped : last) {
    return status + (last ? " does not say that it is the last" : " ends the connection");
  }
  if (answer.status != owed.status) return "";
  const std::string field = CompareHead(answer, expected, owed);
  if (!field.empty()) return "the " + field + " of " + status + " is not the one that is owed";
  if (expected.listing && owed.status == 200 && !expected.head_only && answer.whole &&
      !leeway.failed_calls && !(expected.ends_by_close && leeway.cut)) {
    return CompareNames(answer, expected);
  }
  const std::optional<std::string> body = BodyOf(answer, expected, owed);
  if (!body) return "";
  if (answer.whole ? answer.body == *body : body->starts_with(answer.body)) return "";
  return "the body of " + status + " is not what was asked for";
}

std::string CompareAnswer(const ReceivedAnswer& answer, const Expected& expected,
                          const ServerRules& rules, const Leeway& leeway) {
  const std::string difference = CompareTyped(answer, expected, rules, leeway);
  if (difference.empty() || !leeway.failed_calls || expected.file == nullptr) return difference;
  Expected untyped = expected;  // the table of types may be what could not be read
  untyped.type = http::MimeTypes("").TypeOf("");
  return CompareTyped(answer, untyped, rules, leeway).empty() ? "" : difference;
}

bool IsPrintable(std::string_view line) {
  return std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// The bytes that stand there as \xHH; nothing if there is another backslash.
std::optional<std::string> Unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out.push_back(text[i]);
      continue;
    }
    if (text.size() - i < 4 || text[i + 1] != 'x') return std::nullopt;
    const int high = http::HexValue(text[i + 2]), low = http::HexValue(text[i + 3]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high << 4 | low));
    i += 3;
  }
  return out;
}

// A line of the access log; nothing if it is none, or has other quotes than its own.
//   127.0.0.1 - - [TIME] "METHOD TARGET VERSION" STATUS BYTES "REFERER" "AGENT"
std::optional<Logged> ReadLine(std::string_view line) {
  if (std::count(line.begin(), line.end(), '"') != 6 || !line.ends_with('"')) return std::nullopt;
  const size_t begin = line.find('"') + 1, end = line.find('"', begin);
  const auto asked = Unescaped(line.substr(begin, end - begin));
  const std::string_view behind = line.substr(std::min(end + 2, line.size()));
  const size_t space = behind.find(' ');
  const auto status = http::ParseDecimal(behind.substr(0, space));
  if (!asked || !status || space == behind.npos) return std::nullopt;
  const std::string_view size = behind.substr(space + 1, behind.find(' ', space + 1) - space - 1);
  const auto bytes = size == "-" ? std::optional<uint64_t>(0) : http::ParseDecimal(size);
  if (!bytes) return std::nullopt;
  return Logged{*asked, static_cast<int>(*status), bytes};
}

// `line` is of `answer`. Of a line that would be too long the target has lost its end.
bool IsOf(const Logged& line, const Logged& answer) {
  if (line.status != answer.status) return false;
  if (answer.body_bytes && line.body_bytes != answer.body_bytes) return false;
  if (answer.asked.empty() || line.asked == answer.asked) return true;
  const size_t cut = line.asked.rfind("... ");
  return cut != std::string::npos && line.asked.size() < answer.asked.size() + 3 &&
         answer.asked.starts_with(line.asked.substr(0, cut)) &&
         answer.asked.ends_with(line.asked.substr(cut + 3));
}

// A line of its own for each answer. Several lines may be of one answer, and a line of several
// answers, so that the first that fits may be the only one of another: then that one looks for a
// line elsewhere (an augmenting path of bipartite matching).
class Matching {
 public:
  Matching(const std::vector<Logged>& lines, const std::vector<Logged>& answers)
      : lines_(lines), answers_(answers), answer_of_(lines.size()) {}

  // False if there are not enough lines for this answer and those before it.
  bool Add(size_t answer) {
    tried_.assign(lines_.size(), false);
    return Place(answer);
  }

 private:
  bool Place(size_t answer) {
    for (size_t line = 0; line < lines_.size(); ++line) {
      if (tried_[line] || !IsOf(lines_[line], answers_[answer])) continue;
      tried_[line] = true;
      if (answer_of_[line] && !Place(*answer_of_[line])) continue;
      answer_of_[line] = answer;
      return true;
    }
    return false;
  }

  const std::vector<Logged>& lines_;
  const std::vector<Logged>& answers_;
  std::vector<std::optional<size_t>> answer_of_;  // by line
  std::vector<bool> tried_;                       // lines, for the answer that is added
};

}  // namespace

std::string Compare(std::string_view received, const Expectation& expectation,
                    const ServerRules& rules, const Leeway& leeway) {
  std::vector<Expected> answers = expectation.answers;
  if (expectation.at_end) answers.push_back(*expectation.at_end);
  for (size_t i = 0; i < answers.size(); ++i) {
    const std::string which = "answer " + std::to_string(i + 1) + ": ";
    const Expected& expected = answers[i];
    const auto answer = TakeAnswer(received, FrameOf(expected));
    if (!answer && leeway.cut)
      return received.find("\r\n\r\n") == received.npos ? "" : which + "no head";
    if (!answer) return which + "did not come whole";
    if (answer->status == 408 && leeway.timed_out) return "";
    const std::string difference = CompareAnswer(*answer, expected, rules, leeway);
    if (!difference.empty()) return which + difference;
    if (!answer->whole) return leeway.cut ? "" : which + "did not come whole";
    // Without its page a listing need not end the connection: what follows is not foreseen.
    if (expected.ends_by_close && answer->status != 200) return "";
    if (answer->Closes()) break;
  }
  if (received.empty()) return "";
  if (received.starts_with("HTTP/1.1 408 ") && leeway.timed_out) return "";
  return "something follows the last answer";
}

std::vector<Logged> WholeAnswers(std::string_view received, const Expectation& expectation) {
  std::vector<Logged> came;
  for (const Expected& expected : expectation.answers) {
    const auto answer = TakeAnswer(received, FrameOf(expected));
    if (!answer || !answer->whole) break;
    Logged logged{expected.asked, answer->status, answer->body_bytes};
    if (expected.ends_by_close) logged.body_bytes.reset();
    // Sent before what is expected here could be read: to no request, and with its content.
    if (answer->status == 408) logged = {"", 408, std::nullopt};
    came.push_back(std::move(logged));
  }
  return came;
}

std::string JudgeLog(std::string_view console, const std::vector<Logged>& whole,
                     std::optional<size_t> most) {
  std::vector<Logged> lines;
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
    auto read = ReadLine(line);
    if (!read) return "a line of the access log is not in its format";
    lines.push_back(std::move(*read));
  }
  if (most && lines.size() > *most) return "more lines than answers in the access log";
  Matching matching(lines, whole);
  for (size_t i = 0; i < whole.size(); ++i) {
    if (matching.Add(i)) continue;
    const Logged& answer = whole[i];
    return "the access log has no line for \"" + answer.asked + "\", " +
           std::to_string(answer.status) +
           (answer.body_bytes ? " with " + std::to_string(*answer.body_bytes) + " bytes" : "");
  }
  return "";
}

}  // namespace pollux::sim
