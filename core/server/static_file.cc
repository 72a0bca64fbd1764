#include "core/server/static_file.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/http/date.h"
#include "core/http/multipart.h"
#include "core/http/preconditions.h"
#include "core/http/range.h"
#include "core/http/response.h"
#include "core/http/target.h"
#include "core/server/multipart_content.h"

namespace pollux {
namespace {

using http::Method;
using http::ResponseHead;

ResponseHead StartHead(int status, const ResponseContext& context) {
  ResponseHead head(status);
  head.Add("Date", context.date);
  if (!context.keep_alive) {
    head.Add("Connection", "close");
  } else if (context.version_minor == 0) {
    head.Add("Connection", "keep-alive");
  }
  return head;
}

// `content_length` may be left out: 204 and 304 have no content by definition.
Response FinishInMemory(int status, ResponseHead head, std::string_view body,
                        const ResponseContext& context) {
  Response response;
  response.status = status;
  response.bytes = std::move(head).Finish();
  response.head_bytes = response.bytes.size();
  if (!context.head_only) response.bytes += body;
  return response;
}

const char* DetailOf(int status) {
  switch (status) {
    case 403:
      return "This may not be read.";
    case 404:
      return "There is nothing of this name.";
    case 503:
      return "The server is short of resources; try again.";
    default:
      return "The server could not read this.";
  }
}

}  // namespace

Response ErrorResponse(int status, std::string_view detail, const ResponseContext& context,
                       std::string_view extra_name, std::string_view extra_value) {
  const std::string body = http::ErrorBody(status, detail);
  ResponseHead head = StartHead(status, context);
  if (!extra_name.empty()) head.Add(extra_name, extra_value);
  head.Add("Content-Type", "text/html; charset=utf-8");
  head.Add("Content-Length", body.size());
  return FinishInMemory(status, std::move(head), body, context);
}

Response TextResponse(std::string_view content_type, std::string_view body,
                      const ResponseContext& context) {
  ResponseHead head = StartHead(200, context);
  head.Add("Content-Type", content_type);
  head.Add("Content-Length", body.size());
  head.Add("Cache-Control", "no-store");
  return FinishInMemory(200, std::move(head), body, context);
}

std::optional<Response> StaticFiles::WithoutFile(const http::Request& request,
                                                 const ResponseContext& context) {
  switch (request.method) {
    case Method::kGet:
    case Method::kHead:
      return std::nullopt;
    case Method::kOptions: {
      ResponseHead head = StartHead(204, context);
      head.Add("Allow", kAllow);
      return FinishInMemory(204, std::move(head), "", context);
    }
    case Method::kOtherKnown:
      return ErrorResponse(405, "Files can be read here, nothing else.", context, "Allow", kAllow);
    case Method::kUnknown:
      break;
  }
  return ErrorResponse(501, "This method is not known here.", context);
}

OpenStep StaticFiles::PathToOpen(std::string_view request_path) {
  std::string scratch;
  const std::string_view path = PathToOpen(request_path, scratch);
  return {scratch.empty() ? Attempt::kPath : Attempt::kIndex, std::string(path)};
}

std::string_view StaticFiles::PathToOpen(std::string_view request_path, std::string& scratch) {
  request_path.remove_prefix(std::min(request_path.find_first_not_of('/'), request_path.size()));
  if (!request_path.empty() && request_path.back() != '/') return request_path;
  scratch.assign(request_path).append(kIndexFile);
  return scratch;
}

bool StaticFiles::IsPlain(const http::Request& request, const ResponseContext& context) {
  return context.keep_alive && context.version_minor == 1 && !request.range && !request.if_match &&
         !request.if_none_match && !request.if_modified_since && !request.if_unmodified_since;
}

int StaticFiles::StatusForOpenError(int code) {
  switch (code) {
    case ENOENT:        // no such name
    case ENOTDIR:       // a file used as a folder
    case ENAMETOOLONG:  // no file system has such a name
      return 404;
    case EACCES:  // not readable for this user
    case EPERM:   // openat2 itself is forbidden (a sandbox): nothing is served
    case ELOOP:   // too many symbolic links, or a magic link
    case EXDEV:   // a path that leaves the root
    case ENXIO:   // a FIFO without a writer, a socket, a device without a driver
    case ENODEV:
      return 403;
    case EMFILE:  // descriptors or memory run out: a later request may do better
    case ENFILE:
    case ENOMEM:
    case EAGAIN:  // openat2: the path changed under the walk, again and again
      return 503;
    default:  // EIO and what openat2(2) does not list
      return 500;
  }
}

std::variant<Response, OpenStep> StaticFiles::AfterOpen(
    const http::Request& request, const OpenStep& tried,
    const Result<std::shared_ptr<OpenFile>>& opened, const ResponseContext& context) const {
  if (!opened) {
    const int code = opened.error().code;
    if (tried.attempt == Attempt::kIndex && code == ENOENT) {
      // Without an index file the answer depends on whether there is a folder at all.
      std::string folder = tried.path.substr(0, tried.path.size() - kIndexFile.size());
      return OpenStep{Attempt::kFolder, folder.empty() ? "." : std::move(folder)};
    }
    const int status = StatusForOpenError(code);
    return ErrorResponse(status, DetailOf(status), context);
  }
  const std::shared_ptr<OpenFile>& file = *opened;
  if (tried.attempt == Attempt::kFolder) {
    if (lister_ != nullptr) return ListFolder(request, tried, file, context);
    return ErrorResponse(403, "This folder has no index file.", context);
  }
  if (S_ISDIR(file->mode) && tried.attempt == Attempt::kPath) {
    std::string location = http::EncodePath(request.path + "/");
    if (!request.query.empty()) location += "?" + request.query;
    return ErrorResponse(301, "This is a folder; its name ends in a slash.", context, "Location",
                         location);
  }
  if (!S_ISREG(file->mode)) return ErrorResponse(403, "This is no regular file.", context);
  return ServeFile(request, file, tried.path, context);
}

// What is listed changes without a trace in the folder's own state (sizes, dates), so there are no
// validators, and caches have to ask again.
Response StaticFiles::ListFolder(const http::Request& request, const OpenStep& tried,
                                 std::shared_ptr<OpenFile> folder, ResponseContext context) const {
  // "*" is met by what exists, tag or none.
  const http::PreconditionResult condition =
      http::EvaluatePreconditions(request, http::Validators(), context.now);
  const bool failed = condition.kind == http::PreconditionResult::Kind::kFailed;
  if (failed) return ErrorResponse(412, "This is a folder's listing; it has no tag.", context);

  const bool not_modified = condition.kind == http::PreconditionResult::Kind::kNotModified;
  const http::ListingFormat format = http::ChooseListingFormat(request.accept);
  Response response;
  if (!not_modified) {
    // Without a length, only the connection's end tells HTTP/1.0 that of the content.
    response.ends_connection = context.version_minor == 0;
    context.keep_alive = context.keep_alive && !response.ends_connection;
    response.rest = lister_->List(std::move(folder), tried.path, request.path, format,
                                  /*chunked=*/!response.ends_connection);
    if (response.rest == nullptr) {
      return ErrorResponse(503, "Too many folders are being listed; try again.", context);
    }
    response.starts_late = true;
  }
  response.status = not_modified ? 304 : 200;
  ResponseHead head = StartHead(response.status, context);
  head.Add("Cache-Control", "no-cache");
  head.Add("Vary", "Accept");
  if (!not_modified) {
    if (!response.ends_connection) head.Add("Transfer-Encoding", "chunked");
    head.Add("Content-Type", http::ListingContentType(format));
    head.Add("X-Content-Type-Options", "nosniff");
    // The page is made of other people's file names. It has a style and nothing else.
    head.Add("Content-Security-Policy",
             "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
             "form-action 'none'");
  }
  response.bytes = std::move(head).Finish();
  response.head_bytes = response.bytes.size();
  return response;
}

Response StaticFiles::AfterFailedStart(int code, const ResponseContext& context) {
  const int status = StatusForOpenError(code);
  return ErrorResponse(status, DetailOf(status), context);
}

Response StaticFiles::ServeFile(const http::Request& request, std::shared_ptr<OpenFile> file,
                                std::string_view path, const ResponseContext& context) const {
  const uint64_t size = file->size();
  const std::string etag = http::MakeEtag(size, file->key.mtime_ns, file->key.inode);
  // RFC 9110 §8.8.2.1: never later than Date.
  const int64_t modified = std::min(file->mtime_s, context.now);
  const std::string last_modified = http::FormatDate(modified);

  const http::PreconditionResult condition =
      http::EvaluatePreconditions(request, {etag, modified}, context.now);
  if (condition.kind == http::PreconditionResult::Kind::kFailed) {
    return ErrorResponse(412, "The file is not the one that was asked for.", context);
  }
  if (condition.kind == http::PreconditionResult::Kind::kNotModified) {
    ResponseHead head = StartHead(304, context);
    head.Add("Last-Modified", last_modified);
    head.Add("ETag", etag);
    return FinishInMemory(304, std::move(head), "", context);
  }
  http::RangeResult range;
  if (condition.range_applies) range = http::ParseRange(*request.range, size, rules_.ranges_max);
  if (range.kind == http::RangeResult::Kind::kUnsatisfiable) {
    return ErrorResponse(416, "The file ends before this range.", context, "Content-Range",
                         "bytes */" + std::to_string(size));
  }
  const bool partial = range.kind == http::RangeResult::Kind::kRanges;

  Response response;
  response.status = partial ? 206 : 200;
  ResponseHead head = StartHead(response.status, context);
  // Only GET has ranges, so that a multipart answer always has content.
  if (partial && range.ranges.size() > 1) {
    http::MultipartRanges parts(std::move(range.ranges), size, mime_types_.TypeOf(path),
                                http::MakeBoundary(etag, context.now));
    head.Add("Content-Type", parts.ContentType());
    head.Add("Content-Length", parts.ContentLength());
    response.rest = std::make_unique<MultipartContent>(std::move(parts), std::move(file));
  } else {
    const http::ByteRange sent = partial ? range.ranges[0] : http::ByteRange{0, size};
    head.Add("Content-Type", mime_types_.TypeOf(path));
    head.Add("Content-Length", sent.length);
    if (partial) head.Add("Content-Range", http::ContentRange(sent, size));
    if (!context.head_only && sent.length > 0) {
      response.file = std::move(file);
      response.offset = sent.offset;
      response.length = sent.length;
    }
  }
  head.Add("Accept-Ranges", "bytes");
  head.Add("Last-Modified", last_modified);
  head.Add("ETag", etag);
  response.bytes = std::move(head).Finish();
  response.head_bytes = response.bytes.size();
  return response;
}

std::string StaticFiles::PlainHead(std::shared_ptr<OpenFile> file, std::string_view path,
                                   const ResponseContext& context) const {
  http::Request request;
  request.method = Method::kGet;
  return ServeFile(request, std::move(file), path, context).bytes;
}

}  // namespace pollux
