// Of a connection: from a request to its response.
#include "core/server/connection.h"

#include <cerrno>
#include <optional>
#include <utility>
#include <variant>

#include "core/http/date.h"

namespace pollux {

ResponseContext Connection::MakeResponseContext(const http::Request* request) {
  ResponseContext out;
  if (context_.loop.now() >= context_.date_ends) {
    const timespec now = context_.kernel.clock_gettime(CLOCK_REALTIME);
    context_.date_seconds = now.tv_sec;
    context_.date_ends =
        context_.loop.now() + std::chrono::seconds(1) - std::chrono::nanoseconds(now.tv_nsec);
    http::FormatDate(now.tv_sec, context_.date);
  }
  out.now = context_.date_seconds;
  out.date = context_.date;
  out.keep_alive = keep_alive_;
  if (request != nullptr) {
    out.version_minor = request->version_minor;
    out.head_only = request->method == http::Method::kHead;
  }
  return out;
}

void Connection::StartRequest(const http::Request& request) {
  request_ = &request;
  keep_alive_ = request.keep_alive && !context_.draining;
  http::BodyLimits limits;
  limits.body_bytes_max = kSkippedBodyBytesMax;
  body_.emplace(request, limits);
  const http::BodySkipper::Outcome outcome = body_->Skip("");
  if (outcome.state == http::BodySkipper::State::kComplete) {
    AnswerRequest();
    return;
  }
  const bool readable_method =
      request.method == http::Method::kGet || request.method == http::Method::kHead;
  if (outcome.state == http::BodySkipper::State::kBad && readable_method) {
    Refuse(outcome.status, outcome.reason);
    return;
  }
  // Who expects 100 may or may not send the content after another answer (RFC 9110 §10.1.1), so
  // what follows could not be told apart. And an upload that is refused anyway is told so, however
  // large it is.
  if (request.expect_continue || outcome.state == http::BodySkipper::State::kBad) {
    keep_alive_ = false;
    AnswerRequest();
    return;
  }
  unparsed_ = !reader_->input.empty();
  Enter(State::kSkippingBody);
}

void Connection::AnswerRequest() {
  const ResponseContext context = MakeResponseContext(request_);
  if (std::optional<Response> response = StaticFiles::WithoutFile(*request_, context)) {
    Respond(std::move(*response));
    return;
  }
  if (!context_.config.metrics_path.empty() && request_->path == context_.config.metrics_path) {
    Respond(TextResponse(kMetricsContentType, context_.render_metrics(), context));
    return;
  }
  if (AnswerFromCache(context)) return;
  Enter(State::kOpening);
  OpenNext(StaticFiles::PathToOpen(request_->path));
}

bool Connection::AnswerFromCache(const ResponseContext& context) {
  const std::string_view path = StaticFiles::PathToOpen(request_->path, context_.path);
  CachedFile* cached = context_.cache.Find(path, context_.loop.now());
  if (cached == nullptr) return false;
  RespondWith(*cached, path, context);
  return true;
}

void Connection::RespondWith(CachedFile& cached, std::string_view path,
                             const ResponseContext& context) {
  if (RespondPlainly(cached, path, context)) return;
  Response response = context_.files.ServeFile(*request_, cached.file, path, context);
  if (response.file != nullptr && cached.content != nullptr) {
    response.bytes.append(*cached.content, response.offset, response.length);
    response.file.reset();
  }
  Respond(std::move(response));
}

// The whole file by HTTP/1.1 on a connection that goes on, without conditions: what nearly every
// request is. Its head is there already, and its content if it is small.
bool Connection::RespondPlainly(CachedFile& cached, std::string_view path,
                                const ResponseContext& context) {
  if (!StaticFiles::IsPlain(*request_, context)) return false;
  if (!cached.prepared()) {
    // Last-Modified is the lesser of Date and a date in the future, anew for every answer.
    if (cached.file->mtime_s > context.now) return false;
    cached.PrepareHead(context_.files.PlainHead(cached.file, path, context));
  }
  const std::string_view head = cached.HeadAt(context.now, context.date);
  Response response;
  response.head_bytes = head.size();
  const bool content = !context.head_only && cached.file->size() > 0;
  if (content && cached.content == nullptr) {
    response.bytes = head;
    response.file = cached.file;
    response.length = cached.file->size();
    Respond(std::move(response));
    return true;
  }
  Respond(std::move(response));
  const size_t before = context_.output.size();
  context_.output += head;
  if (content) context_.output += *cached.content;
  sent_ += context_.output.size() - before;
  return true;
}

// Behind a request that was not understood nothing can be trusted: the answer is the last.
void Connection::Refuse(int status, const char* reason) {
  keep_alive_ = false;
  Respond(ErrorResponse(status, reason, MakeResponseContext(request_)));
}

void Connection::OpenNext(OpenStep step) {
  std::string path = step.path;
  context_.opener.Open(std::move(path), [self = weak_from_this(), step = std::move(step),
                                         asked = context_.loop.now()](
                                            const Result<std::shared_ptr<OpenFile>>& opened) {
    // A worker may answer after the client left. A connection opens one path at a time.
    const std::shared_ptr<Connection> connection = self.lock();
    if (connection == nullptr || connection->state_ != State::kOpening) return;
    connection->OnOpened(step, asked, opened);
  });
}

// Null if there is nothing to keep.
CachedFile* Connection::Remember(const OpenStep& step, TimePoint asked,
                                 const Result<std::shared_ptr<OpenFile>>& opened) {
  if (step.attempt == Attempt::kFolder) return nullptr;
  if (opened) return context_.cache.Store(step.path, *opened, asked);
  const int code = opened.error().code;
  // EMFILE, ENFILE: perhaps the next request finds one of those that are only kept.
  if (code == EMFILE || code == ENFILE) {
    context_.cache.Clear();
  } else {
    context_.cache.Forget(step.path);
  }
  return nullptr;
}

void Connection::OnOpened(const OpenStep& tried, TimePoint asked,
                          const Result<std::shared_ptr<OpenFile>>& opened) {
  if (CachedFile* cached = Remember(tried, asked, opened)) {
    RespondWith(*cached, tried.path, MakeResponseContext(request_));
    Drive(kInlineBodyBytes);
    return;
  }
  if (!opened && StaticFiles::StatusForOpenError(opened.error().code) >= 500) {
    ComplainOfOpen(opened.error(), tried.path);
  }
  std::variant<Response, OpenStep> next =
      context_.files.AfterOpen(*request_, tried, opened, MakeResponseContext(request_));
  if (OpenStep* step = std::get_if<OpenStep>(&next)) {
    OpenNext(std::move(*step));
    return;
  }
  Response& response = std::get<Response>(next);
  if (response.starts_late) {
    response_ = std::move(response);
    StartLateResponse();
    return;
  }
  Respond(std::move(response));
  Drive(kInlineBodyBytes);
}

// A response whose first piece is still being made waits in kOpening: should that fail, it is
// another response.
void Connection::StartLateResponse() {
  ContentPiece first;
  const Result<ContentSource::Outcome> outcome = response_.rest->Next(first, *this);
  if (outcome && *outcome == ContentSource::Outcome::kWaiting) return;
  const ResponseContext context = MakeResponseContext(request_);
  Response response = std::move(response_);
  if (!outcome) {
    response = StaticFiles::AfterFailedStart(outcome.error().code, context);
    if (response.status >= 500) {
      Complain(outcome.error(), "while listing \"" + request_->path + "\"");
    }
  } else if (context.head_only) {
    response.rest.reset();
  } else {
    response.bytes += first.bytes;
  }
  Respond(std::move(response));
  Drive(kInlineBodyBytes);
}

}  // namespace pollux
