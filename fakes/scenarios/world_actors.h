// What happens around the process: signals from elsewhere, and clients.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {

// Something that happens, at any moment at which `may` says yes (always, if there is none) but not
// before a time, once or several times. (That is one actor, not several: what cannot be told apart
// need not be tried in every order.)
class Event final : public Actor {
 public:
  Event(SimKernel& kernel, const char* label, Footprint footprint, std::function<void()> happen,
        std::function<bool()> may = nullptr, TimePoint not_before = TimePoint::min(), int times = 1,
        Lane lane = Lane::kWorld)
      : kernel_(kernel),
        label_(label),
        footprint_(footprint),
        happen_(std::move(happen)),
        may_(std::move(may)),
        not_before_(not_before),
        left_(times),
        lane_(lane) {
    if (not_before_ != TimePoint::min()) footprint_.Read(kClock);
    kernel_.scheduler().AddActor(*this);
  }
  ~Event() override { kernel_.scheduler().RemoveActor(*this); }

  bool happened() const { return happened_; }

  bool Enabled() const override { return left_ > 0 && (may_ == nullptr || may_()); }
  TimePoint not_before() const override { return not_before_; }
  Footprint footprint() const override { return footprint_; }
  const char* label() const override { return label_; }
  Lane lane() const override { return lane_; }
  void Happen() override {
    happened_ = true;
    --left_;
    happen_();
  }

 private:
  SimKernel& kernel_;
  const char* label_;
  Footprint footprint_;
  const std::function<void()> happen_;
  const std::function<bool()> may_;
  const TimePoint not_before_;
  int left_;
  const Lane lane_;
  bool happened_ = false;
};

// A client that asks for one file over HTTP. Each byte is compared as it comes.
class Client final : public Actor {
 public:
  enum class Manner {
    kReadsAll,     // takes the answer, and leaves
    kResets,       // having taken some of it, resets the connection
    kFallsSilent,  // having taken some of it, takes no more, and stays
  };
  struct Order {
    std::string path;                            // of the request
    std::shared_ptr<const std::string> content;  // what it should get
    // Linux zeroes the rest of a page in which a file is cut off in place, under sockets that refer
    // to it: these bytes may be zero as well, [from, to).
    size_t zeroes_from = 0;
    size_t zeroes_to = 0;
    size_t bytes_at_a_time = 16 * 1024;
    Nanoseconds pause{0};  // before it takes bytes: a late reader
    Manner manner = Manner::kReadsAll;
    size_t bytes_taken = 0;             // by one that does not take all, its answer's head included
    std::function<bool()> may_connect;  // null: at once
    std::function<void()> on_finished;  // called once
  };
  Client(SimKernel& kernel, Order order);
  ~Client() override;

  // Nothing more comes from it, nor of it. (One that fell silent is still connected.)
  bool finished() const { return phase_ == Phase::kFinished; }
  // It has asked, and there is nothing for it to take: the server's turn.
  bool waiting() const;
  // Why what it got is wrong; empty if it is right. When finished.
  std::string Complaint() const;
  // The same, for one whose answer need not have come, or not to its end: no byte may be wrong.
  std::string ComplaintOfBytes() const;
  uint64_t received() const { return head_.size() + body_bytes_; }

  bool Enabled() const override;
  TimePoint not_before() const override { return not_before_; }
  Footprint footprint() const override;
  const char* label() const override;
  Lane lane() const override { return Lane::kPeer; }
  void Happen() override;

 private:
  enum class Phase { kConnecting, kAsking, kTaking, kFinished };

  void Take();
  void Compare(std::string_view bytes);
  bool HeadComplete() const { return head_.ends_with("\r\n\r\n"); }
  void Finish();

  SimKernel& kernel_;
  const Order order_;
  Phase phase_ = Phase::kConnecting;
  std::shared_ptr<Connection> connection_;
  std::string head_;               // of the answer
  uint64_t body_bytes_ = 0;        // of it that came
  std::optional<uint64_t> wrong_;  // the first one that is not the content's
  TimePoint not_before_ = TimePoint::min();
};

}  // namespace pollux::sim
