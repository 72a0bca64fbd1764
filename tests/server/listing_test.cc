// Goal: a folder is listed as a client may see it, at a bounded cost, and every way it can fail
// ends as it should. Method: connections over real sockets and real folders on a loop turned by
// hand; the kernel's reads of the folder are counted, shortened and failed.
#include "core/server/listing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/server/live_server.h"

namespace pollux {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ListingTest : public LiveServer {
 protected:
  ListingTest() {
    config_.rules.listing = true;
    std::filesystem::create_directory(root_path_ + "/d");
  }

  static std::string Request(const std::string& path, const std::string& fields = "") {
    return "GET " + path + " HTTP/1.1\r\nHost: x\r\nAccept: application/json\r\n" + fields + "\r\n";
  }
  // A whole answer, which its connection's end follows.
  std::string Ask(const std::string& request) {
    auto client = Connect();
    client->Send(request);
    client->ShutWrite();
    TurnUntilEnd(*client);
    EXPECT_EQ(client->error, 0);
    return client->received;
  }
  // Has taken a byte of the listing of /d/, which goes out a little at a time.
  std::unique_ptr<Client> ClientOfAListingUnderWay() {
    auto client = Connect(/*receive_buffer=*/4096);
    kernel_.send_calls.bytes_max = 1000;
    client->Send(Request("/d/"));
    const auto began = [&] {
      client->Receive(1);
      return !client->received.empty();
    };
    TurnUntil(began, "the first byte");
    return client;
  }
  static std::string Head(const std::string& answer) {
    return answer.substr(0, answer.find("\r\n\r\n") + 4);
  }
  // The content out of the chunked coding; fails the test if it is not complete.
  static std::string Content(const std::string& answer) {
    std::string content;
    std::string_view rest = std::string_view(answer).substr(answer.find("\r\n\r\n") + 4);
    while (!rest.empty()) {
      const size_t line = rest.find("\r\n");
      const size_t size = std::stoul(std::string(rest.substr(0, line)), nullptr, 16);
      rest.remove_prefix(line + 2);
      if (size == 0) {
        EXPECT_EQ(rest, "\r\n");
        return content;
      }
      content += rest.substr(0, size);
      EXPECT_EQ(rest.substr(size, 2), "\r\n");
      rest.remove_prefix(std::min(size + 2, rest.size()));
    }
    ADD_FAILURE() << "no last chunk";
    return content;
  }
  std::vector<std::string> Names(const std::string& path) {
    const std::string answer = Ask(Request(path));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    std::vector<std::string> names;
    const auto json = nlohmann::json::parse(Content(answer), nullptr, false);
    EXPECT_FALSE(json.is_discarded());
    if (json.is_discarded()) return names;
    sorted_ = json["sorted"];
    for (const auto& entry : json["entries"]) {
      names.push_back(std::string(entry["name"]) + (entry["type"] == "directory" ? "/" : ""));
    }
    return names;
  }
  // "d/0", "d/1", ...
  void MakeFiles(int count) {
    for (int i = 0; i < count; ++i) WriteFile("d/" + std::to_string(i), "");
  }
  void ExpectAllMemoryIsBack() {
    TurnUntil([this] { return workers_->queued() == 0; }, "the workers' rest");
    const ListingMemory fresh(config_.rules.listing_memory_max);
    EXPECT_EQ(lister_->memory().listings_left(), fresh.listings_left());
    EXPECT_EQ(lister_->memory().blocks_left(), fresh.blocks_left());
  }

  // What the server does: each folder that is open has its place in the budget.
  void StartLimitedServer() {
    StartServer();
    opener_->LimitTo(*loop_, descriptors_);
    descriptors_.SetOnFreed(
        [this, loop_thread = kernel_.gettid()] {
          if (kernel_.gettid() != loop_thread) ++freed_elsewhere_;
        },
        {});
  }
  void ExpectAllFoldersWereClosedByTheLoop() {
    EXPECT_EQ(descriptors_.files(), 0u);
    EXPECT_EQ(freed_elsewhere_, 0u);
    EXPECT_EQ(kernel_.closes_elsewhere, 0u);
  }

  bool sorted_ = false;
  std::atomic<uint64_t> freed_elsewhere_ = 0;
};

TEST_F(ListingTest, WhatARequestWouldGetIsListedInOrder) {
  std::filesystem::create_directory(root_path_ + "/d/sub");
  std::filesystem::create_directory(root_path_ + "/d/Another");
  for (const char* name : {"b", "a10", "a9", ".hidden"}) WriteFile(std::string("d/") + name, "1");
  ASSERT_EQ(::mkfifo((root_path_ + "/d/fifo").c_str(), 0644), 0);
  std::filesystem::create_symlink("b", root_path_ + "/d/file link");
  std::filesystem::create_directory_symlink("../d/sub", root_path_ + "/d/folder link");
  std::filesystem::create_symlink("/etc/passwd", root_path_ + "/d/leaves");
  std::filesystem::create_symlink("nothing", root_path_ + "/d/broken");
  StartServer();
  EXPECT_THAT(Names("/d/"),
              ElementsAre("Another/", "folder link/", "sub/", "a9", "a10", "b", "file link"));
  EXPECT_TRUE(sorted_);
  EXPECT_THAT(Names("/"), ElementsAre("d/", "a.txt"));
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, LinksAreListedAsTheyAreFollowed) {
  std::filesystem::create_symlink("../a.txt", root_path_ + "/d/inside");
  std::filesystem::create_symlink("/etc/passwd", root_path_ + "/d/outside");
  config_.symlinks = Symlinks::kFollow;
  StartServer();
  EXPECT_THAT(Names("/d/"), ElementsAre("inside", "outside"));
}

TEST_F(ListingTest, NoLinkIsListedWhereNoneIsFollowed) {
  std::filesystem::create_symlink("../a.txt", root_path_ + "/d/inside");
  config_.symlinks = Symlinks::kNone;
  StartServer();
  EXPECT_THAT(Names("/d/"), ElementsAre());
}

TEST_F(ListingTest, TheHeadSaysHowItMayBeKept) {
  StartServer();
  const std::string head = Head(Ask(Request("/d/")));
  EXPECT_THAT(head, HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nCache-Control: no-cache\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nVary: Accept\r\n"));
  EXPECT_THAT(head, HasSubstr("\r\nDate: "));
  for (const char* name : {"Content-Length", "ETag", "Last-Modified", "Accept-Ranges"}) {
    EXPECT_THAT(head, Not(HasSubstr(name)));
  }
}

TEST_F(ListingTest, HtmlIsWhatBrowsersGet) {
  StartServer();
  const std::string answer = Ask("GET /d/ HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(Head(answer), HasSubstr("\r\nContent-Type: text/html; charset=utf-8\r\n"));
  EXPECT_THAT(Head(answer), HasSubstr("\r\nContent-Security-Policy: default-src 'none';"));
  EXPECT_THAT(Content(answer), EndsWith("</html>\n"));
}

TEST_F(ListingTest, HeadHasTheHeadOfGetAndNothingElse) {
  MakeFiles(3);
  StartServer();
  const std::string get = Ask(Request("/d/"));
  const std::string head = Ask("HEAD" + Request("/d/").substr(3));
  // A second may begin between the two.
  const size_t date = Head(get).find("\r\nDate: ") + 2;
  const size_t date_end = Head(get).find("\r\n", date);
  const auto without_date = [&](std::string text) { return text.erase(date, date_end - date); };
  EXPECT_EQ(without_date(head), without_date(Head(get)));
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, ToHttp10TheConnectionsEndIsThatOfTheContent) {
  MakeFiles(3);
  StartServer();
  for (const char* field : {"", "Connection: keep-alive\r\n"}) {
    auto client = Connect();
    client->Send("GET /d/ HTTP/1.0\r\nAccept: application/json\r\n" + std::string(field) + "\r\n");
    TurnUntilEnd(*client);
    const std::string head = Head(client->received);
    EXPECT_THAT(head, Not(HasSubstr("Transfer-Encoding")));
    EXPECT_THAT(head, HasSubstr("\r\nConnection: close\r\n"));
    const auto json = nlohmann::json::parse(client->received.substr(head.size()), nullptr, false);
    ASSERT_FALSE(json.is_discarded());
    EXPECT_EQ(json["entries"].size(), 3u);
  }
}

TEST_F(ListingTest, TheNextRequestOfTheConnectionIsAnsweredBehindIt) {
  MakeFiles(3);
  StartServer();
  const std::string answer =
      Ask(Request("/d/") + Request("/a.txt") + Request("/d/") + Request("/a.txt"));
  EXPECT_THAT(answer, EndsWith("hello\n"));
  EXPECT_EQ(counters_.requests[200], 4u);
}

TEST_F(ListingTest, AnIndexFileIsServedInstead) {
  WriteFile("d/index.html", "the index");
  StartServer();
  EXPECT_THAT(Ask(Request("/d/")), EndsWith("the index"));
}

TEST_F(ListingTest, WithoutTheFlagFoldersAreForbidden) {
  config_.rules.listing = false;
  StartServer();
  EXPECT_THAT(Ask(Request("/d/")), StartsWith("HTTP/1.1 403 "));
}

// A folder has no validators: only "*" is met.
TEST_F(ListingTest, PreconditionsAreThoseOfWhatHasNoTag) {
  StartServer();
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"If-None-Match: *", "304"},
      {"If-None-Match: \"x\"", "200"},
      {"If-Match: *", "200"},
      {"If-Match: \"x\"", "412"},
      {"If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT", "200"},
      {"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT", "200"},
      {"Range: bytes=0-1", "200"}};
  for (const auto& [field, status] : rows) {
    const std::string answer = Ask(Request("/d/", field + "\r\n"));
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 " + status + " ")) << field;
    if (status == "304") {
      EXPECT_THAT(answer, HasSubstr("\r\nCache-Control: no-cache\r\n"));
      EXPECT_THAT(answer, HasSubstr("\r\nVary: Accept\r\n"));
      EXPECT_EQ(answer, Head(answer));
    }
  }
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, MoreThanOneReadAndOnePieceIsSortedAllTheSame) {
  constexpr int kFiles = 3000;
  MakeFiles(kFiles);
  StartServer();
  const std::vector<std::string> names = Names("/d/");
  ASSERT_EQ(names.size(), static_cast<size_t>(kFiles));
  for (int i = 0; i < kFiles; ++i) ASSERT_EQ(names[i], std::to_string(i));
  EXPECT_TRUE(sorted_);
  EXPECT_GT(kernel_.getdents64_calls.count(), 3u);
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, WhatDoesNotFitIsListedWithoutOrder) {
  constexpr int kFiles = 3000;
  MakeFiles(kFiles);
  config_.rules.listing_memory_max = 1_MiB;
  kernel_.getdents64_calls.Shorten(2048);  // many reads of few names
  StartServer();
  std::vector<std::string> names = Names("/d/");
  EXPECT_FALSE(sorted_);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::unique(names.begin(), names.end()), names.end());
  EXPECT_EQ(names.size(), static_cast<size_t>(kFiles));
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, ASmallFolderIsSortedHoweverShortMemoryIs) {
  MakeFiles(100);
  StartServer();
  auto one = lister_->memory().TakeShare();
  auto two = lister_->memory().TakeShare();
  one->TakeBlocks(SIZE_MAX);
  two->TakeBlocks(SIZE_MAX);
  auto rest = lister_->memory().TakeShare();  // what two halves of an odd number leave
  rest->TakeBlocks(SIZE_MAX);
  ASSERT_EQ(lister_->memory().blocks_left(), 0u);
  const std::vector<std::string> names = Names("/d/");
  ASSERT_EQ(names.size(), 100u);
  EXPECT_EQ(names[2], "2");
  EXPECT_TRUE(sorted_);
  one.reset();
  two.reset();
  rest.reset();
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, AClientThatDoesNotReadStopsTheWork) {
  MakeFiles(3000);
  StartServer();
  auto client = ClientOfAListingUnderWay();
  // What the socket refuses is a piece that is complete: from now on no worker looks at another.
  kernel_.send_calls.errors.assign(1000, EAGAIN);
  TurnUntil([this] { return kernel_.send_calls.errors.size() < 1000; }, "a piece to be sent");
  const uint64_t then = kernel_.statx_calls.count();
  for (int i = 0; i < 50; ++i) Turn();
  EXPECT_EQ(kernel_.statx_calls.count(), then);
  EXPECT_LT(then, 1000u);
  client->Reset();
  kernel_.send_calls.errors.clear();
  TurnUntil([this] { return counters_.connections == 0; }, "the connection's end");
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, AClientThatLeavesWhileNamesAreReadEndsTheListing) {
  MakeFiles(3000);
  kernel_.getdents64_calls.Shorten(1024);
  StartServer();
  auto client = Connect();
  client->Send(Request("/d/"));
  TurnUntil([this] { return kernel_.getdents64_calls.count() > 0; }, "the first read");
  client->Reset();
  TurnUntil([this] { return counters_.connections == 0; }, "the connection's end");
  ExpectAllMemoryIsBack();
  EXPECT_LT(kernel_.getdents64_calls.count(), 50u);
}

// The budget of descriptors is the loop's: a worker that closed a folder would count at the same
// time as the loop does, and wake up who waits for a file from the wrong thread.
TEST_F(ListingTest, FoldersAreClosedByTheLoopHoweverTheirListingsEnd) {
  MakeFiles(600);
  StartLimitedServer();
  for (int round = 0; round < 10; ++round) {
    std::vector<std::unique_ptr<Client>> stay, leave;
    for (int i = 0; i < 4; ++i) {
      for (auto* clients : {&stay, &leave}) {
        clients->push_back(Connect());
        clients->back()->Send(Request("/d/") + Request("/") + Request("/d/"));
        Turn();
      }
    }
    for (auto& client : leave) client->Reset();
    for (auto& client : stay) client->ShutWrite();
    for (auto& client : stay) TurnUntilEnd(*client);
    TurnUntil([this] { return counters_.connections == 0; }, "the connections' end");
  }
  ExpectAllMemoryIsBack();
  ExpectAllFoldersWereClosedByTheLoop();
}

TEST_F(ListingTest, FoldersAreClosedByTheLoopWhenTheServerEndsUnderTheirListings) {
  MakeFiles(3000);
  kernel_.getdents64_calls.Shorten(1024);
  StartLimitedServer();
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(Connect());
    clients.back()->Send(Request("/d/"));
  }
  TurnUntil([this] { return kernel_.getdents64_calls.count() > 8 && workers_->queued() == 8; },
            "listings with the workers, some of them running");
  EXPECT_EQ(descriptors_.files(), 8u);
  for (auto& connection : connections_) connection->Close();
  EXPECT_GT(descriptors_.files(), 0u) << "jobs outlive their connections";
  workers_->Stop();
  closed_.clear();
  ExpectAllFoldersWereClosedByTheLoop();
}

// It is read by a descriptor of its own, which is open to the end.
TEST_F(ListingTest, AFolderKeepsItsPlaceInTheBudgetUntilItsListingEnds) {
  MakeFiles(3000);
  StartLimitedServer();
  auto client = ClientOfAListingUnderWay();
  EXPECT_EQ(descriptors_.files(), 1u);
  kernel_.send_calls.bytes_max = SIZE_MAX;
  client->ShutWrite();
  TurnUntilEnd(*client);
  TurnUntil([this] { return counters_.connections == 0; }, "the connection's end");
  ExpectAllFoldersWereClosedByTheLoop();
}

class CountedJob final : public WorkerJob {
 public:
  explicit CountedJob(int& done) : done_(done) {}
  void RunOnWorker(Kernel&) override {}
  void Done() override { ++done_; }

 private:
  int& done_;
};

TEST_F(ListingTest, HoweverManyWaitForASlowDiskAWorkerIsLeftToOpenFiles) {
  MakeFiles(3);
  StartServer();
  Ask(Request("/d/"));  // from now on the loop itself opens the folder
  kernel_.getdents64_calls.Hold();
  std::deque<std::unique_ptr<Client>> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(Connect());
    clients.back()->Send(Request("/d/"));
  }
  TurnUntil([this] { return workers_->queued() == 4; }, "the listings to be given to workers");
  int done = 0;
  workers_->Run(std::make_unique<CountedJob>(done));
  TurnUntil([&] { return done == 1; }, "the end of a short job");
  kernel_.getdents64_calls.Release();
  for (const auto& client : clients) TurnUntilReceived(*client, "0\r\n\r\n");
  ExpectAllMemoryIsBack();
}

TEST_F(ListingTest, WhenTheMemoryIsUsedUpTheAnswerIs503) {
  config_.rules.listing_memory_max = 1_MiB;
  StartServer();
  const uint64_t listings = lister_->memory().listings_left();
  std::vector<std::unique_ptr<ContentSource>> held;
  for (uint64_t i = 0; i < listings; ++i) {
    held.push_back(lister_->List(nullptr, ".", "/", http::ListingFormat::kJson, true));
  }
  EXPECT_EQ(lister_->List(nullptr, ".", "/", http::ListingFormat::kJson, true), nullptr);
  EXPECT_THAT(Ask(Request("/d/")), StartsWith("HTTP/1.1 503 "));
  held.pop_back();
  EXPECT_THAT(Ask(Request("/d/")), StartsWith("HTTP/1.1 200 "));
}

struct FailureRow {
  int code;
  int status;
};
class FailedStartTest : public ListingTest, public ::testing::WithParamInterface<FailureRow> {};

TEST_P(FailedStartTest, HasAStatusOfItsOwn) {
  MakeFiles(3);
  StartServer();
  for (SteeredKernel::WorkerCall* call : {&kernel_.reopen_calls, &kernel_.getdents64_calls}) {
    call->Fail({GetParam().code});
    EXPECT_THAT(Ask(Request("/d/")),
                StartsWith("HTTP/1.1 " + std::to_string(GetParam().status) + " "));
    EXPECT_EQ(call->errors_left(), 0u);
  }
  EXPECT_THAT(Ask(Request("/d/")), StartsWith("HTTP/1.1 200 "));
  ExpectAllMemoryIsBack();
}
INSTANTIATE_TEST_SUITE_P(Getdents64, FailedStartTest,
                         ::testing::Values(FailureRow{ENOENT, 404},  // deleted meanwhile
                                           FailureRow{EACCES, 403}, FailureRow{EMFILE, 503},
                                           FailureRow{ENOMEM, 503}, FailureRow{EIO, 500}),
                         [](const auto& row) { return "Errno" + std::to_string(row.param.code); });

TEST_F(ListingTest, AnEntryThatVanishedIsLeftOut) {
  MakeFiles(3);
  StartServer();
  kernel_.statx_calls.Fail({0, ENOENT});
  EXPECT_THAT(Names("/d/"), ElementsAre("0", "2"));
}

// The head is out, and there is no way to take it back but to end without the last chunk.
TEST_F(ListingTest, AFailureInTheMiddleCutsTheAnswer) {
  MakeFiles(3000);
  StartServer();
  std::deque<int> errors(1000, 0);
  errors.push_back(EIO);
  for (const char* version : {"HTTP/1.1", "HTTP/1.0"}) {
    kernel_.statx_calls.Fail(errors);
    auto client = Connect();
    client->Send("GET /d/ " + std::string(version) + "\r\nHost: x\r\n\r\n");
    TurnUntilEnd(*client);
    EXPECT_THAT(client->received, StartsWith("HTTP/1.1 200 "));
    EXPECT_THAT(client->received, Not(HasSubstr("</html>")));
    EXPECT_THAT(client->received, Not(EndsWith("0\r\n\r\n")));
    EXPECT_EQ(client->error, ECONNRESET) << "an end like any other would look complete";
  }
  ExpectAllMemoryIsBack();
}

TEST(ListingMemoryTest, NoListingTakesMoreThanHalfOfTheNamesMemory) {
  ListingMemory memory(64_MiB);
  const uint64_t blocks = memory.blocks_left();
  auto one = memory.TakeShare();
  auto two = memory.TakeShare();
  EXPECT_EQ(one->TakeBlocks(SIZE_MAX), blocks / 2);
  EXPECT_EQ(one->TakeBlocks(1), 0u);
  EXPECT_EQ(two->TakeBlocks(5), 5u);
  EXPECT_EQ(two->TakeBlocks(SIZE_MAX), blocks / 2 - 5);
  one->KeepBlocks(blocks / 2 + 1);
  EXPECT_EQ(memory.blocks_left(), blocks % 2);
  one->KeepBlocks(3);
  EXPECT_EQ(memory.blocks_left(), blocks - blocks / 2 - 3);
  one.reset();
  two.reset();
  EXPECT_EQ(memory.blocks_left(), blocks);
}

}  // namespace
}  // namespace pollux
