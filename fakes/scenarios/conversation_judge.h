// Compares what came with what was owed (conversation_model.h): status, fields and content of each
// answer, and what the server has logged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fakes/scenarios/conversation_model.h"

namespace pollux::sim {

// What an answer may be beside what it should be.
struct Leeway {
  bool cut = false;           // it may end anywhere; but what there is must be right
  bool timed_out = false;     // a 408 may come in the end
  bool failed_calls = false;  // it may say that the server could not read what was asked for
  bool stopped = false;       // any may be the last one
};

// Compares all that came with what was to come. Empty if it agrees; else what does not.
std::string Compare(std::string_view received, const Expectation& expectation,
                    const ServerRules& rules, const Leeway& leeway);

// What the access log has to say of an answer that came whole.
struct Logged {
  std::string asked;  // as Expected has it; empty: whatever
  int status = 0;
  std::optional<uint64_t> body_bytes;  // nothing: whatever, as an answer may end by its connection
};

// Of the answers that came whole, in order.
std::vector<Logged> WholeAnswers(std::string_view received, const Expectation& expectation);

// What is wrong with what the server has written, line by line; empty if nothing. The access log
// has a line for each of `whole`, the answers that clients got, and for no more than `most`
// altogether, if that can be said.
std::string JudgeLog(std::string_view console, const std::vector<Logged>& whole,
                     std::optional<size_t> most);

}  // namespace pollux::sim
