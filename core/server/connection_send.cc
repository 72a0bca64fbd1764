// Of a connection: from a response to its last byte.
#include "core/server/connection.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pollux {

void Connection::Respond(Response response) {
  response_ = std::move(response);
  if (response_.ends_connection) keep_alive_ = false;
  response_began_ = sent_;
  head_sent_ = 0;
  body_sent_ = 0;
  responding_ = true;
  Enter(State::kSendingHead);
}

// What is wholly in memory goes through the output, which is sent when there is no other request to
// answer: pipelined answers leave in one write. False if this answer has to be sent by itself.
bool Connection::GatherOutput() {
  std::string& bytes = response_.bytes;
  if (response_.file != nullptr || response_.rest != nullptr || bytes.size() > kOutputBytes) {
    return false;
  }
  context_.output.append(bytes, head_sent_);
  sent_ += bytes.size() - head_sent_;
  head_sent_ = bytes.size();
  return backlog_.empty() && context_.output.size() < kOutputBytes && AnotherRequestIsHere();
}

// Whether the next step answers another request, whatever comes from the client: its head is whole
// and this turn still has room for it.
bool Connection::AnotherRequestIsHere() const {
  if (!keep_alive_ || context_.draining || reader_ == nullptr) return false;
  if (requests_this_turn_ >= kRequestsPerTurn) return false;
  const std::string_view input = reader_->input.bytes();
  // An empty line in front is skipped by the parser, which may then find no whole head.
  return !input.empty() && input.front() != '\r' && input.find("\r\n\r\n") != input.npos;
}

// False if the socket did not take it all, or failed: then the connection is closed.
bool Connection::SendOutput() {
  std::string& output = context_.output;
  if (!backlog_.empty()) {
    backlog_ += output;
    output.clear();
  }
  std::string& bytes = backlog_.empty() ? output : backlog_;
  if (bytes.empty()) return true;
  const Result<size_t> sent = context_.kernel.send(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
  // EAGAIN: the socket is full. EINTR: a signal of `published`, nothing was sent; POLLOUT comes at
  // once.
  if (!sent && sent.error().code != EAGAIN && sent.error().code != EINTR) {
    // EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH: the client is gone. ENOBUFS, ENOMEM: the answer
    // cannot be completed.
    Close();
    return false;
  }
  const size_t taken = sent.value_or(0);
  context_.counters.bytes_sent_memory += taken;
  if (taken == bytes.size()) {
    output.clear();
    backlog_ = std::string();
    return true;
  }
  bytes.erase(0, taken);
  if (&bytes == &output) {
    backlog_ = output;
    output.clear();
  }
  return false;
}

bool Connection::SendHead() {
  if (GatherOutput()) {
    FinishResponse();
    return true;
  }
  if (!SendOutput()) {
    if (state_ == State::kSendingHead) Arm(context_.config.send_timeout);
    return false;
  }
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
  if (response_.file != nullptr || response_.rest != nullptr) {
    Enter(State::kSendingBody);
  } else {
    FinishResponse();
  }
  return true;
}

// False. The time until the turn comes is the server's: it does not count against the client, whose
// queue may be empty all the while.
bool Connection::WaitForTurn() {
  body_wait_ = BodyWait::kTurn;
  timer_.Disarm();
  context_.send_queue.Add(*this);
  return false;
}

// The next piece of a content that has several takes the place of the one that was sent.
bool Connection::NextPiece() {
  if (body_budget_ == 0) {
    return WaitForTurn();
  }
  const Result<ContentSource::Outcome> outcome = response_.rest->Next(response_, *this);
  if (!outcome) {
    Complain(outcome.error(), "in the middle of \"" + request_->path + "\" for " +
                                  peer_.ToString() + ": the connection is closed");
    Abort();  // without a length, only a reset says that this was not the end
    return false;
  }
  switch (*outcome) {
    case ContentSource::Outcome::kPiece:
      body_budget_ -= std::min<uint64_t>(body_budget_, response_.bytes.size());
      head_sent_ = 0;
      body_sent_ = 0;
      Enter(State::kSendingHead);
      return true;
    case ContentSource::Outcome::kWaiting:
      body_wait_ = BodyWait::kFile;
      timer_.Disarm();  // not the client's fault
      return false;
    case ContentSource::Outcome::kEnd:
      response_.rest.reset();
      FinishResponse();
      return true;
  }
  return false;
}

// The listening socket has handed down --max-unsent; another bound is set only where there are so
// many answers that each gets less, or got less the last time.
void Connection::BoundUnsent() {
  if (response_.length <= kUnsentBytesMin) return;
  const Config& config = context_.config;
  const uint64_t share =
      UnsentShare(context_.sending, config.unsent_total_bytes, config.unsent_bytes_max);
  if (share == unsent_share_) return;
  const int bytes = static_cast<int>(share);
  // What is the matter with a socket, the next send says: it only keeps its bound here.
  if (context_.kernel.setsockopt(fd(), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof bytes)) {
    unsent_share_ = share;
  }
}

bool Connection::SendBody() {
  if (response_.file == nullptr) return NextPiece();
  if ((!in_slice_ && response_.length > body_budget_) || body_budget_ == 0) {
    return WaitForTurn();
  }
  if (transfer_ == nullptr) {
    BoundUnsent();
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
      Complain(outcome.error(), "after " + std::to_string(body_sent_) + " of " +
                                    std::to_string(response_.length) + " bytes of \"" +
                                    request_->path + "\" for " + peer_.ToString() +
                                    ": the connection is closed");
    }
    Close();
    return false;
  }
  switch (*outcome) {
    case Transfer::Outcome::kDone:
      transfer_.reset();
      response_.file.reset();
      if (response_.rest != nullptr) return NextPiece();
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
      return WaitForTurn();
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
  // Of an answer that is cut, its part of what was gathered and never sent does not count.
  const uint64_t gathered = sent_ - response_began_;
  const uint64_t lost =
      complete ? 0 : backlog_.size() + (driving_ ? context_.output.size() : size_t{0});
  const uint64_t answered = gathered - std::min(gathered, lost);
  const std::string host = peer_.Host();
  AccessRecord record;
  record.host = host;
  record.time = context_.kernel.clock_gettime(CLOCK_REALTIME).tv_sec;
  record.status = response_.status;
  record.body_bytes = answered - std::min(answered, response_.head_bytes);
  if (request_ != nullptr) {
    record.method = request_->method_name;
    record.target = request_->target;
    record.version = request_->version;
    record.referer = request_->referer;
    record.user_agent = request_->user_agent;
  }
  context_.access_log.Add(record);
}

}  // namespace pollux
