// What happens around the process: signals from elsewhere, and clients.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {

// Something that happens once, at any moment at which `may` says yes (always, if there is none).
class Once final : public Actor {
 public:
  Once(SimKernel& kernel, const char* label, Footprint footprint, std::function<void()> happen,
       std::function<bool()> may = nullptr)
      : kernel_(kernel),
        label_(label),
        footprint_(footprint),
        happen_(std::move(happen)),
        may_(std::move(may)) {
    kernel_.scheduler().AddActor(*this);
  }
  ~Once() override { kernel_.scheduler().RemoveActor(*this); }

  bool happened() const { return happened_; }

  bool Enabled() const override { return !happened_ && (may_ == nullptr || may_()); }
  Footprint footprint() const override { return footprint_; }
  const char* label() const override { return label_; }
  void Happen() override {
    happened_ = true;
    happen_();
  }

 private:
  SimKernel& kernel_;
  const char* label_;
  const Footprint footprint_;
  const std::function<void()> happen_;
  const std::function<bool()> may_;
  bool happened_ = false;
};

// A client that gets one file over HTTP: connects, asks, takes the answer, leaves.
class Client final : public Actor {
 public:
  struct Order {
    std::string path;                            // of the request
    std::shared_ptr<const std::string> content;  // what it should get
    size_t bytes_at_a_time = 16 * 1024;
    Nanoseconds pause{0};  // before it takes bytes: a late reader
  };
  Client(SimKernel& kernel, Order order);
  ~Client() override;

  bool finished() const { return phase_ == Phase::kFinished; }
  // It has asked, and there is nothing for it to take: the server's turn.
  bool waiting() const;
  // Why what it got is wrong; empty if it is right. When finished.
  std::string Complaint() const;
  uint64_t received() const { return received_.size(); }

  bool Enabled() const override;
  TimePoint not_before() const override { return not_before_; }
  Footprint footprint() const override;
  const char* label() const override;
  void Happen() override;

 private:
  enum class Phase { kConnecting, kAsking, kTaking, kFinished };

  void Take();
  bool Complete() const;

  SimKernel& kernel_;
  const Order order_;
  Phase phase_ = Phase::kConnecting;
  std::shared_ptr<Connection> connection_;
  std::string received_;
  TimePoint not_before_ = TimePoint::min();
};

}  // namespace pollux::sim
