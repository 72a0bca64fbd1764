#include "core/server/connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <variant>

#include "core/base/check.h"
#include "core/http/date.h"

namespace pollux {

Connection::Connection(ConnectionContext& context, Fd socket, const SocketAddress& peer,
                       size_t slot)
    : context_(context),
      socket_(std::make_shared<Fd>(std::move(socket))),
      peer_(peer),
      slot_(slot),
      timer_([this] { OnTimer(); }) {}

Connection::~Connection() = default;

Status Connection::Start() {
  Result<Registration> registration = context_.loop.Register(fd(), POLLIN, this);
  if (!registration) return Err(registration.error());
  registration_ = std::move(*registration);
  Arm(context_.config.idle_timeout);
  return {};
}

// --- The state machine ---------------------------------------------------------------------------

bool Connection::Allowed(State from, State to) {
  if (to == State::kClosed) return from != State::kClosed;
  switch (from) {
    case State::kReadingHead:
      return to == State::kSkippingBody || to == State::kOpening || to == State::kSendingHead;
    case State::kSkippingBody:
      return to == State::kOpening || to == State::kSendingHead;
    case State::kOpening:
      return to == State::kSendingHead;
    case State::kSendingHead:
      return to == State::kSendingBody || to == State::kReadingHead || to == State::kLingering;
    case State::kSendingBody:
      return to == State::kReadingHead || to == State::kLingering;
    case State::kLingering:
    case State::kClosed:
      return false;
  }
  return false;
}

// The only writer of state_: what a state needs is set up here, its timer above all.
void Connection::Enter(State next) {
  CHECK(Allowed(state_, next));
  state_ = next;
  switch (next) {
    case State::kReadingHead:
      request_ = nullptr;
      response_ = Response();
      if (reader_ != nullptr && !reader_->input.empty()) {
        reader_->parser.Reset();
        unparsed_ = head_started_ = true;
        Arm(context_.config.header_timeout);
      } else {
        context_.readers.GiveBack(std::move(reader_));
        unparsed_ = head_started_ = false;
        Arm(context_.config.idle_timeout);
      }
      break;
    case State::kOpening:
    case State::kSendingHead:
    case State::kClosed:
      timer_.Disarm();
      break;
    case State::kSendingBody:
      timer_.Disarm();
      body_wait_ = BodyWait::kTurn;
      break;
    case State::kSkippingBody:
      Arm(context_.config.header_timeout);
      break;
    case State::kLingering:
      context_.readers.GiveBack(std::move(reader_));
      request_ = nullptr;
      linger_left_ = kLingerBytesMax;
      // Something may have come in unnoticed while the answer was sent, the end included.
      readable_ = true;
      Arm(context_.draining ? kDrainLingerTime : kLingerTime);
      break;
  }
}

void Connection::OnDrain() {
  if (idle()) {
    Close();
  } else if (state_ == State::kLingering) {
    Arm(kDrainLingerTime);
  }
}

bool Connection::Step() {
  switch (state_) {
    case State::kReadingHead:
      return ReadHead();
    case State::kSendingHead:
      return SendHead();
    case State::kSendingBody:
      return SendBody();
    case State::kSkippingBody:
      return SkipBody();
    case State::kLingering:
      return Linger();
    case State::kOpening:
    case State::kClosed:
      return false;
  }
  return false;
}

// Goes on until the connection needs the outside world. Callbacks that come while it runs (an open
// answered at once) only change the state; the loop here takes it up.
void Connection::Drive(uint64_t body_bytes_max) {
  if (driving_ || state_ == State::kClosed) return;
  driving_ = true;
  body_budget_ = body_bytes_max;
  requests_this_turn_ = receives_this_turn_ = 0;
  while (Step()) {
  }
  driving_ = false;
  WatchSocket();
}

void Connection::OnFdevent(uint32_t revents) {
  if ((revents & (POLLERR | POLLHUP)) != 0) {
    // A reset, or both directions are shut. A client that only shut its sending side shows as
    // POLLIN, and still gets its answer.
    if (state_ == State::kOpening || state_ == State::kSendingHead ||
        state_ == State::kSendingBody) {
      Close();
      return;
    }
    readable_ = true;  // recv knows
  }
  if ((revents & POLLIN) != 0) readable_ = true;
  if (state_ == State::kSendingBody) {
    // Bulk goes by turns, so that what else became ready in this turn comes first.
    if ((revents & POLLOUT) != 0) context_.send_queue.Add(*this);
    return;
  }
  if (queued()) return;  // pipelined requests had their share; the queue goes on with them
  Drive(kInlineBodyBytes);
}

void Connection::OnTransferReady() {
  if (state_ == State::kSendingBody) context_.send_queue.Add(*this);
}

uint64_t Connection::RunSlice(uint64_t bytes_max) {
  const uint64_t before = sent_;
  in_slice_ = true;
  Drive(bytes_max);
  in_slice_ = false;
  return sent_ - before;
}

// The poll set follows the state, once per Drive: a request that is answered at once costs no
// epoll_ctl.
void Connection::WatchSocket() {
  uint32_t events = 0;
  switch (state_) {
    case State::kReadingHead:
    case State::kSkippingBody:
    case State::kLingering:
      events = POLLIN;
      break;
    case State::kOpening:
      break;  // pipelined bytes would be reported again and again; resets still come
    case State::kSendingHead:
      events = POLLOUT;
      break;
    case State::kSendingBody:
      if (body_wait_ == BodyWait::kTurn) return;  // runs soon: not worth a system call
      events = body_wait_ == BodyWait::kSocket ? POLLOUT : 0;
      break;
    case State::kClosed:
      return;
  }
  // ENOMEM of epoll_ctl: a connection that can no longer be waited for is lost.
  if (Status s = registration_.SetEvents(events); !s) {
    context_.log.Error("{}: {} on descriptor {}; the connection is closed", peer_.ToString(),
                       ToString(s.error()), fd());
    Close();
  }
}

// --- Reading -------------------------------------------------------------------------------------

bool Connection::ReadHead() {
  if (unparsed_) return ParseInput();
  return readable_ && ReceiveInput();
}

bool Connection::ParseInput() {
  if (requests_this_turn_ >= kRequestsPerTurn) {
    context_.send_queue.Add(*this);
    return false;
  }
  InputBuffer& input = reader_->input;
  const http::RequestParser::Outcome outcome = reader_->parser.Parse(input.bytes());
  input.Consume(outcome.consumed);
  switch (outcome.state) {
    case http::RequestParser::State::kNeedMore:
      unparsed_ = false;
      // The parser keeps its own limits; this one keeps the buffer's.
      if (input.MakeRoom() == 0) {
        Refuse(431, "The request head is too large.");
        return true;
      }
      return readable_;
    case http::RequestParser::State::kBad:
      request_ = &reader_->parser.request();
      Refuse(outcome.status, outcome.reason);
      return true;
    case http::RequestParser::State::kComplete:
      ++requests_this_turn_;
      StartRequest(reader_->parser.request());
      return true;
  }
  return false;
}

bool Connection::ReceiveInput() {
  if (reader_ == nullptr) reader_ = context_.readers.Take();
  InputBuffer& input = reader_->input;
  const size_t room = input.MakeRoom();
  const Result<size_t> got = context_.kernel.recv(fd(), input.room(), room, 0);
  if (!got) {
    const int code = got.error().code;
    readable_ = false;
    // EAGAIN: nothing there. EINTR: a signal of `published`; poll reports the bytes again.
    if (code == EAGAIN || code == EINTR) return false;
    // ECONNRESET, ETIMEDOUT, EHOSTUNREACH and what else ends a TCP connection: the client is gone.
    Close();
    return false;
  }
  if (*got == 0) {
    // The client has finished, perhaps in the middle of a head: nobody to answer.
    Close();
    return false;
  }
  input.Filled(*got);
  // With a full buffer there may be more; poll reports it again when this turn's share is used up.
  readable_ = *got == room && ++receives_this_turn_ < kReceivesPerTurn;
  unparsed_ = true;
  if (!head_started_) {
    head_started_ = true;
    Arm(context_.config.header_timeout);
  }
  return true;
}

bool Connection::SkipBody() {
  if (!unparsed_) return readable_ && ReceiveInput();
  InputBuffer& input = reader_->input;
  const http::BodySkipper::Outcome outcome = body_->Skip(input.bytes());
  input.Consume(outcome.consumed);
  switch (outcome.state) {
    case http::BodySkipper::State::kNeedMore:
      unparsed_ = false;
      CHECK(input.MakeRoom() > 0);  // content is never kept
      return true;
    case http::BodySkipper::State::kBad:
      Refuse(outcome.status, outcome.reason);
      return true;
    case http::BodySkipper::State::kComplete:
      AnswerRequest();
      return true;
  }
  return false;
}

bool Connection::Linger() {
  if (!readable_) return false;
  // One recv a turn: an upload that nobody wants takes no more of the loop. Poll reports the rest.
  readable_ = false;
  const size_t room = std::min<uint64_t>(linger_left_, context_.scratch.size());
  const Result<size_t> got = context_.kernel.recv(fd(), context_.scratch.data(), room, 0);
  if (!got && (got.error().code == EAGAIN || got.error().code == EINTR)) return false;
  // The end of the input, ECONNRESET and the like: whoever was lingered for has left.
  if (!got || *got == 0 || *got == linger_left_) {
    Close();
    return false;
  }
  linger_left_ -= *got;
  return false;
}

// --- Answering -----------------------------------------------------------------------------------

ResponseContext Connection::MakeResponseContext(const http::Request* request) {
  ResponseContext out;
  out.now = context_.kernel.clock_gettime(CLOCK_REALTIME).tv_sec;
  if (out.now != context_.date_seconds) {
    context_.date_seconds = out.now;
    context_.date = http::FormatDate(out.now);
  }
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
  Enter(State::kOpening);
  OpenNext(StaticFiles::PathToOpen(request_->path));
}

// Behind a request that was not understood nothing can be trusted: the answer is the last.
void Connection::Refuse(int status, const char* reason) {
  keep_alive_ = false;
  Respond(ErrorResponse(status, reason, MakeResponseContext(request_)));
}

void Connection::OpenNext(OpenStep step) {
  std::string path = step.path;
  context_.opener.Open(std::move(path), [self = weak_from_this(), step = std::move(step)](
                                            const Result<std::shared_ptr<OpenFile>>& opened) {
    // A worker may answer after the client left. A connection opens one path at a time.
    const std::shared_ptr<Connection> connection = self.lock();
    if (connection == nullptr || connection->state_ != State::kOpening) return;
    connection->OnOpened(step, opened);
  });
}

void Connection::OnOpened(const OpenStep& tried, const Result<std::shared_ptr<OpenFile>>& opened) {
  if (!opened && StaticFiles::StatusForOpenError(opened.error().code) >= 500) {
    context_.log.Error("{} while opening \"{}\"", ToString(opened.error()), tried.path);
  }
  std::variant<Response, OpenStep> next =
      context_.files.AfterOpen(*request_, tried, opened, MakeResponseContext(request_));
  if (OpenStep* step = std::get_if<OpenStep>(&next)) {
    OpenNext(std::move(*step));
    return;
  }
  Respond(std::move(std::get<Response>(next)));
  Drive(kInlineBodyBytes);
}

void Connection::Respond(Response response) {
  response_ = std::move(response);
  head_sent_ = 0;
  body_sent_ = 0;
  responding_ = true;
  Enter(State::kSendingHead);
}

bool Connection::SendHead() {
  // MSG_MORE: the head of a small file leaves in one packet with it.
  const int flags = MSG_NOSIGNAL | (response_.file != nullptr ? MSG_MORE : 0);
  while (head_sent_ < response_.bytes.size()) {
    const Result<size_t> sent = context_.kernel.send(fd(), response_.bytes.data() + head_sent_,
                                                     response_.bytes.size() - head_sent_, flags);
    if (!sent) {
      // EAGAIN: the socket is full. EINTR: a signal of `published`, nothing was sent; POLLOUT
      // comes at once.
      if (sent.error().code == EAGAIN || sent.error().code == EINTR) {
        Arm(context_.config.send_timeout);
        return false;
      }
      // EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH: the client is gone. ENOBUFS, ENOMEM: the
      // answer cannot be completed.
      Close();
      return false;
    }
    head_sent_ += *sent;
    sent_ += *sent;
    context_.counters.bytes_sent_memory += *sent;
  }
  if (response_.file != nullptr) {
    Enter(State::kSendingBody);
  } else {
    FinishResponse();
  }
  return true;
}

bool Connection::SendBody() {
  if ((!in_slice_ && response_.length > body_budget_) || body_budget_ == 0) {
    body_wait_ = BodyWait::kTurn;
    context_.send_queue.Add(*this);
    return false;
  }
  if (transfer_ == nullptr) {
    transfer_ =
        context_.backend.Start({socket_, response_.file, response_.offset, response_.length, this});
  }
  const Result<Transfer::Outcome> outcome = transfer_->Pump(body_budget_);
  const uint64_t progress = transfer_->sent() - body_sent_;
  body_sent_ += progress;
  sent_ += progress;
  body_budget_ -= std::min(body_budget_, progress);
  if (!outcome) {
    const int code = outcome.error().code;
    // A client that leaves in the middle is its own affair; a file that fails is ours.
    if (code == EPIPE || code == ECONNRESET || code == ETIMEDOUT) {
      context_.log.Debug("{}: {}", peer_.ToString(), ToString(outcome.error()));
    } else {
      context_.log.Error("{} after {} of {} bytes of \"{}\" for {}; the connection is closed",
                         ToString(outcome.error()), body_sent_, response_.length, request_->path,
                         peer_.ToString());
    }
    Close();
    return false;
  }
  switch (*outcome) {
    case Transfer::Outcome::kDone:
      FinishResponse();
      return true;
    case Transfer::Outcome::kSocketFull:
      body_wait_ = BodyWait::kSocket;
      Arm(context_.config.send_timeout);
      return false;
    case Transfer::Outcome::kWaiting:
      body_wait_ = BodyWait::kFile;
      timer_.Disarm();  // not the client's fault
      return false;
    case Transfer::Outcome::kYield:
      body_wait_ = BodyWait::kTurn;
      context_.send_queue.Add(*this);
      return false;
  }
  return false;
}

void Connection::FinishResponse() {
  AccountResponse(/*complete=*/true);
  transfer_.reset();
  response_.file.reset();
  if (!keep_alive_ || context_.draining) {
    // ENOTCONN: the client has reset the connection meanwhile.
    if (!context_.kernel.shutdown(fd(), SHUT_WR)) {
      Close();
      return;
    }
    Enter(State::kLingering);
  } else {
    Enter(State::kReadingHead);
  }
}

void Connection::AccountResponse(bool complete) {
  if (!std::exchange(responding_, false)) return;
  ++context_.counters.requests[static_cast<size_t>(response_.status)];
  if (!complete) ++context_.counters.responses_cut;
  if (!context_.access_log.enabled()) return;
  const uint64_t in_memory =
      head_sent_ > response_.head_bytes ? head_sent_ - response_.head_bytes : 0;
  const std::string host = peer_.Host();
  AccessRecord record;
  record.host = host;
  record.time = context_.kernel.clock_gettime(CLOCK_REALTIME).tv_sec;
  record.status = response_.status;
  record.body_bytes = in_memory + body_sent_;
  if (request_ != nullptr) {
    record.method = request_->method_name;
    record.target = request_->target;
    record.version_minor = request_->version_minor;
    record.referer = request_->referer;
    record.user_agent = request_->user_agent;
  }
  context_.access_log.Add(record);
}

// --- Time-outs and the end -----------------------------------------------------------------------

void Connection::Arm(std::chrono::milliseconds time) {
  if (state_ == State::kSendingHead || state_ == State::kSendingBody) {
    // EINVAL and the like cannot happen on a socket; without a figure every expiry counts.
    outq_ = context_.kernel.ioctl_outq(fd()).value_or(0);
  }
  context_.loop.timers().Arm(timer_, context_.loop.now() + time);
}

void Connection::OnTimer() {
  switch (state_) {
    case State::kReadingHead:
      if (!head_started_) {
        ++context_.counters.timeouts_idle;
        Close();
        return;
      }
      ++context_.counters.timeouts_header;
      request_ = nullptr;
      Refuse(408, "The request head took too long.");
      Drive(kInlineBodyBytes);
      return;
    case State::kSkippingBody:
      ++context_.counters.timeouts_header;
      Refuse(408, "The request's content took too long.");
      Drive(kInlineBodyBytes);
      return;
    case State::kSendingHead:
    case State::kSendingBody:
      OnSendTimer();
      return;
    case State::kLingering:
      Close();
      return;
    case State::kOpening:
    case State::kClosed:
      return;
  }
}

// POLLOUT comes only when a third of the socket's queue is free, which a slow client of a large
// queue may not manage in time although it reads: what counts is whether the queue got shorter.
void Connection::OnSendTimer() {
  const Result<int> outq = context_.kernel.ioctl_outq(fd());
  if (outq && *outq < outq_) {
    Arm(context_.config.send_timeout);
    return;
  }
  ++context_.counters.timeouts_send;
  Abort();
}

void Connection::Close() { CloseWith(/*reset=*/false); }

// With a reset the kernel drops the queue of a client that does not read, at once.
void Connection::Abort() { CloseWith(/*reset=*/true); }

void Connection::CloseWith(bool reset) {
  if (state_ == State::kClosed) return;
  AccountResponse(/*complete=*/false);
  context_.send_queue.Remove(*this);
  transfer_.reset();
  registration_.Reset();
  if (reset) {
    const linger at_once{1, 0};
    // Best effort: without it the close is an ordinary one.
    (void)context_.kernel.setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  // A worker that is inside sendfile() keeps the descriptor; the client is told now.
  if (socket_.use_count() > 1) (void)context_.kernel.shutdown(fd(), SHUT_RDWR);
  socket_.reset();
  context_.readers.GiveBack(std::move(reader_));
  request_ = nullptr;
  response_ = Response();
  Enter(State::kClosed);
  context_.owner.OnConnectionClosed(*this);
}

}  // namespace pollux
