// A step that touches what it did not declare ends the program: footprints are what the reductions
// of the search rest on.
#include "fakes/kernel/access.h"

#include <gtest/gtest.h>

#include <poll.h>

#include <memory>
#include <string>

#include "core/sys/raii.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

// Adds to an eventfd from outside of the process, and says of itself what it is told to.
class Outsider final : public Actor {
 public:
  Outsider(SimKernel& kernel, Footprint footprint, std::function<void()> happen)
      : kernel_(kernel), footprint_(footprint), happen_(std::move(happen)) {
    kernel_.scheduler().AddActor(*this);
  }
  ~Outsider() override { kernel_.scheduler().RemoveActor(*this); }
  bool Enabled() const override { return !happened_; }
  Footprint footprint() const override { return footprint_; }
  const char* label() const override { return "outsider comes"; }
  void Happen() override {
    happened_ = true;
    happen_();
  }

 private:
  SimKernel& kernel_;
  const Footprint footprint_;
  const std::function<void()> happen_;
  bool happened_ = false;
};

class AccessTest : public ::testing::Test {
 protected:
  // A signal comes from elsewhere while the process sleeps; the step declares `footprint`.
  void ReceiveASignalThatDeclares(const Footprint& footprint) {
    ASSERT_TRUE(kernel_.Run([&] {
      struct sigaction action {};
      action.sa_handler = [](int) {};
      ASSERT_TRUE(kernel_.sigaction(SIGALRM, action));
      const Outsider alarm(kernel_, footprint,
                           [this] { kernel_.signals().SendToProcess(SIGALRM); });
      EXPECT_FALSE(kernel_.poll(nullptr, 0, 1000));  // EINTR
    }));
  }

  Resources resources_;
  FirstChooser chooser_;
  SimKernel kernel_{chooser_, resources_, {}};
};
using AccessDeathTest = AccessTest;

TEST_F(AccessTest, StepThatDeclaresWhatItTouchesHappens) {
  ReceiveASignalThatDeclares(kernel_.signals().SendFootprint(SIGALRM));
}

TEST_F(AccessDeathTest, ActorThatTouchesMoreThanItDeclared) {
  EXPECT_DEATH(ReceiveASignalThatDeclares(Footprint()),
               "the step \"outsider comes\" reads the disposition of a signal .object 1. and did "
               "not declare it");
}

TEST_F(AccessDeathTest, ActorThatWritesWhatItDeclaredToRead) {
  const Footprint sends = kernel_.signals().SendFootprint(SIGALRM);
  EXPECT_DEATH(ReceiveASignalThatDeclares(Footprint{sends.reads | sends.writes, 0}),
               "the step \"outsider comes\" writes the process's pending signals");
}

TEST_F(AccessDeathTest, ThreadThatTouchesMoreThanItsCallDeclared) {
  EXPECT_DEATH((void)kernel_.Run([&] {
    kernel_.scheduler().BeforeStep("looks around", Footprint().Read(kClock));
    kernel_.AddFile("/f", std::make_shared<std::string>("x"));
  }),
               "the step \"looks around\" writes the names of files");
}

// A step that declares nothing is none, but may touch nothing either.
TEST_F(AccessDeathTest, ThreadThatDeclaredNothing) {
  EXPECT_DEATH((void)kernel_.Run([&] {
    kernel_.scheduler().BeforeStep("does nothing", Footprint());
    kernel_.AddFile("/f", std::make_shared<std::string>("x"));
  }),
               "the step \"does nothing\" writes the names of files");
}

// What a sleep waits for is looked at before each step of others.
TEST_F(AccessDeathTest, SleepThatWaitsForWhatItDidNotDeclare) {
  class PeerHasBytes final : public Condition {
   public:
    explicit PeerHasBytes(const Connection& connection) : connection_(connection) {}
    bool Holds() const override { return connection_.peer_available() > 0; }

   private:
    const Connection& connection_;
  };
  Frames frames(kernel_.scheduler().access(), kSharedMemory);
  const Connection connection(kernel_.scheduler(), frames, 100, 100);
  const PeerHasBytes there(connection);
  EXPECT_DEATH((void)kernel_.Run([&] {
    kernel_.scheduler().Sleep("waits", Footprint().Read(kClock), &there, kNever);
  }),
               "the step \"waits\" reads a connection");
}

// An order of two completions decides which of them fails, whatever context they are of.
TEST_F(AccessTest, ReadsThatMayFailDependOnEachOther) {
  SimOptions options;
  options.disk.faults = 1;
  SimKernel kernel(chooser_, resources_, options);
  EXPECT_TRUE(kernel.disk().FaultFootprint().DependsOn(kernel.disk().FaultFootprint()));
  EXPECT_TRUE(kernel_.disk().FaultFootprint().empty());
}

}  // namespace
}  // namespace pollux::sim
