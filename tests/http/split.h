// Parses a request in every possible pair of pieces, byte by byte, and whole, and demands the same
// outcome each time: what a client's packets look like must never matter.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "core/http/request.h"

namespace pollux::http {

struct Parsed {
  RequestParser::State state = RequestParser::State::kNeedMore;
  size_t consumed = 0;  // over all pieces
  int status = 0;
  std::string reason;
  Request request;
};

// Every member on a line of its own, to compare and to print.
inline std::string Describe(const Parsed& p) {
  const Request& r = p.request;
  auto optional = [](const std::optional<std::string>& text) { return text ? *text : "(none)"; };
  const char* states[] = {"need more", "complete", "bad"};
  return std::string("state ") + states[static_cast<int>(p.state)] + "\nconsumed " +
         std::to_string(p.consumed) + "\nstatus " + std::to_string(p.status) + "\nreason " +
         p.reason + "\nmethod " + std::to_string(static_cast<int>(r.method)) + " " + r.method_name +
         "\nminor " + std::to_string(r.version_minor) + "\ntarget " + r.target + "\npath " +
         r.path + "\nquery " + r.query + "\nkeep_alive " + std::to_string(r.keep_alive) +
         "\nchunked " + std::to_string(r.chunked) + "\nlength " +
         (r.content_length ? std::to_string(*r.content_length) : "(none)") + "\nexpect " +
         std::to_string(r.expect_continue) + "\nrange " + optional(r.range) + "\nif_range " +
         optional(r.if_range) + "\nif_match " + optional(r.if_match) + "\nif_none_match " +
         optional(r.if_none_match) + "\nif_modified_since " + optional(r.if_modified_since) +
         "\nif_unmodified_since " + optional(r.if_unmodified_since) + "\nhost " + r.host +
         "\nreferer " + r.referer + "\nuser_agent " + r.user_agent + "\n";
}

inline Parsed ParsePieces(RequestParser& parser, const std::vector<std::string_view>& pieces) {
  Parsed parsed;
  for (const std::string_view piece : pieces) {
    // A copy of its own, so that a sanitizer sees whoever reads past it or keeps it.
    const std::string bytes(piece);
    const auto outcome = parser.Parse(bytes);
    parsed.state = outcome.state;
    parsed.consumed += outcome.consumed;
    parsed.status = outcome.status;
    parsed.reason = outcome.reason;
    if (outcome.state != RequestParser::State::kNeedMore) break;
    EXPECT_EQ(outcome.consumed, bytes.size()) << "a parser that needs more takes all it gets";
  }
  parsed.request = parser.request();
  return parsed;
}

inline Parsed ParseAtEverySplit(std::string_view bytes, const Limits& limits = {}) {
  RequestParser parser(limits);
  const Parsed whole = ParsePieces(parser, {bytes});
  const std::string expected = Describe(whole);
  for (size_t at = 0; at <= bytes.size(); ++at) {
    parser.Reset();  // the same parser again: nothing may be left over either
    const Parsed split = ParsePieces(parser, {bytes.substr(0, at), bytes.substr(at)});
    EXPECT_EQ(Describe(split), expected) << "split after " << at << " bytes";
  }
  std::vector<std::string_view> drops;
  for (size_t i = 0; i < bytes.size(); ++i) drops.push_back(bytes.substr(i, 1));
  parser.Reset();
  EXPECT_EQ(Describe(ParsePieces(parser, drops)), expected) << "byte by byte";
  return whole;
}

}  // namespace pollux::http
