// Of a connection: time-outs, and its end.
#include "core/server/connection.h"

#include <algorithm>
#include <utility>

namespace pollux {

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
  backlog_ = std::string();
  if (driving_) context_.output.clear();
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
