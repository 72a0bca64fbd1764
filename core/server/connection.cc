// Of a connection: its states, and who moves it from one to the next. What it does in each is in
// connection_read.cc, connection_answer.cc, connection_send.cc and connection_end.cc.
#include "core/server/connection.h"

#include <utility>

#include "core/base/check.h"

namespace pollux {

Connection::Connection(ConnectionContext& context, Fd socket, const SocketAddress& peer,
                       size_t slot)
    : context_(context),
      socket_(std::make_shared<Fd>(std::move(socket))),
      peer_(peer),
      slot_(slot),
      unsent_share_(context.config.unsent_bytes_max),
      timer_([this] { OnTimer(); }) {}

Connection::~Connection() = default;

Status Connection::Start() {
  Result<Registration> registration = context_.loop.Register(fd(), POLLIN, this);
  if (!registration) return Err(registration.error());
  registration_ = std::move(*registration);
  Arm(context_.config.idle_timeout);
  return {};
}

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
      return to == State::kReadingHead || to == State::kLingering ||
             to == State::kSendingHead;  // the next piece
    case State::kLingering:
    case State::kClosed:
      return false;
  }
  return false;
}

// The only writer of state_: what a state needs is set up here, its timer above all.
void Connection::Enter(State next) {
  CHECK(Allowed(state_, next));
  if (state_ == State::kSendingBody) --context_.sending;
  if (next == State::kSendingBody) ++context_.sending;
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
    case State::kSendingHead:
      break;  // what is sent at once needs no timer; the last one is set or disarmed on the way
    case State::kOpening:
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
    // A request that has arrived is answered: closing over it would be a reset.
    readable_ = true;
    Drive(kInlineBodyBytes);
    if (idle()) Close();
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
  // Answers that were to go with the next one, which has to wait for the outside world.
  if (!context_.output.empty()) SendOutput();
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
    if ((revents & POLLOUT) != 0) (void)WaitForTurn();
    return;
  }
  if (queued()) return;  // pipelined requests had their share; the queue goes on with them
  Drive(kInlineBodyBytes);
}

void Connection::OnTransferReady() {
  if (state_ == State::kSendingBody) context_.send_queue.Add(*this);
  if (state_ == State::kOpening) StartLateResponse();
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
    case State::kLingering:
      events = POLLIN;
      break;
    case State::kSkippingBody:
      events = backlog_.empty() ? POLLIN : POLLIN | POLLOUT;
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
    Complain(s.error(), "on descriptor " + std::to_string(fd()) + " for " + peer_.ToString() +
                            ": the connection is closed");
    Close();
  }
}

void Connection::Complain(const Error& error, const std::string& about) {
  context_.log.Error("{} {}{}", ToString(error), about, WhatToDo(error));
}

void Connection::ComplainOfOpen(const Error& error, const std::string& path) {
  const std::optional<uint64_t> held_back = context_.open_errors.Admit(error, context_.loop.now());
  if (!held_back) return;
  std::string about = "while opening \"" + path + "\"";
  if (*held_back > 0) about += " and " + std::to_string(*held_back) + " more times";
  Complain(error, about);
}

}  // namespace pollux
