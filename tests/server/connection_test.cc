// A connection's life over real loopback sockets: requests in, answers out, and every way it ends.
#include "core/server/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/server/live_server.h"

namespace pollux {
namespace {

using State = Connection::State;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kGet[] = "GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr char kGetAndClose[] = "GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

int Count(const std::string& text, const std::string& part) {
  int count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class ConnectionTest : public LiveServer {
 protected:
  void SetUp() override { StartServer(); }
  State StateOf(size_t i) {
    return connections_[i] == nullptr ? State::kClosed : connections_[i]->state();
  }
};

TEST_F(ConnectionTest, AnswersARequestAndWaitsForTheNext) {
  auto client = Connect();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(client->received, EndsWith("\r\n\r\nhello\n"));
  EXPECT_TRUE(connections_[0]->idle());
  EXPECT_FALSE(client->eof);
  client->received.clear();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  EXPECT_EQ(counters_.requests[200], 2u);
  EXPECT_EQ(backend_.alive, 0u);
}

TEST_F(ConnectionTest, AHotRequestCostsOneRecvAndOneSendBesideItsFile) {
  auto client = Connect();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  const uint64_t recvs = kernel_.recv_calls.count, sends = kernel_.send_calls.count;
  const uint64_t epoll_ctls = kernel_.epoll_ctl_calls.count;
  client->received.clear();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  EXPECT_EQ(kernel_.recv_calls.count - recvs, 1u);
  EXPECT_EQ(kernel_.send_calls.count - sends, 1u);  // the head; the body is the backend's
  EXPECT_EQ(kernel_.epoll_ctl_calls.count - epoll_ctls, 0u);
}

TEST_F(ConnectionTest, ARequestMayComeByteByByte) {
  auto client = Connect();
  for (const char byte : std::string(kGet)) {
    client->Send(std::string(1, byte));
    Turn();
  }
  TurnUntilReceived(*client, "hello\n");
}

TEST_F(ConnectionTest, PipelinedRequestsAreAnsweredInOrderWhereverTheyAreSplit) {
  WriteFile("b.txt", "second\n");
  const std::string requests = std::string(kGet) + "GET /b.txt HTTP/1.1\r\nHost: x\r\n\r\n" +
                               "GET /none HTTP/1.1\r\nHost: x\r\n\r\n" + kGet;
  for (size_t split = 1; split < requests.size(); ++split) {
    auto client = Connect();
    client->Send(requests.substr(0, split));
    Turn();
    client->Send(requests.substr(split));
    TurnUntil(
        [&] {
          client->Receive();
          return Count(client->received, "hello\n") == 2;
        },
        "four answers");
    const std::string& got = client->received;
    ASSERT_EQ(Count(got, "HTTP/1.1 "), 4) << split;
    ASSERT_LT(got.find("hello\n"), got.find("second\n")) << split;
    ASSERT_LT(got.find("second\n"), got.find("404 Not Found")) << split;
    ASSERT_LT(got.find("404 Not Found"), got.rfind("hello\n")) << split;
  }
}

TEST_F(ConnectionTest, ManyPipelinedRequestsShareTheLoop) {
  auto greedy = Connect();
  auto modest = Connect();
  std::string many;
  for (int i = 0; i < 10 * kRequestsPerTurn; ++i) many += kGet;
  greedy->Send(many);
  modest->Send(kGet);
  Turn();
  Turn();
  greedy->Receive();
  modest->Receive();
  EXPECT_THAT(modest->received, HasSubstr("hello\n"));
  // Its share on arrival, and one a turn by the queue.
  EXPECT_LE(Count(greedy->received, "hello\n"), 3 * kRequestsPerTurn);
  TurnUntil(
      [&] {
        greedy->Receive();
        return Count(greedy->received, "hello\n") == 10 * kRequestsPerTurn;
      },
      "every answer");
}

TEST_F(ConnectionTest, AHalfClosedClientGetsItsWholeAnswer) {
  WriteFile("big", std::string(3'000'000, 'x'));
  auto client = Connect(/*receive_buffer=*/65536);
  client->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  client->ShutWrite();
  TurnUntilEnd(*client);
  EXPECT_TRUE(client->eof);
  EXPECT_EQ(Count(client->received, "x"), 3'000'000);
  TurnUntil([&] { return StateOf(0) == State::kClosed; }, "the server's close");
}

// The end comes with the last byte of a receive that fills its room, with fewer, and with more;
// answers that were gathered go out all the same, and where the socket is full too.
TEST_F(ConnectionTest, AClientThatEndsInTheMiddleOfItsContentGetsTheEarlierAnswers) {
  const std::string requests =
      std::string(kGet) + kGet + "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n";
  for (const bool full : {false, true}) {
    for (size_t size = InputBuffer::kBytes - 2; size <= InputBuffer::kBytes + 2; ++size) {
      auto client = Connect();
      if (full) kernel_.send_calls.errors.assign(3, EAGAIN);
      client->Send(requests + std::string(size - requests.size(), 'x'));
      client->ShutWrite();
      TurnUntilEnd(*client);
      EXPECT_TRUE(client->eof) << size;
      EXPECT_EQ(Count(client->received, "hello\n"), 2) << size;
      EXPECT_THAT(client->received, HasSubstr("HTTP/1.1 400 Bad Request\r\n")) << size;
    }
  }
}

TEST_F(ConnectionTest, ConnectionCloseEndsItAfterTheAnswer) {
  auto client = Connect();
  client->Send(kGetAndClose);
  TurnUntilEnd(*client);
  EXPECT_TRUE(client->eof);
  EXPECT_THAT(client->received, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_THAT(client->received, EndsWith("hello\n"));
  EXPECT_EQ(StateOf(0), State::kLingering);
  client->Close();
  TurnUntil([&] { return StateOf(0) == State::kClosed; }, "the server's close");
}

TEST_F(ConnectionTest, NothingBehindAnAnswerThatClosesIsServed) {
  auto client = Connect();
  client->Send(std::string(kGetAndClose) + kGet);
  TurnUntilEnd(*client);
  EXPECT_EQ(Count(client->received, "HTTP/1.1 "), 1);
}

TEST_F(ConnectionTest, HeadHasNoContentAndTheConnectionGoesOn) {
  auto client = Connect();
  client->Send("HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n" + std::string(kGet));
  TurnUntilReceived(*client, "hello\n");
  EXPECT_EQ(Count(client->received, "Content-Length: 6\r\n"), 2);
  EXPECT_EQ(Count(client->received, "hello\n"), 1);
}

TEST_F(ConnectionTest, ABadRequestIsAnsweredAndNothingBehindItServed) {
  auto client = Connect();
  client->Send("GET /a.txt HTTP/1.1\r\nBad Header: x\r\n\r\n" + std::string(kGet));
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
  EXPECT_THAT(client->received, HasSubstr("\r\nConnection: close\r\n"));
  EXPECT_EQ(Count(client->received, "HTTP/1.1 "), 1);
}

TEST_F(ConnectionTest, AnAnswerIsNotLostToAClientThatGoesOnSending) {
  auto client = Connect();
  client->Send("GET\r\n\r\n");
  TurnUntil([&] { return StateOf(0) == State::kLingering; }, "lingering");
  // Without lingering these bytes would meet a closed socket, and the reset they cause would take
  // the answer out of the client's queue.
  client->Send(std::string(100'000, 'z'));
  Turn();
  client->Send(std::string(100'000, 'z'));
  Turn();
  TurnUntilEnd(*client);
  EXPECT_EQ(client->error, 0);
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 400 "));
}

TEST_F(ConnectionTest, LingeringIsBoundedInTime) {
  auto client = Connect();
  client->Send("GET\r\n\r\n");
  TurnUntil([&] { return StateOf(0) == State::kLingering; }, "lingering");
  PassTime(kLingerTime - std::chrono::milliseconds(100));
  EXPECT_EQ(StateOf(0), State::kLingering);
  PassTime(std::chrono::milliseconds(200));
  EXPECT_EQ(StateOf(0), State::kClosed);
}

TEST_F(ConnectionTest, LingeringIsBoundedInBytes) {
  auto client = Connect();
  client->Send("GET\r\n\r\n");
  TurnUntil([&] { return StateOf(0) == State::kLingering; }, "lingering");
  const std::string block(60'000, 'z');
  uint64_t sent = 0;
  while (sent < kLingerBytesMax - block.size()) {
    client->Send(block);
    sent += block.size();
    Turn();
  }
  TurnUntil([&] { return StateOf(0) == State::kLingering; }, "still lingering");
  client->Send(block);
  TurnUntil([&] { return StateOf(0) == State::kClosed; }, "the end of patience");
}

TEST_F(ConnectionTest, ContentIsSkippedExactly) {
  auto client = Connect();
  // The content looks like a request; only what follows it is one.
  const std::string content = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
  client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: " +
               std::to_string(content.size()) + "\r\n\r\n" + content + kGet);
  TurnUntil(
      [&] {
        client->Receive();
        return Count(client->received, "hello\n") == 2;
      },
      "two answers");
  EXPECT_EQ(Count(client->received, "HTTP/1.1 "), 2);
  EXPECT_EQ(counters_.requests[404], 0u);
}

TEST_F(ConnectionTest, ChunkedContentIsSkippedExactlyWhereverItIsSplit) {
  const std::string requests =
      "POST /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;ext=1\r\nGET /\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n" +
      std::string(kGet);
  for (size_t split = 60; split < requests.size(); ++split) {
    auto client = Connect();
    client->Send(requests.substr(0, split));
    Turn();
    client->Send(requests.substr(split));
    TurnUntilReceived(*client, "hello\n");
    ASSERT_THAT(client->received, StartsWith("HTTP/1.1 405 ")) << split;
    ASSERT_EQ(Count(client->received, "HTTP/1.1 "), 2) << split;
  }
}

TEST_F(ConnectionTest, NothingBehindABadChunkIsServed) {
  auto client = Connect();
  client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n" +
               std::string(kGet));
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(Count(client->received, "HTTP/1.1 "), 1);
}

struct ContentRow {
  uint64_t length;
  int status;
  bool goes_on;
};

TEST_F(ConnectionTest, ContentIsReadUpToItsLimit) {
  for (const ContentRow& row : {ContentRow{kSkippedBodyBytesMax - 1, 200, true},
                                ContentRow{kSkippedBodyBytesMax, 200, true},
                                ContentRow{kSkippedBodyBytesMax + 1, 413, false}}) {
    auto client = Connect();
    client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(row.length) +
                 "\r\n\r\n");
    std::string content(row.length, 'c');
    for (size_t at = 0; row.goes_on && at < content.size(); at += 50'000) {
      client->Send(content.substr(at, 50'000));
      Turn();
    }
    TurnUntilReceived(*client, row.goes_on ? "hello\n" : "</html>");
    EXPECT_THAT(client->received, StartsWith("HTTP/1.1 " + std::to_string(row.status)));
    EXPECT_EQ(connections_.back()->idle(), row.goes_on) << row.length;
  }
}

TEST_F(ConnectionTest, AnUploadIsRefusedWithItsOwnStatusHoweverLarge) {
  auto client = Connect();
  client->Send("PUT /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n");
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 405 "));
}

TEST_F(ConnectionTest, WhoExpects100GetsAnAnswerAtOnceAndTheConnectionEnds) {
  auto client = Connect();
  client->Send(
      "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(client->received, HasSubstr("\r\nConnection: close\r\n"));
}

TEST_F(ConnectionTest, MetricsAreAnsweredFromMemory) {
  auto client = Connect();
  client->Send("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntilReceived(*client, "pollux_connections 1\n");
  EXPECT_THAT(client->received, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_EQ(backend_.started, 0u);
}

TEST_F(ConnectionTest, IdleConnectionsHoldNoBuffer) {
  auto client = Connect();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
  const std::unique_ptr<HeadReader> spare = readers_->Take();
  EXPECT_NE(spare, nullptr);
  // The next request is read with another one; nothing of the first is left in it.
  client->received.clear();
  client->Send(kGet);
  TurnUntilReceived(*client, "hello\n");
}

// --- Bulk sending

TEST_F(ConnectionTest, BulkGoesInSlicesAndRoundRobin) {
  std::string content(2'000'000, 'x');
  for (size_t i = 0; i < content.size(); i += 1000) content[i] = static_cast<char>('a' + i % 23);
  WriteFile("big", content);
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) clients.push_back(Connect());
  // After this the name is cached, and opened without a worker.
  clients[0]->Send("HEAD /big HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntilReceived(*clients[0], "\r\n\r\n");
  clients[0]->received.clear();
  for (auto& client : clients) client->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  // Each turn: kTurnBytes in slices of kSliceBytes, each for another connection.
  constexpr size_t kSlices = kTurnBytes / kSliceBytes;
  static_assert(8 % kSlices == 0);
  TurnUntil([&] { return backend_.pumped.size() >= kSlices; }, "a turn of bulk");
  for (size_t slices = kSlices; slices <= 8; slices += kSlices) {
    ASSERT_EQ(backend_.pumped.size(), slices);
    if (slices < 8) Turn();
  }
  for (const uint64_t bytes : backend_.pumped) EXPECT_EQ(bytes, kSliceBytes);
  std::vector<const Transfer*> served = backend_.pumped_by;
  std::sort(served.begin(), served.end());
  EXPECT_EQ(std::unique(served.begin(), served.end()) - served.begin(), 8);
  TurnUntil(
      [&] {
        bool all = true;
        for (auto& client : clients) {
          client->Receive();
          all = all && client->received.size() > 2'000'000 &&
                client->received.substr(client->received.find("\r\n\r\n") + 4) == content;
        }
        return all;
      },
      "eight downloads");
}

TEST_F(ConnectionTest, ASmallAnswerDoesNotWaitForBulk) {
  WriteFile("big", std::string(5'000'000, 'x'));
  std::vector<std::unique_ptr<Client>> downloads;
  for (int i = 0; i < 10; ++i) {
    downloads.push_back(Connect());
    downloads.back()->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  }
  auto small = Connect();
  TurnUntil([&] { return !send_queue_->empty(); }, "bulk under way");
  small->Send(kGet);
  const size_t pumps = backend_.pumped.size();
  TurnUntilReceived(*small, "hello\n");
  // At most the turn in which it arrived, and the one that answered it.
  EXPECT_LE(backend_.pumped.size() - pumps, 2 * kTurnBytes / kSliceBytes + 1);
}

TEST_F(ConnectionTest, ATransferThatWaitsIsPumpedAgainWhenItIsReady) {
  auto client = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}, {SteeredBackend::Then::kYield, 0}};
  client->Send(kGet);
  TurnUntil([&] { return !backend_.waiting.empty(); }, "waiting");
  for (int i = 0; i < 5; ++i) Turn();
  EXPECT_EQ(backend_.pumped.size(), 1u) << "polled while it waits";
  backend_.waiting[0]->OnTransferReady();
  TurnUntilReceived(*client, "hello\n");
}

TEST_F(ConnectionTest, AClientThatLeavesWhileItsFileIsReadEndsTheTransfer) {
  auto client = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}};
  client->Send(kGet);
  TurnUntil([&] { return !backend_.waiting.empty(); }, "waiting");
  client->Reset();
  TurnUntil([&] { return StateOf(0) == State::kClosed; }, "the close");
  EXPECT_EQ(backend_.alive, 0u);
  EXPECT_EQ(counters_.responses_cut, 1u);
}

TEST_F(ConnectionTest, AFailedTransferEndsTheConnectionWithoutAnotherByte) {
  for (const int code : {EIO, ENODATA, EPIPE, ECONNRESET, ETIMEDOUT}) {
    auto client = Connect();
    backend_.script = {{SteeredBackend::Then::kFail, code}};
    client->Send(std::string(kGet) + kGet);
    TurnUntilEnd(*client);
    EXPECT_EQ(Count(client->received, "HTTP/1.1 "), 1);
    EXPECT_THAT(client->received, Not(HasSubstr("hello")));
    EXPECT_EQ(StateOf(connections_.size() - 1), State::kClosed);
  }
  // A failing file is told, a leaving client is not.
  EXPECT_EQ(Count(kernel_.written[2], "EIO"), 1);
  EXPECT_EQ(Count(kernel_.written[2], "ENODATA"), 1);
  EXPECT_EQ(Count(kernel_.written[2], "EPIPE"), 0);
}

TEST_F(ConnectionTest, AWaitingConnectionDoesNotSpinOnPipelinedBytes) {
  auto client = Connect();
  backend_.script = {{SteeredBackend::Then::kWait, 0}};
  client->Send(kGet);
  TurnUntil([&] { return !backend_.waiting.empty(); }, "waiting");
  client->Send(kGet);
  Turn();
  // Without a wake-up nothing is ready: the loop would sleep.
  FdReady ready[4];
  EXPECT_EQ(coordination_->Wait(ready, Nanoseconds(0)).value_or(99), 0u);
  backend_.waiting[0]->OnTransferReady();
  TurnUntil(
      [&] {
        client->Receive();
        return Count(client->received, "hello\n") == 2;
      },
      "both answers");
}

}  // namespace
}  // namespace pollux
