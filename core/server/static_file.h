// What a request for a file is answered with: decisions only, no system calls.
//
//   path        -> PathToOpen: what FileOpener is to try
//   its result  -> AfterOpen: a whole response, or the next path to try (index.html, the folder)
//
// Sources: RFC 9110 §§8.8, 13, 14, 15; RFC 9112 §9.3 for Connection.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/aio/open_file.h"
#include "core/http/mime.h"
#include "core/http/request.h"
#include "core/server/content.h"
#include "core/server/listing.h"

namespace pollux {

inline constexpr std::string_view kIndexFile = "index.html";

// What is served how; each has a flag.
struct ServingRules {
  // Ranges a request may name before Range is ignored as a whole (CVE-2011-3192).
  size_t ranges_max = 16;
  bool listing = false;                  // of folders without index file, else 403
  uint64_t listing_memory_max = 64_MiB;  // for all listings together (listing.h)
};

// A response as the connection sends it: `bytes` (the head, and a body that is in memory), then
// `length` bytes of `file` from `offset`, then the pieces of `rest`.
struct Response : ContentPiece {
  int status = 200;
  uint64_t head_bytes = 0;              // of `bytes`
  std::unique_ptr<ContentSource> rest;  // null: that was all
  // The status holds only once `rest` has given its first piece; if that fails, AfterFailedStart.
  bool starts_late = false;
  bool ends_connection = false;  // the content ends with it, as no other way is known to HTTP/1.0
};

// What every head carries that the file does not decide.
struct ResponseContext {
  int64_t now = 0;         // seconds since the epoch
  std::string_view date;   // the same, as a Date value
  bool keep_alive = true;  // else "Connection: close"
  int version_minor = 1;   // to HTTP/1.0, keeping alive is said aloud
  bool head_only = false;  // HEAD: the same head, no content
};

// Which of the paths that a request stands for was opened.
enum class Attempt { kPath, kIndex, kFolder };

struct OpenStep {
  Attempt attempt = Attempt::kPath;
  std::string path;  // relative to the root
};

// GET, HEAD and OPTIONS; for Allow.
inline constexpr std::string_view kAllow = "GET, HEAD, OPTIONS";

class StaticFiles {
 public:
  // Without a lister folders are not listed.
  explicit StaticFiles(http::MimeTypes mime_types, const ServingRules& rules = {},
                       Lister* lister = nullptr)
      : mime_types_(std::move(mime_types)), rules_(rules), lister_(lister) {}

  // Answers that need no file: OPTIONS, 405, 501. Nothing for GET and HEAD.
  static std::optional<Response> WithoutFile(const http::Request& request,
                                             const ResponseContext& context);

  // A path that ends in a slash means its index file.
  static OpenStep PathToOpen(std::string_view request_path);
  // The same path, without allocating: in `request_path`, or composed in `scratch`.
  static std::string_view PathToOpen(std::string_view request_path, std::string& scratch);

  // Whether the answer is the whole file with the head that all such answers share but for Date.
  static bool IsPlain(const http::Request& request, const ResponseContext& context);

  std::variant<Response, OpenStep> AfterOpen(const http::Request& request, const OpenStep& tried,
                                             const Result<std::shared_ptr<OpenFile>>& opened,
                                             const ResponseContext& context) const;

  // Instead of a response that starts late: its first piece failed with `code`.
  static Response AfterFailedStart(int code, const ResponseContext& context);

  // A regular file, found at `path` below the root.
  Response ServeFile(const http::Request& request, std::shared_ptr<OpenFile> file,
                     std::string_view path, const ResponseContext& context) const;

  // The head of the plain answer; see IsPlain.
  std::string PlainHead(std::shared_ptr<OpenFile> file, std::string_view path,
                        const ResponseContext& context) const;

  // 404 for ENOENT, and so on; 500 for what openat2(2) does not list.
  static int StatusForOpenError(int code);

 private:
  Response ListFolder(const http::Request& request, const OpenStep& tried,
                      std::shared_ptr<OpenFile> folder, ResponseContext context) const;

  http::MimeTypes mime_types_;
  ServingRules rules_;
  Lister* lister_;
};

// A short page for `status`. `detail` is shown, escaped; `extra_*` is one more field, if named.
Response ErrorResponse(int status, std::string_view detail, const ResponseContext& context,
                       std::string_view extra_name = "", std::string_view extra_value = "");

// A body from memory (metrics).
Response TextResponse(std::string_view content_type, std::string_view body,
                      const ResponseContext& context);

}  // namespace pollux
