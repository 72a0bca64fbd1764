#include "fakes/scenarios/talker.h"

#include <csignal>
#include <utility>

namespace pollux::sim {
namespace {

constexpr size_t kBytesAtATime = 16 * 1024;

}  // namespace

Talker::Talker(SimKernel& kernel, ClientScript script)
    : kernel_(kernel),
      script_(std::move(script)),
      speaker_(*this),
      taker_(*this),
      speaking_(kernel.scheduler(), speaker_),
      taking_(kernel.scheduler(), taker_) {}

bool Talker::finished() const { return spoken() && (left_ || connection_->peer_ended()); }

bool Talker::waiting() const {
  return spoken() && !left_ && connection_->peer_available() == 0 && !connection_->peer_ended();
}

bool Talker::MaySpeak() const {
  if (connection_ == nullptr) return kernel_.listening();
  if (spoken()) return false;
  if (next_ == script_.acts.size()) return true;
  const Act::Kind kind = script_.acts[next_].kind;
  // Until the server has said what to do with it, a signal ends the process.
  return (kind != Act::Kind::kTerminate && kind != Act::Kind::kHangup) ||
         kernel_.signals().Handles(SIGHUP);
}

bool Talker::MayTake() const {
  if (connection_ == nullptr || left_ || connection_->peer_available() == 0) return false;
  return !script_.late || spoken();
}

void Talker::Speak() {
  if (connection_ == nullptr) {
    connection_ = kernel_.ConnectToListener();
    return;
  }
  const bool last = next_ >= script_.acts.size();
  if (!last) {
    Do(script_.acts[next_]);
  } else if (!left_ && !script_.stays && !connection_->peer_ended()) {
    Shut();
  }
  ++next_;
}

void Talker::Shut() {
  shut_ = true;
  connection_->PeerHalfClose();
}

void Talker::Do(const Act& act) {
  switch (act.kind) {
    case Act::Kind::kSend:
      sent_ += act.bytes;
      connection_->PeerSend(act.bytes);
      return;
    case Act::Kind::kPause:
      not_before_ = kernel_.scheduler().now() + kScriptPause;
      return;
    case Act::Kind::kTerminate:
      kernel_.signals().SendToProcess(SIGTERM);
      return;
    case Act::Kind::kHangup:
      kernel_.signals().SendToProcess(SIGHUP);
      return;
    case Act::Kind::kHalfClose:
      Shut();
      return;
    case Act::Kind::kClose:
      left_ = true;
      connection_->PeerClose();
      return;
    case Act::Kind::kReset:
      left_ = true;
      connection_->PeerReset();
      return;
  }
}

void Talker::Taker::Happen() { talker_.received_ += talker_.connection_->PeerTake(kBytesAtATime); }

}  // namespace pollux::sim
