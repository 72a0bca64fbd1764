// What the tests of the two coordinations with a helper thread share: a mock of the seam in which
// the helper's sleep, the signals and the clock are the test's to decide. Threads, mutexes and
// condition variables are real; the latter two count their use.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/event/coordination.h"
#include "core/sys/linux_kernel.h"
#include "fakes/mock_kernel.h"
#include "tests/event/real_loop.h"
#include "tests/event/scripted_handler.h"

namespace pollux {

// The completion ring of the test: the helper's sleep ends when the test puts something in.
class FakeRing {
 public:
  void Complete(std::vector<unsigned long> results) { Put({std::move(results), 0}); }
  void Fail(int code) { Put({{}, code}); }

  // From now on every sleep is over at once, as if by its time-out.
  void Close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // A sleep in io_getevents or io_pgetevents.
  Result<int> Sleep(io_event* events) {
    std::unique_lock lock(mutex_);
    ++sleeps_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return closed_ || !entries_.empty(); });
    if (entries_.empty()) return 0;
    const Entry entry = std::move(entries_.front());
    entries_.pop_front();
    if (entry.code != 0) return Err(entry.code, "io_getevents");
    for (size_t i = 0; i < entry.results.size(); ++i) events[i].res = entry.results[i];
    return static_cast<int>(entry.results.size());
  }

  // Returns once the helper has gone to sleep `count` times in all.
  void AwaitSleeps(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return sleeps_ >= count; });
  }
  int sleeps() {
    const std::lock_guard lock(mutex_);
    return sleeps_;
  }

 private:
  struct Entry {
    std::vector<unsigned long> results;
    int code = 0;
  };
  void Put(Entry entry) {
    const std::lock_guard lock(mutex_);
    entries_.push_back(std::move(entry));
    changed_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  int sleeps_ = 0;
  bool closed_ = false;
};

// Counts events of one kind, and lets the test wait for them.
class Counter {
 public:
  void Add() {
    const std::lock_guard lock(mutex_);
    ++count_;
    changed_.notify_all();
  }
  void Await(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return count_ >= count; });
  }
  int count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// `before_lock` runs first, on the thread that is about to lock.
class CountingMutex final : public Mutex {
 public:
  CountingMutex(std::unique_ptr<Mutex> inner, std::atomic<int>& locks,
                std::function<void()>& before_lock)
      : inner_(std::move(inner)), locks_(locks), before_lock_(before_lock) {}
  void lock() override {
    if (before_lock_) before_lock_();
    inner_->lock();
    ++locks_;
  }
  void unlock() override { inner_->unlock(); }
  Mutex& inner() { return *inner_; }

 private:
  std::unique_ptr<Mutex> inner_;
  std::atomic<int>& locks_;
  std::function<void()>& before_lock_;
};

class CountingCondVar final : public CondVar {
 public:
  CountingCondVar(std::unique_ptr<CondVar> inner, Counter& waits)
      : inner_(std::move(inner)), waits_(waits) {}
  void wait(Mutex& held) override {
    waits_.Add();  // under the mutex: who takes it afterwards finds the waiter waiting
    inner_->wait(static_cast<CountingMutex&>(held).inner());
  }
  void signal() override { inner_->signal(); }
  void broadcast() override { inner_->broadcast(); }

 private:
  std::unique_ptr<CondVar> inner_;
  Counter& waits_;
};

class HelperFixture : public ::testing::Test {
 protected:
  static constexpr unsigned kDepth = 4;
  static constexpr pid_t kPid = 100;

  explicit HelperFixture(CoordinationKind kind) {
    handler_.name_ = "poll";
    kernel_.DelegateTo(linux_);
    ON_CALL(kernel_, getpid).WillByDefault(::testing::Return(kPid));
    ON_CALL(kernel_, sigaction).WillByDefault(::testing::Return(Status()));
    ON_CALL(kernel_, mutex_create).WillByDefault([this] {
      return std::make_unique<CountingMutex>(linux_.mutex_create(), locks_, before_lock_);
    });
    ON_CALL(kernel_, condvar_create).WillByDefault([this] {
      return std::make_unique<CountingCondVar>(linux_.condvar_create(), parks_);
    });
    ON_CALL(kernel_, clock_gettime).WillByDefault([this](clockid_t) {
      const int64_t ns = clock_ns_;
      return timespec{ns / 1'000'000'000, ns % 1'000'000'000};
    });
    coordination_ = std::move(*MakeCoordination(kind, kernel_, handler_, signals_));
  }

  void Start() {
    ASSERT_TRUE(coordination_->Start());
    coordination_->Attach(ctx_, kDepth);
  }
  Status BeforeSubmit(size_t count) {
    std::array<iocb*, kDepth> pointers{};
    std::array<iocb, kDepth> iocbs{};
    for (size_t i = 0; i < count; ++i) pointers[i] = &iocbs[i];
    return coordination_->BeforeSubmit({pointers.data(), count});
  }
  Result<size_t> Wait(std::optional<Nanoseconds> timeout = std::nullopt) {
    return coordination_->Wait(ready_, timeout);
  }
  std::vector<unsigned long> Collect(size_t room = 8) {
    std::vector<Completion> out(room);
    out.resize(coordination_->Collect(out));
    std::vector<unsigned long> results;
    for (const Completion& completion : out) results.push_back(completion.event.res);
    return results;
  }
  // Once the helper sleeps for the `sleeps`th time: how often it has parked so far. Only the
  // difference tells something: it may or may not park before it hears of the first read.
  int ParksBeforeSleep(int sleeps) {
    ring_.AwaitSleeps(sleeps);
    return parks_.count();
  }
  void Pass(Nanoseconds time) { clock_ns_ += time.count(); }
  TimePoint now() const { return TimePoint(Nanoseconds(clock_ns_)); }

  SignalStateGuard restore_;
  LinuxKernel linux_;
  ::testing::NiceMock<MockKernel> kernel_;
  ScriptedHandler handler_;
  Signals signals_{kernel_};
  FakeRing ring_;
  std::atomic<int> locks_ = 0;
  std::function<void()> before_lock_;  // set it before the helper is made
  Counter parks_;                      // sleeps on the condition variable
  std::atomic<int64_t> clock_ns_ = 1'000'000'000'000;
  std::array<FdReady, 8> ready_;
  int context_ = 0;
  io_context_t ctx_ = reinterpret_cast<io_context_t>(&context_);
  std::unique_ptr<Coordination> coordination_;  // goes first: its helper uses the rest
};

}  // namespace pollux
