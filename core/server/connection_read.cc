// Of a connection: what comes in, and what is dropped of it.
#include "core/server/connection.h"

#include <algorithm>
#include <cerrno>

namespace pollux {

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
  const Result<size_t> got = context_.kernel.recv(fd(), input.room(), InputBuffer::kBytes, 0);
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
    readable_ = false;
    if (state_ == State::kSkippingBody) {
      // Earlier answers may not be out yet: they are sent, and this one behind them.
      Refuse(400, "The request's content is incomplete.");
      return true;
    }
    // The client has finished, perhaps in the middle of a head: nobody to answer.
    Close();
    return false;
  }
  input.Filled(*got);
  // With a full buffer there may be more; poll reports it again when this turn's share is used up.
  readable_ = *got == InputBuffer::kBytes && ++receives_this_turn_ < kReceivesPerTurn;
  unparsed_ = true;
  if (!head_started_) {
    head_started_ = true;
    Arm(context_.config.header_timeout);
  }
  return true;
}

bool Connection::SkipBody() {
  // A client may want its earlier answers before it sends the rest.
  if (!backlog_.empty() && !SendOutput() && state_ == State::kClosed) return false;
  if (!unparsed_) return readable_ && ReceiveInput();
  InputBuffer& input = reader_->input;
  const http::BodySkipper::Outcome outcome = body_->Skip(input.bytes());
  input.Consume(outcome.consumed);
  switch (outcome.state) {
    case http::BodySkipper::State::kNeedMore:
      unparsed_ = false;
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

}  // namespace pollux
