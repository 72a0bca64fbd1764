// A whole loop on a kernel of choice, with completions that the test decides on: an iocb of
// IOCB_CMD_POLL on a pipe completes when the test writes a byte into it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <libaio.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "core/base/check.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/raii.h"

namespace pollux {

// Signal masks and dispositions belong to the process: each test leaves them as they were.
class SignalStateGuard {
 public:
  SignalStateGuard() {
    pthread_sigmask(SIG_BLOCK, nullptr, &mask_);
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], nullptr, &actions_[i]);
  }
  ~SignalStateGuard() {
    // A signal that is still pending runs its empty or counting handler here, not the default.
    const sigset_t handled = Signals::Handled();
    pthread_sigmask(SIG_UNBLOCK, &handled, nullptr);
    pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &actions_[i], nullptr);
  }

 private:
  static constexpr std::array kSignals{SIGUSR1, SIGALRM, SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ};
  sigset_t mask_{};
  std::array<struct sigaction, kSignals.size()> actions_{};
};

class Pipe {
 public:
  Pipe() { CHECK(pipe2(fds_.data(), O_CLOEXEC | O_NONBLOCK) == 0); }
  ~Pipe() {
    close(fds_[0]);
    close(fds_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  int read_end() const { return fds_[0]; }
  int write_end() const { return fds_[1]; }
  void Write() { CHECK(write(fds_[1], "x", 1) == 1); }
  void Read() {
    char byte = 0;
    CHECK(read(fds_[0], &byte, 1) == 1);
  }

 private:
  std::array<int, 2> fds_{-1, -1};
};

// A "read" that completes when Complete is called, from any thread.
class TestRead {
 public:
  TestRead() { iocb_.data = this; }
  iocb* request() {
    io_prep_poll(&iocb_, pipe_.read_end(), POLLIN);
    iocb_.data = this;
    return &iocb_;
  }
  void Complete() { pipe_.Write(); }
  void Rewind() { pipe_.Read(); }  // so that it can be submitted again

 private:
  Pipe pipe_;
  iocb iocb_{};
};

class RealLoop final : public CompletionHandler {
 public:
  static constexpr unsigned kDepth = 16;

  RealLoop(Kernel& kernel, CoordinationKind kind, const std::string& handler)
      : kernel_(kernel), signals_(kernel) {
    if (handler == "poll") {
      handler_ = MakePollHandler(kernel);
    } else {
      auto made = MakeEpollHandler(kernel);
      CHECK(made);
      handler_ = std::move(*made);
    }
    auto made = MakeCoordination(kind, kernel, *handler_, signals_);
    CHECK(made);
    coordination_ = std::move(*made);
    CHECK(coordination_->Start());
    auto ctx = kernel.io_setup(kDepth);
    CHECK(ctx);
    ctx_ = *ctx;
    coordination_->Attach(ctx_, kDepth);
    loop_ = std::make_unique<EventLoop>(kernel, *handler_, *coordination_);
    loop_->SetCompletionHandler(this);
  }
  ~RealLoop() override {
    coordination_->Stop();
    CHECK(kernel_.io_destroy(ctx_));
  }

  EventLoop& loop() { return *loop_; }
  Coordination& coordination() { return *coordination_; }
  io_context_t ctx() const { return ctx_; }

  void Submit(TestRead& read) {
    iocb* request = read.request();
    CHECK(coordination_->BeforeSubmit({&request, 1}));
    CHECK(kernel_.io_submit(ctx_, 1, &request).value_or(0) == 1);
  }

  void OnCompletion(const Completion& completion) override {
    completed_.push_back(static_cast<TestRead*>(completion.event.data));
  }
  const std::vector<TestRead*>& completed() const { return completed_; }
  void Forget() { completed_.clear(); }

  // Turns until `count` reads have completed.
  void RunUntilCompleted(size_t count) {
    while (completed_.size() < count) ASSERT_TRUE(loop_->RunOnce());
  }

 private:
  Kernel& kernel_;
  SignalStateGuard restore_;
  Signals signals_;
  std::unique_ptr<FdeventHandler> handler_;
  std::unique_ptr<Coordination> coordination_;
  io_context_t ctx_ = nullptr;
  std::unique_ptr<EventLoop> loop_;
  std::vector<TestRead*> completed_;
};

}  // namespace pollux
