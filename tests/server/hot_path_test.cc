// Goal: a small file that is asked for again and again costs one recv and one send beside its share
// of the wait, and no allocation; pipelined requests share one send; and none of it ever shows in
// the bytes. Method: connections over loopback on a loop turned by hand; calls are counted at the
// seam, allocations at operator new.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <new>

#include "tests/server/live_server.h"

namespace {
thread_local uint64_t allocations_of_thread = 0;
}  // namespace

// The address sanitizer has its own, and insists on having all forms of it.
#if !defined(__SANITIZE_ADDRESS__)
// All other forms end in these ([new.delete]).
void* operator new(size_t size) {
  ++allocations_of_thread;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
#endif

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kGet[] =
    "GET /a.txt HTTP/1.1\r\nHost: x\r\nUser-Agent: a longer name than fits\r\n\r\n";

class HotPathTest : public LiveServer {
 protected:
  HotPathTest() {
    config_.cache.content_bytes_max = 1_MiB;
    config_.access_log = "";
    WriteFile("a.txt", content_);
  }

  // One request, answered; what came of it.
  std::string Ask(Client& client, const std::string& request = kGet,
                  const std::string& end = "\r\n\r\n") {
    client.received.clear();
    client.Send(request);
    TurnUntilReceived(client, end);
    return client.received;
  }
  static std::string BodyOf(const std::string& answer) {
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }
  std::string Body(Client& client, const std::string& request = kGet) {
    return BodyOf(Ask(client, request));
  }
  static size_t Count(const std::string& text, const std::string& part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
    return count;
  }

  const std::string content_ = "hot " + std::string(1000, 'x') + " end";
};

TEST_F(HotPathTest, AHotAnswerCostsOneRecvAndOneSend) {
  StartServer();
  const auto client = Connect();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Body(*client), content_);

  constexpr int kRequests = 20;
  const uint64_t recvs = kernel_.recv_calls.count, sends = kernel_.send_calls.count;
  const uint64_t controls = kernel_.epoll_ctl_calls.count, turns = loop_->stats().turns;
  kernel_.others.clear();
  for (int i = 0; i < kRequests; ++i) {
    client->received.clear();
    client->Send(kGet);
    Turn();
    client->Receive();
    ASSERT_EQ(BodyOf(client->received), content_);
  }
  EXPECT_EQ(kernel_.recv_calls.count - recvs, kRequests);
  EXPECT_EQ(kernel_.send_calls.count - sends, kRequests);
  EXPECT_EQ(kernel_.epoll_ctl_calls.count - controls, 0);
  EXPECT_EQ(loop_->stats().turns - turns, kRequests);
  EXPECT_EQ(kernel_.others["epoll_pwait"], kRequests);
  // Before and after the wait, and for Date not with each request: once a second, and again at its
  // edge, for the end of the second is reckoned from a clock that was read a little earlier.
  EXPECT_GE(kernel_.others["clock_gettime"], 2 * kRequests);
  EXPECT_LT(kernel_.others["clock_gettime"], 3 * kRequests);
  kernel_.others.erase("epoll_pwait");
  kernel_.others.erase("clock_gettime");
  EXPECT_THAT(kernel_.others, IsEmpty());
  EXPECT_EQ(backend_.started, 0u);
}

TEST_F(HotPathTest, AHotAnswerAllocatesNothing) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the address sanitizer counts for itself";
#endif
  StartServer();
  const auto client = Connect();
  const auto other = Connect();
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(Body(*client), content_);
    EXPECT_EQ(Body(*other), content_);
  }
  uint64_t allocations = 0;
  for (int i = 0; i < 200; ++i) {
    if (i % 50 == 0) context_->date_ends = TimePoint{};  // as if a second were over
    Client& asking = i % 2 == 0 ? *client : *other;
    asking.received.clear();
    asking.Send(kGet);
    const uint64_t before = allocations_of_thread;
    Turn();
    allocations += allocations_of_thread - before;
    asking.Receive();
    ASSERT_EQ(BodyOf(asking.received), content_);
  }
  EXPECT_EQ(allocations, 0u);
}

TEST_F(HotPathTest, PipelinedRequestsAreAnsweredInOneSend) {
  StartServer();
  const auto client = Connect();
  Ask(*client);
  const uint64_t sends = kernel_.send_calls.count;
  std::string requests;
  for (int i = 0; i < 10; ++i) requests += kGet;
  client->received.clear();
  client->Send(requests + "GET /a.txt?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  TurnUntilEnd(*client);
  EXPECT_EQ(kernel_.send_calls.count - sends, 1u);
  EXPECT_EQ(Count(client->received, content_), 11u);
  EXPECT_EQ(Count(client->received, "HTTP/1.1 200 OK\r\n"), 11u);
  EXPECT_EQ(counters_.requests[200], 12u);
}

TEST_F(HotPathTest, TheOutputOfATurnIsBounded) {
  WriteFile("big.txt", std::string(16 * 1024, 'b'));
  StartServer();
  const auto client = Connect();
  Ask(*client, "GET /big.txt HTTP/1.1\r\nHost: x\r\n\r\n");
  const uint64_t sends = kernel_.send_calls.count;
  std::string requests;
  for (int i = 0; i < 20; ++i) requests += "GET /big.txt HTTP/1.1\r\nHost: x\r\n\r\n";
  client->received.clear();
  client->Send(requests);
  TurnUntil(
      [&] {
        client->Receive();
        EXPECT_LE(context_->output.size(), 0u);
        return client->received.size() > 20 * 16 * 1024;
      },
      "twenty answers");
  EXPECT_THAT(kernel_.send_calls.count - sends, AllOf(Ge(4u), Le(10u)));
  EXPECT_LT(context_->output.capacity(), 4 * kOutputBytes);
}

TEST_F(HotPathTest, AnAnswerDoesNotWaitForTheRestOfTheNextRequest) {
  StartServer();
  const auto client = Connect();
  Ask(*client);
  const std::string request = kGet;
  for (size_t cut = 1; cut < request.size(); ++cut) {
    EXPECT_THAT(Body(*client, request + request.substr(0, cut)), StartsWith(content_)) << cut;
    EXPECT_THAT(Body(*client, request.substr(cut)), StartsWith(content_)) << cut;
  }
  // Empty lines in front of a request are skipped, and are none.
  EXPECT_EQ(Body(*client, request + "\r\n\r\n"), content_);
  EXPECT_EQ(Body(*client), content_);
}

TEST_F(HotPathTest, AnswersBeforeAnUnfinishedBodyAreSentAtOnce) {
  StartServer();
  const auto client = Connect();
  Ask(*client);
  client->received.clear();
  client->Send(std::string(kGet) + kGet +
               "GET /a.txt HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
  TurnUntil(
      [&] {
        client->Receive();
        return Count(client->received, content_) == 2;
      },
      "both answers");
  client->Send("cd");
  TurnUntil(
      [&] {
        client->Receive();
        return Count(client->received, content_) == 3;
      },
      "the third");
}

TEST_F(HotPathTest, ShortSendsAndFullSocketsKeepTheBytesInOrder) {
  WriteFile("b.txt", "content of b");
  StartServer();
  const auto client = Connect();
  Ask(*client);
  const uint64_t heads_to_get = 6;
  for (size_t most = 1; most < 3000; most = most * 3 + 1) {
    kernel_.send_calls.bytes_max = most;
    kernel_.send_calls.errors = {0, EAGAIN, EINTR, 0, EAGAIN};
    client->received.clear();
    client->Send(std::string(kGet) + "GET /b.txt HTTP/1.1\r\nHost: x\r\n\r\n" + kGet +
                 "HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n" +
                 "GET /none HTTP/1.1\r\nHost: x\r\n\r\n" +
                 "GET /a.txt HTTP/1.1\r\nHost: x\r\nRange: bytes=0-2\r\n\r\n");
    TurnUntil(
        [&] {
          client->Receive();
          return Count(client->received, "HTTP/1.1 ") == heads_to_get &&
                 client->received.ends_with("\r\n\r\nhot");
        },
        "all answers");
    const size_t first = client->received.find(content_);
    const size_t second = client->received.find("content of b");
    EXPECT_LT(first, second);
    EXPECT_EQ(Count(client->received, content_), 2u);
    EXPECT_LT(client->received.find("HTTP/1.1 404"), client->received.find("HTTP/1.1 206"));
    kernel_.send_calls.errors.clear();
  }
}

TEST_F(HotPathTest, AClientThatTakesNothingMeetsTheSendTimeout) {
  WriteFile("big.txt", std::string(16 * 1024, 'b'));
  StartServer();
  const auto client = Connect(/*receive_buffer=*/2048);
  std::string requests;
  for (int i = 0; i < 1000; ++i) requests += "GET /big.txt HTTP/1.1\r\nHost: x\r\n\r\n";
  client->Send(requests);
  TurnUntil([&] { return connections_[0]->state() == Connection::State::kSendingHead; },
            "a full socket");
  PassTime(config_.send_timeout + milliseconds(2));
  EXPECT_EQ(counters_.timeouts_send, 1u);
  EXPECT_EQ(connections_[0], nullptr);
  EXPECT_TRUE(context_->output.empty());
}

TEST_F(HotPathTest, AClientThatIsGoneTakesNoAnswersOfOthersWithIt) {
  StartServer();
  const auto client = Connect();
  const auto other = Connect();
  Ask(*client);
  kernel_.send_calls.errors = {EPIPE};
  client->Send(std::string(kGet) + kGet);
  TurnUntil([&] { return connections_[0] == nullptr; }, "the end");
  EXPECT_EQ(Body(*other), content_);
  EXPECT_TRUE(context_->output.empty());
}

TEST_F(HotPathTest, AnswersThatAreNotPlainComeFromTheCacheToo) {
  StartServer();
  const auto client = Connect();
  const std::string first = Ask(*client);
  const size_t etag_at = first.find("ETag: ") + 6;
  const std::string etag = first.substr(etag_at, first.find("\r\n", etag_at) - etag_at);
  kernel_.others.clear();
  const std::string get = "GET /a.txt HTTP/1.1\r\nHost: x\r\n";
  EXPECT_THAT(Ask(*client, get + "If-None-Match: " + etag + "\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 304 "), EndsWith("\r\n\r\n")));
  EXPECT_THAT(Ask(*client, get + "If-Match: \"other\"\r\n\r\n"), StartsWith("HTTP/1.1 412 "));
  EXPECT_THAT(Ask(*client, get + "Range: bytes=4-6\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 206 "), EndsWith("\r\n\r\nxxx")));
  EXPECT_THAT(Ask(*client, get + "Range: bytes=-3\r\n\r\n"), EndsWith("\r\n\r\nend"));
  EXPECT_THAT(Ask(*client, get + "Range: bytes=99999-\r\n\r\n"), StartsWith("HTTP/1.1 416 "));
  EXPECT_THAT(Ask(*client, "HEAD /a.txt HTTP/1.1\r\nHost: x\r\n\r\n"),
              AllOf(StartsWith("HTTP/1.1 200 "), EndsWith("\r\n\r\n"),
                    HasSubstr("Content-Length: " + std::to_string(content_.size()))));
  EXPECT_EQ(kernel_.others.count("openat2"), 0u);
  EXPECT_EQ(backend_.started, 0u);
  const std::string old = Ask(*client, "GET /a.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(old, AllOf(HasSubstr("Connection: keep-alive\r\n"), EndsWith(content_)));
  client->Send("GET /a.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  TurnUntilEnd(*client);
  EXPECT_THAT(client->received, AllOf(HasSubstr("Connection: close\r\n"), EndsWith(content_)));
}

TEST_F(HotPathTest, TheCachedHeadIsTheUncachedOneWithAnotherDate) {
  StartServer();
  const auto client = Connect();
  const auto without_date = [](std::string answer) {
    const size_t at = answer.find("Date: ");
    return answer.erase(at, answer.find("\r\n", at) - at);
  };
  const std::string cold = Ask(*client);
  const std::string hot = Ask(*client);
  EXPECT_EQ(without_date(hot), without_date(cold));
  cache_->Clear();
  context_->date_seconds = 784111777;
  context_->date = "Sun, 06 Nov 1994 08:49:37 GMT";
  Ask(*client);  // prepares it anew
  EXPECT_THAT(Ask(*client), HasSubstr("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
  PassTime(milliseconds(1001));
  EXPECT_THAT(Ask(*client), Not(HasSubstr("1994 08:49:37 GMT\r\nContent-Type")));
}

TEST_F(HotPathTest, AFolderIsItsIndexFileFromTheCacheToo) {
  std::filesystem::create_directory(root_path_ + "/folder");
  WriteFile("folder/index.html", content_);
  StartServer();
  const auto client = Connect();
  const std::string get = "GET /folder/ HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_EQ(Body(*client, get), content_);
  kernel_.others.clear();
  EXPECT_EQ(Body(*client, get), content_);
  EXPECT_EQ(Body(*client, "GET /folder/index.html HTTP/1.1\r\nHost: x\r\n\r\n"), content_);
  EXPECT_EQ(kernel_.others.count("openat2"), 0u);
}

TEST_F(HotPathTest, AnOpenFileThatIsNotSmallIsNotOpenedAgain) {
  const std::string large(config_.cache.content_file_max + 1, 'l');
  WriteFile("large.txt", large);
  StartServer();
  const auto client = Connect();
  const std::string get = "GET /large.txt HTTP/1.1\r\nHost: x\r\n\r\n";
  for (int i = 0; i < 3; ++i) {
    client->received.clear();
    client->Send(get);
    TurnUntilReceived(*client, large);
  }
  EXPECT_EQ(kernel_.others["openat2"], 1u);
  EXPECT_EQ(backend_.started, 3u);
}

// --- A hot file changes: the answer is the old file or the new one, and soon the new one.

TEST_F(HotPathTest, AReplacedFileIsServedWithinASecond) {
  StartServer();
  const auto client = Connect();
  EXPECT_EQ(Body(*client), content_);
  WriteFile("new", "replaced");
  std::filesystem::rename(root_path_ + "/new", root_path_ + "/a.txt");
  const std::string meanwhile = Body(*client);
  EXPECT_TRUE(meanwhile == content_ || meanwhile == "replaced");
  PassTime(FileCache::kTrusted);
  EXPECT_EQ(Body(*client), "replaced");
}

TEST_F(HotPathTest, ATruncatedFileIsNeverHalfOfTheOldOne) {
  StartServer();
  const auto client = Connect();
  EXPECT_EQ(Body(*client), content_);
  std::filesystem::resize_file(root_path_ + "/a.txt", 7);
  EXPECT_EQ(Body(*client), content_) << "whole, from memory";
  PassTime(FileCache::kTrusted);
  EXPECT_EQ(Body(*client), content_.substr(0, 7));
  std::filesystem::resize_file(root_path_ + "/a.txt", 0);
  PassTime(FileCache::kTrusted);
  EXPECT_EQ(Body(*client), "");
}

TEST_F(HotPathTest, ADeletedFileIsGoneWithinASecond) {
  StartServer();
  const auto client = Connect();
  EXPECT_EQ(Body(*client), content_);
  std::filesystem::remove(root_path_ + "/a.txt");
  PassTime(FileCache::kTrusted);
  EXPECT_THAT(Ask(*client), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(cache_->files(), 0u);
}

TEST_F(HotPathTest, ALinkThatIsTurnedOutOfTheRootIsNotFollowed) {
  const std::string outside = root_path_ + "-outside";
  WriteFile("../" + std::filesystem::path(outside).filename().string(), "a secret");
  std::filesystem::create_symlink("a.txt", root_path_ + "/link");
  StartServer();
  const auto client = Connect();
  const std::string get = "GET /link HTTP/1.1\r\nHost: x\r\n\r\n";
  EXPECT_EQ(Body(*client, get), content_);
  std::filesystem::remove(root_path_ + "/link");
  std::filesystem::create_symlink(outside, root_path_ + "/link");
  EXPECT_THAT(Ask(*client, get), Not(HasSubstr("secret")));
  PassTime(FileCache::kTrusted);
  EXPECT_THAT(Ask(*client, get), StartsWith("HTTP/1.1 403 "));
  std::filesystem::remove(outside);
}

TEST_F(HotPathTest, AFileThatBecomesAFolderIsOneWithinASecond) {
  StartServer();
  const auto client = Connect();
  EXPECT_EQ(Body(*client), content_);
  std::filesystem::remove(root_path_ + "/a.txt");
  std::filesystem::create_directory(root_path_ + "/a.txt");
  PassTime(FileCache::kTrusted);
  EXPECT_THAT(Ask(*client), StartsWith("HTTP/1.1 301 "));
}

}  // namespace
}  // namespace pollux
