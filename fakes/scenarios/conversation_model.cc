#include "fakes/scenarios/conversation_model.h"

#include <set>

#include "core/http/body.h"
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
  std::set<std::string> names;
  for (auto entry = tree.lower_bound(path); entry != tree.end() && entry->first.starts_with(path);
       ++entry) {
    const std::string rest = entry->first.substr(path.size());
    const size_t slash = rest.find('/');
    names.insert(slash == rest.npos ? rest : rest.substr(0, slash + 1));
  }
  return {names.begin(), names.end()};
}

void ExpectFile(const Request& request, const Tree& tree, const ServerRules& rules,
                Expected& expected) {
  std::string path = request.path;
  if (path.ends_with('/')) {
    const bool folder = IsFolder(tree, path);
    path += "index.html";
    expected.status = folder ? 403 : 404;
    if (folder && rules.listing && !tree.contains(path)) {
      expected.status = 200;
      expected.listing = true;
      expected.names = NamesIn(tree, request.path);
      expected.ends_by_close = request.version_minor == 0;
    }
  } else {
    expected.status = IsFolder(tree, path) ? 301 : 404;
  }
  const auto found = tree.find(path);
  if (found != tree.end()) {
    expected.status = 200;
    expected.file = &found->second;
    expected.type = rules.mime.TypeOf(path);
  }
  const bool plain = expected.file != nullptr && !request.range && !request.if_match &&
                     !request.if_none_match && !request.if_modified_since &&
                     !request.if_unmodified_since;
  if (expected.status < 400 && !plain) expected.request = request;
}

Expected ExpectAnswer(const Request& request, const Tree& tree, const ServerRules& rules) {
  Expected expected;
  expected.last = !request.keep_alive;
  expected.head_only = request.method == Method::kHead;
  expected.says_that_it_stays = request.version_minor == 0;
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

std::string RequestLine(const Request& request) {
  return request.method_name + " " + request.target + " " + request.version;
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
    auto answer = ExpectRequest(request, sent, tree, rules);
    if (!answer) {
      out.open_end = true;
      out.at_end = ExpectRefusal(400, request.method == Method::kHead);
      out.at_end->asked = RequestLine(request);
      return out;
    }
    answer->asked = RequestLine(request);
    out.answers.push_back(*answer);
    if (answer->last || answer->ends_by_close) return out;
    parser.Reset();
  }
  return out;
}

}  // namespace pollux::sim
