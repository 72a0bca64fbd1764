#include "core/server/send_queue.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/server/live_server.h"

namespace pollux {
namespace {

class TestEntry final : public SendQueue::Entry {
 public:
  TestEntry(SendQueue& queue, std::string& order, char name, uint64_t left)
      : queue_(queue), order_(order), name_(name), left_(left) {}
  uint64_t RunSlice(uint64_t bytes_max) override {
    order_ += name_;
    limits.push_back(bytes_max);
    const uint64_t sent = std::min(left_, bytes_max);
    left_ -= sent;
    if (then) {
      then();
    } else if (left_ > 0) {
      queue_.Add(*this);
    }
    return sent;
  }
  std::vector<uint64_t> limits;
  std::function<void()> then;

 private:
  SendQueue& queue_;
  std::string& order_;
  char name_;
  uint64_t left_;
};

class SendQueueTest : public LiveServer {
 protected:
  void SetUp() override { StartServer(); }
  std::unique_ptr<TestEntry> Make(char name, uint64_t left) {
    return std::make_unique<TestEntry>(*send_queue_, order_, name, left);
  }
  std::string order_;
};

TEST_F(SendQueueTest, EachIsServedOnceATurnUpToASlice) {
  auto a = Make('a', 10 * kSliceBytes), b = Make('b', kSliceBytes / 2);
  send_queue_->Add(*a);
  send_queue_->Add(*b);
  Turn();
  EXPECT_EQ(order_, "ab");
  EXPECT_EQ(a->limits, std::vector<uint64_t>{kSliceBytes});
  Turn();
  EXPECT_EQ(order_, "aba");
}

TEST_F(SendQueueTest, ATurnEndsWithItsBytesAndTheNextGoesOnBehind) {
  std::vector<std::unique_ptr<TestEntry>> entries;
  for (const char name : std::string("abcdef")) {
    entries.push_back(Make(name, 100 * kSliceBytes));
    send_queue_->Add(*entries.back());
  }
  static_assert(kTurnBytes == 2 * kSliceBytes);
  Turn();
  EXPECT_EQ(order_, "ab");
  Turn();
  EXPECT_EQ(order_, "abcd");
  Turn();
  EXPECT_EQ(order_, "abcdef");
  Turn();
  EXPECT_EQ(order_, "abcdefab");
}

TEST_F(SendQueueTest, AddingTwiceIsAddingOnce) {
  auto a = Make('a', 1);
  send_queue_->Add(*a);
  send_queue_->Add(*a);
  Turn();
  EXPECT_EQ(order_, "a");
  EXPECT_TRUE(send_queue_->empty());
}

TEST_F(SendQueueTest, WhatSendsNothingDoesNotKeepATurnGoing) {
  auto a = Make('a', 0);
  a->then = [&] { send_queue_->Add(*a); };
  send_queue_->Add(*a);
  Turn();
  EXPECT_EQ(order_, "a");
}

TEST_F(SendQueueTest, EntriesMayLeaveWhileATurnRuns) {
  auto a = Make('a', 1), b = Make('b', 1), c = Make('c', 1);
  for (TestEntry* entry : {a.get(), b.get(), c.get()}) send_queue_->Add(*entry);
  // The next, the last, and itself.
  a->then = [&] {
    b.reset();
    c.reset();
    a.reset();
  };
  Turn();
  EXPECT_EQ(order_, "a");
  EXPECT_TRUE(send_queue_->empty());
}

TEST_F(SendQueueTest, OneThatIsAddedWhileATurnRunsWaitsForTheNext) {
  auto a = Make('a', 1), b = Make('b', 1);
  a->then = [&] { send_queue_->Add(*b); };
  send_queue_->Add(*a);
  Turn();
  EXPECT_EQ(order_, "a");
  Turn();
  EXPECT_EQ(order_, "ab");
}

}  // namespace
}  // namespace pollux
