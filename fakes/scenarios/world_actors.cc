#include "fakes/scenarios/world_actors.h"

#include <algorithm>
#include <charconv>

namespace pollux::sim {

Client::Client(SimKernel& kernel, Order order) : kernel_(kernel), order_(std::move(order)) {
  kernel_.scheduler().AddActor(*this);
}

Client::~Client() { kernel_.scheduler().RemoveActor(*this); }

bool Client::waiting() const {
  return phase_ == Phase::kTaking && connection_->peer_available() == 0 &&
         !connection_->peer_ended();
}

bool Client::Enabled() const {
  switch (phase_) {
    case Phase::kConnecting:
      return kernel_.listening();
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
  received_ += connection_->PeerTake(order_.bytes_at_a_time);
  if (order_.pause > Nanoseconds::zero()) not_before_ = kernel_.scheduler().now() + order_.pause;
  if (!Complete() && !connection_->peer_ended()) return;
  phase_ = Phase::kFinished;
  connection_->PeerClose();
}

bool Client::Complete() const {
  const size_t body = received_.find("\r\n\r\n");
  if (body == std::string::npos) return false;
  return received_.size() >= body + 4 + order_.content->size();
}

std::string Client::Complaint() const {
  const size_t head = received_.find("\r\n\r\n");
  if (head == std::string::npos) return "no whole head came";
  if (!received_.starts_with("HTTP/1.1 200 ")) return received_.substr(0, received_.find('\r'));
  const std::string_view body = std::string_view(received_).substr(head + 4);
  const std::string_view wanted = *order_.content;
  const size_t common = std::min(body.size(), wanted.size());
  const auto differs =
      std::mismatch(body.begin(), body.begin() + static_cast<ptrdiff_t>(common), wanted.begin());
  if (differs.first != body.begin() + static_cast<ptrdiff_t>(common)) {
    return "byte " + std::to_string(differs.first - body.begin()) + " of the body is wrong";
  }
  if (body.size() == wanted.size()) return "";
  return std::to_string(body.size()) + " bytes came instead of " + std::to_string(wanted.size());
}

}  // namespace pollux::sim
