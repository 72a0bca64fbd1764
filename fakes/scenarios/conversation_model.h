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

struct ServedFile {
  std::shared_ptr<const std::string> content;
  std::string etag;
  int64_t last_modified = 0;  // seconds since the epoch
};

// The served files by path, "/small". Folders are those above them.
using Tree = std::map<std::string, ServedFile>;

struct ServerRules {
  http::Limits limits;
  size_t ranges_max = 16;
  std::string metrics_path;
  bool listing = false;
  http::MimeTypes mime{""};
};

struct Expected {
  std::string asked;  // "METHOD TARGET VERSION", as received; empty if the head is refused
  // Of a file or a listing: where no condition and no range says otherwise.
  int status = 0;
  bool last = false;
  bool head_only = false;
  bool says_that_it_stays = false;   // to HTTP/1.0: "Connection: keep-alive", unless it is the last
  const ServedFile* file = nullptr;  // GET and HEAD of one that is there; of the tree
  std::string type;                  // of the file
  bool listing = false;
  std::vector<std::string> names;        // of a listing, sorted; those of folders end in a slash
  bool ends_by_close = false;            // a listing without a length: HTTP/1.0
  std::optional<http::Request> request;  // with conditions or a range, or to be redirected
};

struct Expectation {
  std::vector<Expected> answers;
  bool open_end = false;  // something of another request follows
  // Of a request whose content is not whole: the answer, should the client end its side there.
  std::optional<Expected> at_end;
};

// `tree` has to outlive what is returned.
Expectation Expect(std::string_view sent, const Tree& tree, const ServerRules& rules);

}  // namespace pollux::sim
