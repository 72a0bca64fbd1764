// A client that says what its script has it say, and keeps what it is answered.
#pragma once

#include <memory>
#include <string>

#include "fakes/kernel/sim_kernel.h"
#include "fakes/scenarios/conversation_script.h"

namespace pollux::sim {

class Talker {
 public:
  Talker(SimKernel& kernel, ClientScript script);
  Talker(const Talker&) = delete;
  Talker& operator=(const Talker&) = delete;

  const ClientScript& script() const { return script_; }
  const std::string& sent() const { return sent_; }
  const std::string& received() const { return received_; }
  // It left without waiting for its answers.
  bool left() const { return left_; }
  // It has shut its sending side, and takes what is still to come.
  bool shut() const { return shut_; }
  bool finished() const;
  // It has said everything and taken everything, and the connection is open: the server's turn.
  bool waiting() const;

 private:
  // Two actors, so that answers come in while it still speaks. What they touch is not told apart:
  // conversations are too large for every order.
  class Speaker final : public Actor {
   public:
    explicit Speaker(Talker& talker) : talker_(talker) {}
    bool Enabled() const override { return talker_.MaySpeak(); }
    TimePoint not_before() const override { return talker_.not_before_; }
    Footprint footprint() const override { return Footprint::Everything(); }
    const char* label() const override { return "client speaks"; }
    void Happen() override { talker_.Speak(); }

   private:
    Talker& talker_;
  };
  class Taker final : public Actor {
   public:
    explicit Taker(Talker& talker) : talker_(talker) {}
    bool Enabled() const override { return talker_.MayTake(); }
    Footprint footprint() const override { return Footprint::Everything(); }
    const char* label() const override { return "client takes bytes"; }
    void Happen() override;

   private:
    Talker& talker_;
  };
  // Actors are known to the scheduler for as long as they exist.
  struct Membership {
    Membership(Scheduler& known_to, Actor& it) : scheduler(known_to), actor(it) {
      scheduler.AddActor(actor);
    }
    ~Membership() { scheduler.RemoveActor(actor); }
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    Scheduler& scheduler;
    Actor& actor;
  };

  bool spoken() const { return connection_ != nullptr && next_ > script_.acts.size(); }
  bool MaySpeak() const;
  bool MayTake() const;
  void Speak();
  void Do(const Act& act);
  void Shut();

  SimKernel& kernel_;
  const ClientScript script_;
  std::shared_ptr<Connection> connection_;
  size_t next_ = 0;  // act; one more than there are stands for the end of all
  std::string sent_;
  std::string received_;
  bool left_ = false;
  bool shut_ = false;
  TimePoint not_before_ = TimePoint::min();
  Speaker speaker_;
  Taker taker_;
  Membership speaking_;
  Membership taking_;
};

}  // namespace pollux::sim
