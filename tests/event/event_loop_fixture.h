// A loop whose waits, completions and clock are the test's.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/event/event_loop.h"
#include "fakes/mock_kernel.h"

namespace pollux {

class MockHandler : public FdeventHandler {
 public:
  MOCK_METHOD(const char*, name, (), (const, override));
  MOCK_METHOD(Status, Add, (int fd, uint32_t events, uint64_t token), (override));
  MOCK_METHOD(Status, Modify, (int fd, uint32_t events, uint64_t token), (override));
  MOCK_METHOD(void, Remove, (int fd), (override));
  MOCK_METHOD(Result<size_t>, Wait,
              (std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
               const sigset_t* sigmask),
              (override));
};

// Each Wait takes the next script entry; completions are collected from a queue.
class ScriptedCoordination final : public Coordination {
 public:
  CoordinationKind kind() const override { return CoordinationKind::kEventfd; }
  Status Start() override { return {}; }
  void Attach(io_context_t, unsigned) override {}
  Status BeforeSubmit(std::span<iocb*>) override { return {}; }
  void SubmitFailed(size_t) override {}
  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout) override {
    timeouts.push_back(timeout);
    if (on_wait) on_wait();
    if (error != 0) return Err(error, "wait");
    std::copy(reports.begin(), reports.end(), ready.begin());
    const size_t count = reports.size();
    reports.clear();
    return count;
  }
  size_t Collect(std::span<Completion> out) override {
    size_t count = 0;
    while (count < out.size() && !completions.empty()) {
      out[count++] = completions.back();
      completions.pop_back();
    }
    return count;
  }
  void Wake() override {}
  void Stop() override {}
  const CoordinationStats& stats() const override { return stats_; }

  std::function<void()> on_wait;
  int error = 0;
  std::vector<FdReady> reports;
  std::vector<Completion> completions;
  std::vector<std::optional<Nanoseconds>> timeouts;

 private:
  CoordinationStats stats_;
};

class Callback final : public FdeventCallback {
 public:
  explicit Callback(std::function<void(uint32_t)> call) : call_(std::move(call)) {}
  void OnFdevent(uint32_t revents) override { call_(revents); }

 private:
  std::function<void(uint32_t)> call_;
};

class NamedJob final : public Job {
 public:
  explicit NamedJob(std::function<void()> run) : run_(std::move(run)) {}
  void RunJob() override { run_(); }

 private:
  std::function<void()> run_;
};

class NamedSource final : public WakeSource {
 public:
  explicit NamedSource(std::function<void()> wake) : wake_(std::move(wake)) {}
  void OnWake() override { wake_(); }

 private:
  std::function<void()> wake_;
};

class EventLoopTest : public ::testing::Test, public CompletionHandler {
 protected:
  EventLoopTest() {
    ON_CALL(kernel_, clock_gettime).WillByDefault([this](clockid_t) {
      const auto ns = clock_.time_since_epoch().count();
      return timespec{ns / 1'000'000'000, ns % 1'000'000'000};
    });
    // Tokens as the loop chose them, so that a test can report a descriptor as ready.
    ON_CALL(handler_, Add).WillByDefault([this](int fd, uint32_t, uint64_t token) {
      tokens_[fd] = token;
      return Status();
    });
    loop_ = std::make_unique<EventLoop>(kernel_, handler_, coordination_);
    loop_->SetCompletionHandler(this);
  }

  void OnCompletion(const Completion& completion) override {
    Log("completion " + std::to_string(completion.event.res));
  }
  void Log(const std::string& what) { log_.push_back(what); }
  Callback Logging(const std::string& name) {
    return Callback([this, name](uint32_t) { Log(name); });
  }
  FdReady Ready(int fd, uint32_t revents = POLLIN) { return {tokens_.at(fd), revents}; }
  Registration Register(int fd, Callback& callback, uint32_t events = POLLIN) {
    auto registration = loop_->Register(fd, events, &callback);
    EXPECT_TRUE(registration);
    return std::move(*registration);
  }
  void Turn() { EXPECT_TRUE(loop_->RunOnce()); }
  Completion Completed(unsigned long res) {
    Completion completion;
    completion.event.res = res;
    completion.seen = clock_;
    return completion;
  }
  std::optional<Nanoseconds> LastTimeout() { return coordination_.timeouts.back(); }

  TimePoint clock_{std::chrono::seconds(1000)};
  ::testing::NiceMock<MockKernel> kernel_;
  ::testing::NiceMock<MockHandler> handler_;
  std::map<int, uint64_t> tokens_;
  ScriptedCoordination coordination_;
  std::vector<std::string> log_;
  std::unique_ptr<EventLoop> loop_;
};

}  // namespace pollux
