// A story of registrations: two clients send; whichever is served first has the other unregistered,
// and a third registered in its place, in the same turn.
//
// What was collected for the place's last owner must not be given to the next one. Both descriptors
// may have been ready in the same wait: then the slot is the same, and only the generation differs.
#include <netinet/in.h>

#include <array>
#include <memory>
#include <string>

#include "core/base/check.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/raii.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

// One client, and the process's end of its connection.
class Visitor final : public FdeventCallback {
 public:
  Visitor(SimKernel& kernel, int listener, std::function<void(Visitor&)> on_event)
      : kernel_(kernel), on_event_(std::move(on_event)) {
    kernel_.scheduler().BeforeWorldStep("client connects");
    connection_ = kernel_.ConnectToListener();
    socket_ = Fd(kernel_, kernel_.accept4(listener, nullptr, nullptr, SOCK_NONBLOCK).value());
  }
  void Register(EventLoop& loop) {
    registration_ = std::move(loop.Register(socket_.get(), POLLIN, this).value());
  }
  void SendsAnyTime() {
    sends_ =
        std::make_unique<Event>(kernel_, "client sends", Footprint().Write(connection_->object()),
                                [this] { connection_->PeerSend("x"); });
  }
  void Leave() {
    registration_.Reset();
    socket_.Reset();
  }
  // Whether there is a byte: an event without one belongs to somebody else.
  bool Receive() {
    char byte = 0;
    return kernel_.recv(socket_.get(), &byte, 1, 0).has_value();
  }
  void OnFdevent(uint32_t) override { on_event_(*this); }

 private:
  SimKernel& kernel_;
  const std::function<void(Visitor&)> on_event_;
  std::shared_ptr<Connection> connection_;
  Fd socket_;
  Registration registration_;
  std::unique_ptr<Event> sends_;
};

// The loop: ends when the first visitor and the one after it were served.
void Main(SimKernel& kernel, CoordinationKind kind) {
  const Fd listener(kernel, kernel.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value());
  CHECK(kernel.listen(listener.get(), 4));
  const auto handler = kind == CoordinationKind::kPublished
                           ? MakePollHandler(kernel)
                           : std::move(MakeEpollHandler(kernel).value());
  Signals signals(kernel);
  const auto coordination = std::move(MakeCoordination(kind, kernel, *handler, signals).value());
  CHECK(coordination->Start());
  EventLoop loop(kernel, *handler, *coordination);
  std::array<std::unique_ptr<Visitor>, 3> visitors;
  int served = 0;
  const auto on_event = [&](Visitor& visitor) {
    if (!visitor.Receive()) {
      kernel.scheduler().Report("stale event", "a registration got the event of the one before it");
      return;
    }
    if (++served > 1) return;
    Visitor& other = &visitor == visitors[0].get() ? *visitors[1] : *visitors[0];
    other.Leave();
    visitors[2]->Register(loop);  // in the place of the other
    visitors[2]->SendsAnyTime();
  };
  for (auto& visitor : visitors) {
    visitor = std::make_unique<Visitor>(kernel, listener.get(), on_event);
  }
  for (int i = 0; i < 2; ++i) {
    visitors[i]->Register(loop);
    visitors[i]->SendsAnyTime();
  }
  while (served < 2) CHECK(loop.RunOnce());
  for (auto& visitor : visitors) visitor.reset();
  coordination->Stop();
}

}  // namespace

Outcome TellRecycledSlot(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener) {
  SimKernel kernel(chooser, resources, KernelOptions(options));
  Scheduler& scheduler = kernel.scheduler();
  scheduler.set_listener(listener);
  const bool ended = kernel.Run([&] { Main(kernel, options.coordination); });
  if (ended && !kernel.Leaks().empty()) scheduler.Report("leak", kernel.Leaks());
  return {scheduler.violation(), scheduler.steps(), scheduler.trace_hash(), 0};
}

}  // namespace pollux::sim
