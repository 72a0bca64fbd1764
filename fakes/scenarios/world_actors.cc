#include "fakes/scenarios/world_actors.h"

#include <algorithm>
#include <charconv>

namespace pollux::sim {

Client::Client(SimKernel& kernel, Order order) : kernel_(kernel), order_(std::move(order)) {
  kernel_.scheduler().AddActor(*this);
}

Client::~Client() {
  if (!finished()) kernel_.scheduler().RemoveActor(*this);
}

bool Client::waiting() const {
  return phase_ == Phase::kTaking && connection_->peer_available() == 0 &&
         !connection_->peer_ended();
}

bool Client::Enabled() const {
  switch (phase_) {
    case Phase::kConnecting:
      return kernel_.listening() && (order_.may_connect == nullptr || order_.may_connect());
    case Phase::kAsking:
      return true;
    case Phase::kTaking:
      return !waiting();
    case Phase::kFinished:
      return false;
  }
  return false;
}

Footprint Client::footprint() const {
  if (connection_ == nullptr) return Footprint::Everything();
  Footprint touched;
  touched.Write(connection_->object());
  if (order_.pause > Nanoseconds::zero()) touched.Read(kClock);
  if (connection_->holds_frames()) touched.Write(kSharedMemory);
  return touched;
}

const char* Client::label() const {
  switch (phase_) {
    case Phase::kConnecting:
      return "client connects";
    case Phase::kAsking:
      return "client asks";
    default:
      return "client takes bytes";
  }
}

void Client::Happen() {
  switch (phase_) {
    case Phase::kConnecting:
      connection_ = kernel_.ConnectToListener();
      if (connection_ != nullptr) phase_ = Phase::kAsking;
      return;
    case Phase::kAsking:
      connection_->PeerSend("GET " + order_.path +
                            " HTTP/1.1\r\nHost: sim\r\nConnection: close\r\n\r\n");
      phase_ = Phase::kTaking;
      if (order_.pause > Nanoseconds::zero()) {
        not_before_ = kernel_.scheduler().now() + order_.pause;
      }
      return;
    case Phase::kTaking:
      Take();
      return;
    case Phase::kFinished:
      return;
  }
}

void Client::Take() {
  size_t count = order_.bytes_at_a_time;
  const bool leaves = order_.manner != Manner::kReadsAll;
  if (leaves) count = std::min<size_t>(count, order_.bytes_taken - received());
  Compare(connection_->PeerTake(count));
  if (order_.pause > Nanoseconds::zero()) not_before_ = kernel_.scheduler().now() + order_.pause;
  if (leaves && received() == order_.bytes_taken) {
    if (order_.manner == Manner::kResets) connection_->PeerReset();
    Finish();
  } else if (connection_->peer_ended()) {
    // Not before: it has asked for the end, and what comes before that counts.
    connection_->PeerClose();
    Finish();
  }
}

// What can happen is looked for before every step: those to whom nothing can are not asked.
void Client::Finish() {
  phase_ = Phase::kFinished;
  kernel_.scheduler().RemoveActor(*this);
  if (order_.on_finished != nullptr) order_.on_finished();
}

void Client::Compare(std::string_view bytes) {
  if (!HeadComplete()) {
    const size_t before = head_.size();
    head_.append(bytes);
    // The end may have begun in what came before.
    const size_t end = head_.find("\r\n\r\n", before - std::min<size_t>(before, 3));
    if (end == std::string::npos) return;
    head_.resize(end + 4);
    bytes.remove_prefix(head_.size() - before);
  }
  const std::string_view content = *order_.content;
  const std::string_view wanted =
      content.substr(std::min<size_t>(body_bytes_, content.size()), bytes.size());
  if (!wrong_ && !bytes.starts_with(wanted)) {
    for (size_t i = 0; i < wanted.size() && !wrong_; ++i) {
      const uint64_t at = body_bytes_ + i;
      const bool zeroed = at >= order_.zeroes_from && at < order_.zeroes_to && bytes[i] == 0;
      if (bytes[i] != wanted[i] && !zeroed) wrong_ = at;
    }
  }
  body_bytes_ += bytes.size();
}

std::string Client::Complaint() const {
  if (order_.manner != Manner::kReadsAll) return ComplaintOfBytes();
  if (!HeadComplete()) return "no whole head came";
  if (!head_.starts_with("HTTP/1.1 200 ")) return head_.substr(0, head_.find('\r'));
  if (const std::string wrong = ComplaintOfBytes(); !wrong.empty()) return wrong;
  if (body_bytes_ == order_.content->size()) return "";
  return std::to_string(body_bytes_) + " bytes came instead of " +
         std::to_string(order_.content->size());
}

std::string Client::ComplaintOfBytes() const {
  if (!head_.starts_with("HTTP/1.1 200 ")) return "";
  if (wrong_) return "byte " + std::to_string(*wrong_) + " of the body is wrong";
  const uint64_t size = order_.content->size();
  if (body_bytes_ <= size) return "";
  return std::to_string(body_bytes_ - size) + " bytes came after the last";
}

}  // namespace pollux::sim
