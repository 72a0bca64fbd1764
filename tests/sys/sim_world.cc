#include "tests/sys/sim_world.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace pollux {
namespace {

// Reads as a blocking peer does: the thread that plays it sleeps until there is something.
class SimPeer final : public Peer {
 public:
  SimPeer(sim::Scheduler& scheduler, std::shared_ptr<sim::Connection> connection)
      : scheduler_(scheduler), connection_(std::move(connection)) {}
  ~SimPeer() override { SimPeer::Close(); }

  void Send(std::string_view bytes) override {
    scheduler_.BeforeWorldStep("peer sends");
    connection_->PeerSend(bytes);
  }
  std::string Receive(size_t count) override {
    std::string bytes;
    const Arrived arrived(*connection_);
    scheduler_.BeforeWorldStep("peer looks");
    while (bytes.size() < count && !connection_->peer_ended()) {
      scheduler_.Sleep("peer receives", sim::Footprint::Everything(), &arrived, sim::kNever);
      bytes += connection_->PeerTake(count - bytes.size());
    }
    return bytes;
  }
  void HalfClose() override {
    scheduler_.BeforeWorldStep("peer ends its stream");
    connection_->PeerHalfClose();
  }
  void Reset() override {
    scheduler_.BeforeWorldStep("peer resets");
    connection_->PeerReset();
    closed_ = true;
  }
  void Close() override {
    if (std::exchange(closed_, true)) return;
    scheduler_.BeforeWorldStep("peer closes");
    connection_->PeerClose();
  }

 private:
  class Arrived final : public sim::Condition {
   public:
    explicit Arrived(const sim::Connection& connection) : connection_(connection) {}
    bool Holds() const override {
      return connection_.peer_available() > 0 || connection_.peer_ended();
    }

   private:
    const sim::Connection& connection_;
  };

  sim::Scheduler& scheduler_;
  std::shared_ptr<sim::Connection> connection_;
  bool closed_ = false;
};

}  // namespace

SimWorld::SimWorld() : kernel_(chooser_, resources_, {}) {}

void SimWorld::Run(const std::function<void()>& body) {
  EXPECT_TRUE(kernel_.Run(body)) << kernel_.scheduler().violation()->text;
}

std::string SimWorld::MakeFile(size_t size) {
  kernel_.scheduler().BeforeWorldStep("a file is made");
  std::string path = "/scratch/" + std::to_string(files_++);
  kernel_.AddFile(path, std::make_shared<std::string>(FileBytes(0, size)));
  return path;
}

void SimWorld::Truncate(const std::string& path, size_t size) {
  kernel_.scheduler().BeforeWorldStep("a file is cut off");
  kernel_.Truncate(path, size);
}

void SimWorld::AwaitAsleep(pid_t tid) {
  class Asleep final : public sim::Condition {
   public:
    Asleep(const sim::Scheduler& scheduler, pid_t tid) : scheduler_(scheduler), tid_(tid) {}
    bool Holds() const override {
      const auto& threads = scheduler_.threads();
      return std::any_of(threads.begin(), threads.end(), [this](const auto& thread) {
        return thread->tid == tid_ && thread->state == sim::SimThread::State::kAsleep;
      });
    }

   private:
    const sim::Scheduler& scheduler_;
    const pid_t tid_;
  };

  sim::Scheduler& scheduler = kernel_.scheduler();
  scheduler.BeforeWorldStep("a look at a thread");
  scheduler.WaitFor("a thread sleeps", sim::Footprint::Everything(), Asleep(scheduler, tid));
}

std::unique_ptr<Peer> SimWorld::Connect(const sockaddr_storage& address) {
  kernel_.scheduler().BeforeWorldStep("peer connects");
  auto connection = kernel_.ConnectTo(address);
  CHECK(connection != nullptr);
  return std::make_unique<SimPeer>(kernel_.scheduler(), std::move(connection));
}

}  // namespace pollux
