// What a static server must answer to the bytes of one connection, one request after the other:
// no sockets, no time, no threads. The heads are read with the server's own parsers, each of which
// has references of its own (fuzz/); what is judged here is what the server makes of them.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/mime.h"
#include "core/http/request.h"

namespace pollux::sim {

// The served files by path, "/small". Folders are those above them.
using Tree = std::map<std::string, std::shared_ptr<const std::string>>;

struct ServerRules {
  http::Limits limits;
  size_t ranges_max = 16;
  std::string metrics_path;
  bool listing = false;
  http::MimeTypes mime{""};
};

struct Expected {
  int status = 0;  // of a file with conditions: of the answer without them
  bool last = false;
  bool head_only = false;
  std::shared_ptr<const std::string> file;  // GET and HEAD of one that is there
  std::string type;                         // of the file
  bool conditions = false;                  // 304 and 412 are possible, and Range may not apply
  std::optional<std::string> range;
  std::vector<std::string> names;  // of a listing: what it has to show
  bool ends_by_close = false;      // a listing without a length: HTTP/1.0
};

struct Expectation {
  std::vector<Expected> answers;
  bool open_end = false;  // something of another request follows
  // Of a request whose content is not whole: the answer, should the client end its side there.
  std::optional<Expected> at_end;
};

Expectation Expect(std::string_view sent, const Tree& tree, const ServerRules& rules);

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

// How many whole answers came.
size_t CountAnswers(std::string_view received, const Expectation& expectation);

// What is wrong with what the server has written, line by line; empty if nothing. `answers` is the
// most that it may have logged.
std::string JudgeLog(std::string_view console, size_t answers);

}  // namespace pollux::sim
