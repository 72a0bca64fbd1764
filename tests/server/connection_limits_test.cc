// Time-outs, at and below their limits, and every errno of the calls a connection makes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/live_server.h"

namespace pollux {
namespace {

using State = Connection::State;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kGet[] = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr milliseconds kMargin{50};  // a tick of the wheel, and what the turns take

class ConnectionLimitsTest : public LiveServer {
 protected:
  void SetUp() override {
    config_.header_timeout = milliseconds(3000);
    config_.idle_timeout = milliseconds(5000);
    config_.send_timeout = milliseconds(7000);
    StartServer();
  }
  State StateOf(size_t i) {
    return connections_[i] == nullptr ? State::kClosed : connections_[i]->state();
  }
  // A client that got its answer's head and reads no further, its socket full.
  std::unique_ptr<Client> ConnectNonReader() {
    WriteFile("big", std::string(20'000'000, 'x'));
    auto client = Connect(/*receive_buffer=*/4096);
    client->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    TurnUntil([&] { return !backend_.pumped.empty() && send_queue_->empty(); }, "a full socket");
    return client;
  }
};

TEST_F(ConnectionLimitsTest, AnIdleConnectionIsClosedInSilence) {
  auto client = Connect();
  PassTime(config_.idle_timeout - kMargin);
  EXPECT_EQ(StateOf(0), State::kReadingHead);
  PassTime(2 * kMargin);
  EXPECT_EQ(StateOf(0), State::kClosed);
  client->Receive();
  EXPECT_TRUE(client->eof);
  EXPECT_EQ(client->received, "");
  EXPECT_EQ(counters_.timeouts_idle, 1u);
}

TEST_F(ConnectionLimitsTest, IdleTimeStartsAgainAfterAnAnswer) {
  auto client = Connect();
  PassTime(config_.idle_timeout - kMargin);
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  PassTime(config_.idle_timeout - kMargin);
  EXPECT_EQ(StateOf(0), State::kReadingHead);
  PassTime(2 * kMargin);
  EXPECT_EQ(StateOf(0), State::kClosed);
}

TEST_F(ConnectionLimitsTest, AHeadHasItsTimeFromItsFirstByteNotPerByte) {
  auto client = Connect();
  const std::string head(kGet);
  const int drips = 10;
  const milliseconds pause = config_.header_timeout / drips;
  client->Send(head.substr(0, 1));
  Turn();
  for (int i = 1; i < drips; ++i) {
    PassTime(pause - milliseconds(1));
    client->Send(head.substr(static_cast<size_t>(i), 1));
    Turn();
    ASSERT_EQ(StateOf(0), State::kReadingHead) << i;
  }
  PassTime(pause + kMargin);
  TurnUntilReceived(*client, "HTTP/1.1 408 Request Timeout\r\n");
  TurnUntilEnd(*client);
  EXPECT_EQ(counters_.timeouts_header, 1u);
}

TEST_F(ConnectionLimitsTest, APipelinedHeadThatStopsHalfWayHasItsTimeToo) {
  auto client = Connect();
  client->Send(std::string(kGet) + "GET /a");
  TurnUntilReceived(*client, "hello\n");
  PassTime(config_.header_timeout + kMargin);
  TurnUntilReceived(*client, "HTTP/1.1 408 ");
}

TEST_F(ConnectionLimitsTest, ContentThatStopsHasItsTime) {
  auto client = Connect();
  client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345");
  Turn();
  Turn();
  EXPECT_EQ(StateOf(0), State::kSkippingBody);
  PassTime(config_.header_timeout + kMargin);
  TurnUntilReceived(*client, "HTTP/1.1 408 ");
}

TEST_F(ConnectionLimitsTest, AClientThatTakesNothingIsResetAfterTheSendTimeout) {
  auto client = ConnectNonReader();
  PassTime(config_.send_timeout - kMargin);
  EXPECT_EQ(StateOf(0), State::kSendingBody);
  PassTime(2 * kMargin);
  EXPECT_EQ(StateOf(0), State::kClosed);
  EXPECT_EQ(counters_.timeouts_send, 1u);
  EXPECT_EQ(counters_.responses_cut, 1u);
  EXPECT_EQ(backend_.alive, 0u);
  TurnUntilEnd(*client);
  EXPECT_EQ(client->error, ECONNRESET);
}

TEST_F(ConnectionLimitsTest, AClientThatTakesSomethingIsNotReset) {
  kernel_.outq = 1'000'000;
  auto client = ConnectNonReader();
  // The queue gets shorter, though not by so much that the socket becomes writable.
  for (int i = 1; i <= 5; ++i) {
    kernel_.outq = 1'000'000 - i;
    PassTime(config_.send_timeout + kMargin);
    ASSERT_EQ(StateOf(0), State::kSendingBody) << i;
  }
  PassTime(config_.send_timeout + kMargin);
  EXPECT_EQ(StateOf(0), State::kClosed);
}

// The socket was full once. Since then the client has taken all there was, and waits for more.
TEST_F(ConnectionLimitsTest, WaitingForItsTurnIsNotTheClientsFault) {
  auto client = ConnectNonReader();
  backend_.script.assign(100'000, {SteeredBackend::Then::kYield, 0});
  const size_t pumped = backend_.pumped.size();
  TurnUntil(
      [&] {
        client->Receive();
        return backend_.pumped.size() > pumped;
      },
      "a socket that is writable again");
  client->Receive();
  PassTime(config_.send_timeout + kMargin);
  EXPECT_EQ(StateOf(0), State::kSendingBody);
  EXPECT_EQ(counters_.timeouts_send, 0u);
}

TEST_F(ConnectionLimitsTest, WaitingForTheFileIsNotTheClientsFault) {
  auto client = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}};
  client->Send(kGet);
  TurnUntil([&] { return !backend_.waiting.empty(); }, "waiting");
  PassTime(config_.send_timeout + config_.idle_timeout + config_.header_timeout);
  EXPECT_EQ(StateOf(0), State::kSendingBody);
  backend_.waiting[0]->OnTransferReady();
  TurnUntilReceived(*client, "hello\n");
}

TEST_F(ConnectionLimitsTest, DrainingClosesIdleConnectionsAndEndsTheOthersAfterTheirAnswer) {
  auto idle = Connect();
  auto busy = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}};
  busy->Send(kGet);
  TurnUntil([&] { return !backend_.waiting.empty(); }, "waiting");
  context_->draining = true;
  connections_[0]->OnDrain();
  connections_[1]->OnDrain();
  EXPECT_EQ(StateOf(0), State::kClosed);
  EXPECT_EQ(StateOf(1), State::kSendingBody);
  backend_.waiting[0]->OnTransferReady();
  TurnUntilEnd(*busy);
  EXPECT_THAT(busy->received, HasSubstr("hello\n"));
}

TEST_F(ConnectionLimitsTest, DrainingAnswersARequestThatHasArrived) {
  auto client = Connect();
  Turn();
  client->Send(kGet);  // which the loop has not seen yet
  context_->draining = true;
  connections_[0]->OnDrain();
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, HasSubstr("hello\n"));
  EXPECT_TRUE(client->eof);
}

// --- errno by errno

TEST_F(ConnectionLimitsTest, RecvThatIsInterruptedOrEmptyIsTriedAgain) {
  auto client = Connect();
  for (const int code : {EAGAIN, EINTR}) {
    kernel_.recv_calls.errors = {code, code};
    client->received.clear();
    client->Send(kGet);
    TurnUntilReceived(*client, "hello\n");
  }
}

TEST_F(ConnectionLimitsTest, RecvThatFailsEndsTheConnection) {
  for (const int code : {ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENETDOWN, EPIPE, ENOMEM, ENOTCONN}) {
    auto client = Connect();
    kernel_.recv_calls.errors = {code};
    client->Send(kGet);
    TurnUntil([&] { return StateOf(connections_.size() - 1) == State::kClosed; }, "the close");
    client->Receive();
    EXPECT_EQ(client->received, "") << code;
  }
}

TEST_F(ConnectionLimitsTest, SendThatIsInterruptedOrFullIsTriedAgain) {
  auto client = Connect();
  for (const int code : {EAGAIN, EINTR}) {
    kernel_.send_calls.errors = {code, code, code};
    client->received.clear();
    client->Send(kGet);
    TurnUntilReceived(*client, "hello\n");
    EXPECT_THAT(client->received, StartsWith("HTTP/1.1 200 OK\r\n"));
  }
}

TEST_F(ConnectionLimitsTest, ShortSendsAndReceivesLoseNothing) {
  kernel_.send_calls.bytes_max = 1;
  kernel_.recv_calls.bytes_max = 1;
  auto client = Connect();
  client->Send(std::string(kGet) + "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntilReceived(*client, "</html>");
  EXPECT_THAT(client->received, HasSubstr("\r\n\r\nhello\nHTTP/1.1 404 Not Found\r\n"));
}

TEST_F(ConnectionLimitsTest, SendThatFailsEndsTheConnection) {
  for (const int code : {EPIPE, ECONNRESET, ETIMEDOUT, EHOSTUNREACH, ENOBUFS, ENOMEM}) {
    auto client = Connect();
    kernel_.send_calls.errors = {code};
    client->Send(kGet);
    TurnUntilEnd(*client);
    EXPECT_EQ(client->received, "") << code;
    EXPECT_EQ(StateOf(connections_.size() - 1), State::kClosed) << code;
  }
}

TEST_F(ConnectionLimitsTest, AClientThatIsGoneBeforeTheLingeringIsClosed) {
  auto client = Connect();
  kernel_.shutdown_calls.errors = {ENOTCONN};
  client->Send("GET /a.txt HTTP/1.0\r\n\r\n");
  TurnUntilEnd(*client);
  EXPECT_EQ(StateOf(0), State::kClosed);
}

TEST_F(ConnectionLimitsTest, AConnectionThatCannotBeWaitedForIsClosed) {
  auto client = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}};
  kernel_.epoll_ctl_calls.errors = {ENOMEM};
  client->Send(kGet);
  TurnUntilEnd(*client);
  EXPECT_EQ(StateOf(0), State::kClosed);
  EXPECT_THAT(kernel_.written[2], HasSubstr("ENOMEM"));
}

TEST_F(ConnectionLimitsTest, AResetAtAnyMomentIsSurvived) {
  WriteFile("big", std::string(5'000'000, 'x'));
  const std::string request = "GET /big HTTP/1.1\r\nHost: x\r\n\r\n";
  for (int turns = 0; turns < 12; ++turns) {
    auto client = Connect(/*receive_buffer=*/4096);
    client->Send(request);
    for (int i = 0; i < turns; ++i) Turn();
    client->Reset();
    TurnUntil([&] { return StateOf(connections_.size() - 1) == State::kClosed; }, "the close");
    EXPECT_EQ(backend_.alive, 0u);
  }
}

TEST_F(ConnectionLimitsTest, AnOpenThatIsAnsweredAfterTheClientLeftHarmsNobody) {
  for (int i = 0; i < 20; ++i) {
    // A name that no cache holds is opened by a worker.
    const std::string name = "cold" + std::to_string(i);
    WriteFile(name, "cold\n");
    auto client = Connect();
    client->Send("GET /" + name + "/x HTTP/1.1\r\nHost: x\r\n\r\n");
    Turn();
    if (connections_.back() != nullptr) connections_.back()->Close();
    closed_.clear();
  }
  TurnUntil([&] { return workers_->queued() == 0; }, "the workers' answers");
}

}  // namespace
}  // namespace pollux
