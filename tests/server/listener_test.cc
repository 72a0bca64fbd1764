// The listener: bounded accepts, each errno of accept4, and patience without spinning.
#include "core/server/listener.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>

#include "core/server/error_advice.h"
#include "tests/server/live_server.h"

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class ListenerTest : public LiveServer {
 protected:
  void SetUp() override { StartServer(); }
  std::vector<std::unique_ptr<Client>> ConnectMany(int count) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(address_));
    return clients;
  }
  uint64_t accept_calls() const { return kernel_.accept4_calls.count; }
  // What the loop would be woken for if it slept now.
  size_t ReadyNow() {
    FdReady ready[8];
    return coordination_->Wait(ready, Nanoseconds(0)).value_or(99);
  }
};

TEST_F(ListenerTest, AcceptsABoundedNumberATurn) {
  auto clients = ConnectMany(kAcceptsPerTurn + 10);
  Turn();
  EXPECT_EQ(connections_.size(), static_cast<size_t>(kAcceptsPerTurn));
  Turn();
  EXPECT_EQ(connections_.size(), clients.size());
  EXPECT_EQ(listener_->accepted(), clients.size());
}

TEST_F(ListenerTest, AcceptedSocketsDoNotBlockDelayOrHoard) {
  auto client = Connect();
  int found = 0;
  for (int fd = 3; fd < 200; ++fd) {
    int on = 0;
    socklen_t size = sizeof on;
    SocketAddress local;
    socklen_t length = SocketAddress::kCapacity;
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) != 0 || on != 0) continue;
    if (::getsockname(fd, local.data(), &length) != 0 || local.port() != address_.port()) continue;
    ++found;
    ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &size), 0);
    EXPECT_NE(on, 0);
    int unsent = 0;
    ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, &size), 0);
    EXPECT_EQ(unsent, static_cast<int>(kUnsentBytesMax));
    char byte = 0;
    EXPECT_EQ(::recv(fd, &byte, 1, 0), -1);
    EXPECT_EQ(errno, EAGAIN);
  }
  EXPECT_EQ(found, 1);
}

class AcceptErrorTest : public ListenerTest, public ::testing::WithParamInterface<int> {};
class PassingAcceptErrorTest : public AcceptErrorTest {};
class ShortageTest : public AcceptErrorTest {};

TEST_P(PassingAcceptErrorTest, TheNextConnectionIsAcceptedInTheSameTurn) {
  kernel_.accept4_calls.errors = {GetParam()};
  auto clients = ConnectMany(1);
  Turn();
  EXPECT_EQ(connections_.size(), 1u);
  EXPECT_EQ(listener_->shortages(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Accept4, PassingAcceptErrorTest,
                         ::testing::Values(ECONNABORTED, EINTR, EPERM, ENETDOWN, EPROTO,
                                           ENOPROTOOPT, EHOSTDOWN, ENONET, EHOSTUNREACH, EOPNOTSUPP,
                                           ENETUNREACH, ETIMEDOUT),
                         [](const auto& row) { return ErrnoName(row.param); });

TEST_P(ShortageTest, AcceptingPausesWithoutSpinningAndRecovers) {
  kernel_.accept4_calls.errors = std::deque<int>(3, GetParam());
  auto clients = ConnectMany(2);
  Turn();
  EXPECT_EQ(accept_calls(), 1u);
  // The clients are still in the backlog, and nothing calls accept4 or keeps the loop awake.
  for (int i = 0; i < 50; ++i) Turn();
  EXPECT_EQ(accept_calls(), 1u);
  EXPECT_EQ(ReadyNow(), 0u);
  EXPECT_EQ(connections_.size(), 0u);
  // Each pause ends in one more attempt.
  for (uint64_t attempt = 2; attempt <= 3; ++attempt) {
    PassTime(kAcceptBackoff + milliseconds(2));
    Turn();
    EXPECT_EQ(accept_calls(), attempt);
    EXPECT_EQ(listener_->shortages(), attempt);
  }
  PassTime(kAcceptBackoff + milliseconds(2));
  Turn();
  EXPECT_EQ(connections_.size(), 2u);
  // Told once, with what to do.
  const std::string& told = kernel_.written[2];
  EXPECT_EQ(told.find(ErrnoName(GetParam())), told.rfind(ErrnoName(GetParam()))) << told;
  EXPECT_THAT(told, HasSubstr(WhatToDo({GetParam(), "accept4"})));
}

// 4095: an errno that accept(2) does not list.
INSTANTIATE_TEST_SUITE_P(Accept4, ShortageTest,
                         ::testing::Values(EMFILE, ENFILE, ENOBUFS, ENOMEM, 4095),
                         [](const auto& row) { return "Errno" + std::to_string(row.param); });

TEST_F(ListenerTest, RunningConnectionsAreServedDuringAShortage) {
  auto client = Connect();
  kernel_.accept4_calls.errors = {EMFILE};
  auto waiting = ConnectMany(1);
  Turn();
  client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntilReceived(*client, "hello\n");
  EXPECT_EQ(connections_.size(), 1u);
}

TEST_F(ListenerTest, StopsWhenItsAcceptorHasEnoughAndResumes) {
  accept_more_ = false;
  auto clients = ConnectMany(3);
  Turn();
  EXPECT_EQ(connections_.size(), 1u);
  for (int i = 0; i < 20; ++i) Turn();
  EXPECT_EQ(connections_.size(), 1u);
  EXPECT_EQ(ReadyNow(), 0u);
  listener_->Resume();
  Turn();
  EXPECT_EQ(connections_.size(), 2u);
}

TEST_F(ListenerTest, ResumeDoesNotEndAShortagesPause) {
  kernel_.accept4_calls.errors = {EMFILE};
  auto clients = ConnectMany(1);
  Turn();
  listener_->Resume();
  Turn();
  EXPECT_EQ(accept_calls(), 1u);
}

TEST_F(ListenerTest, AListenerThatCannotBeWatchedTriesAgain) {
  accept_more_ = false;
  auto clients = ConnectMany(2);
  Turn();
  kernel_.epoll_ctl_calls.errors = {ENOMEM};
  listener_->Resume();
  Turn();
  EXPECT_EQ(connections_.size(), 1u);
  PassTime(kAcceptBackoff + milliseconds(2));
  Turn();
  EXPECT_EQ(connections_.size(), 2u);
}

// Told of clients turn after turn whom it does not accept, the loop would spin.
TEST_F(ListenerTest, WhoseEventsCannotBeChangedLeavesThePollSet) {
  accept_more_ = false;
  auto clients = ConnectMany(3);
  // A connection is registered, then the listener pauses.
  kernel_.epoll_ctl_calls.errors = {0, ENOMEM};
  Turn();
  EXPECT_TRUE(kernel_.epoll_ctl_calls.errors.empty());
  EXPECT_EQ(connections_.size(), 1u);
  EXPECT_EQ(ReadyNow(), 0u);
  listener_->Resume();
  Turn();
  EXPECT_EQ(connections_.size(), 2u);
}

TEST_F(ListenerTest, ClosedItRefusesClients) {
  listener_->Close();
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(fd, address_.data(), address_.size()), -1);
  EXPECT_EQ(errno, ECONNREFUSED);
  ::close(fd);
}

TEST_F(ListenerTest, AnAddressInUseIsRefused) {
  const Result<Fd> second = OpenListeningSocket(kernel_, address_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EADDRINUSE);
}

TEST_F(ListenerTest, ListensOnIpv6) {
  const Result<Fd> socket = OpenListeningSocket(kernel_, *SocketAddress::Parse("[::1]:0"));
  ASSERT_TRUE(socket) << ToString(socket.error());
  const Result<SocketAddress> bound = BoundAddress(kernel_, *socket);
  ASSERT_TRUE(bound);
  EXPECT_EQ(bound->Host(), "::1");
  EXPECT_NE(bound->port(), 0);
}

}  // namespace
}  // namespace pollux
