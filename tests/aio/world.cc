#include "tests/aio/world.h"

#include <chrono>
#include <utility>

namespace pollux {
namespace {

constexpr Nanoseconds kPatience = std::chrono::seconds(20);

}  // namespace

AioWorld::AioWorld(Kernel& kernel, CoordinationKind coordination)
    : kernel_(kernel), signals_(kernel), log_(kernel, 2, spdlog::level::err) {
  auto handler = MakeEpollHandler(kernel);
  CHECK(handler);
  handler_ = std::move(*handler);
  auto made = MakeCoordination(coordination, kernel, *handler_, signals_);
  CHECK(made);
  coordination_ = std::move(*made);
  CHECK(coordination_->Start());
  loop_ = std::make_unique<EventLoop>(kernel, *handler_, *coordination_);
  workers_ = std::make_unique<WorkerPool>(kernel, *loop_, kWorkersMax);
}

AioWorld::~AioWorld() {
  workers_->Stop();
  coordination_->Stop();
  backend_.reset();
}

Backend& AioWorld::MakeBackendOf(const BackendOptions& options) {
  auto backend = MakeBackend(options, kernel_, *loop_, *workers_, log_, stats_);
  CHECK(backend);
  backend_ = std::move(*backend);
  return *backend_;
}

bool AioWorld::RunUntil(const std::function<bool()>& done) {
  bool late = false;
  Timer patience([&] { late = true; });
  loop_->timers().Arm(patience, MonotonicNow(kernel_) + kPatience);
  while (!done()) {
    const Status turn = loop_->RunOnce();
    if (late || !turn) {
      ADD_FAILURE() << (late ? "the loop has turned for twenty seconds in vain"
                             : ToString(turn.error()));
      return false;
    }
  }
  return true;
}

bool AioWorld::RunUntilIdle() {
  return RunUntil([this] { return workers_->queued() == 0 && stats_.reads_in_flight == 0; });
}

Sender::Sender(AioWorld& world, std::shared_ptr<Fd> socket, std::shared_ptr<OpenFile> file,
               uint64_t offset, uint64_t length)
    : world_(world), socket_(std::move(socket)) {
  auto registration = world.loop().Register(socket_->get(), 0, this);
  CHECK(registration);
  registration_ = std::move(*registration);
  transfer_ = world.backend().Start({socket_, std::move(file), offset, length, this});
  world.loop().Post(*this);
}

// The registration goes before the descriptor, which the transfer may hold on to.
Sender::~Sender() { registration_.Reset(); }

void Sender::OnTransferReady() {
  waiting_ = false;
  world_.loop().Post(*this);
}

void Sender::OnFdevent(uint32_t) {
  blocked_ = false;
  CHECK(registration_.SetEvents(0));
  Pump();
}

void Sender::Pump() {
  if (ended()) return;
  const auto outcome = transfer_->Pump(kTurnBytes);
  sent_ = transfer_->sent();
  if (!outcome) return End(Err(outcome.error()));
  switch (*outcome) {
    case Transfer::Outcome::kDone:
      return End({});
    case Transfer::Outcome::kSocketFull:
      blocked_ = true;
      CHECK(registration_.SetEvents(POLLOUT));
      return;
    case Transfer::Outcome::kWaiting:
      waiting_ = true;
      return;
    case Transfer::Outcome::kYield:
      world_.loop().Post(*this);
      return;
  }
}

void Sender::End(Status result) {
  result_ = result;
  registration_.Reset();
  transfer_.reset();
  socket_.reset();
}

Receiver::Receiver(AioWorld& world, Loopback& loopback, uint64_t bytes_per_turn)
    : loopback_(loopback), bytes_per_turn_(bytes_per_turn) {
  auto registration = world.loop().Register(loopback.peer_fd(), POLLIN, this);
  CHECK(registration);
  registration_ = std::move(*registration);
}

void Receiver::OnFdevent(uint32_t) {
  bytes_ += loopback_.ReadSome(bytes_per_turn_);
  if (loopback_.peer_ended()) registration_.Reset();
}

}  // namespace pollux
