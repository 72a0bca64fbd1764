// Preconditions once more: RFC 9110 §13.2.2, steps 1 to 5, spelled out one by one. What the
// server's own evaluation is held to, alone (fuzz/conditions_fuzz.cc) and in a conversation
// (conversation_model.h). Dates are read by the server's parser, which has a reference of its own.
#pragma once

#include <cstdint>

#include "core/http/preconditions.h"
#include "core/http/request.h"

namespace pollux::sim {

http::PreconditionResult EvaluatePlainly(const http::Request& request, const http::Validators& file,
                                         int64_t now);

}  // namespace pollux::sim
