// Of a connection: from a response to its last byte.
#include "core/server/connection.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pollux {

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

}  // namespace pollux
