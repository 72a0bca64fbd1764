// The fields that an answer owes to its request: those that say what its content is and where (RFC
// 9110 §§8, 10.2, 13, 14.4), by a reading of its own.
#pragma once

#include <string>

#include "core/http/range.h"
#include "fakes/scenarios/conversation_model.h"
#include "fakes/scenarios/received_answer.h"

namespace pollux::sim {

// What the status has to be, and of a file the ranges that are sent.
struct Owed {
  int status = 0;
  http::RangeResult range;
};

// `now`: the answer's Date, which the conditions are judged by.
Owed Decide(const Expected& expected, const ServerRules& rules, int64_t now);

// Empty if the head of `answer`, whose status is `owed.status`, says what it has to and nothing
// else; else what is wrong.
std::string CompareHead(const ReceivedAnswer& answer, const Expected& expected, const Owed& owed);

// The links of a listing's page as names, sorted; those of folders end in a slash.
std::vector<std::string> NamesShown(const ReceivedAnswer& answer);

}  // namespace pollux::sim
