// The access log: what a line looks like, that no client can forge one, and when lines are written.
#include "core/server/access_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/server/live_server.h"

namespace pollux {
namespace {

using ::testing::HasSubstr;

AccessRecord Record() {
  AccessRecord record;
  record.host = "10.0.0.7";
  record.time = 784'111'777;
  record.method = "GET";
  record.target = "/a%20b?c=d";
  record.version = "HTTP/1.1";
  record.status = 200;
  record.body_bytes = 123;
  record.referer = "http://x/";
  record.user_agent = "curl/8";
  return record;
}

TEST(AccessLineTest, IsApachesCombinedFormat) {
  EXPECT_EQ(FormatAccessLine(Record()),
            "10.0.0.7 - - [06/Nov/1994:08:49:37 +0000] \"GET /a%20b?c=d HTTP/1.1\" 200 123 "
            "\"http://x/\" \"curl/8\"\n");
}

TEST(AccessLineTest, WhatIsMissingIsADash) {
  AccessRecord record;
  record.host = "::1";
  record.status = 400;
  EXPECT_EQ(FormatAccessLine(record),
            "::1 - - [01/Jan/1970:00:00:00 +0000] \"-\" 400 - \"-\" \"-\"\n");
}

TEST(AccessLineTest, OldVersionsAreNamed) {
  AccessRecord record = Record();
  record.version = "HTTP/1.0";
  EXPECT_THAT(FormatAccessLine(record), HasSubstr(" HTTP/1.0\""));
}

TEST(AccessLineTest, NoByteOfAClientBreaksALineOrAQuote) {
  for (int byte = 0; byte < 256; ++byte) {
    for (int field = 0; field < 4; ++field) {
      const std::string text = std::string("x") + static_cast<char>(byte) + "y";
      AccessRecord record = Record();
      (field == 0   ? record.method
       : field == 1 ? record.target
       : field == 2 ? record.referer
                    : record.user_agent) = text;
      const std::string line = FormatAccessLine(record);
      EXPECT_EQ(line.find('\n'), line.size() - 1) << byte;
      EXPECT_EQ(std::count(line.begin(), line.end(), '"'), 6) << byte;
      const bool plain = byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "x\\x%02xy", byte);
      EXPECT_THAT(line, HasSubstr(plain ? text : std::string(escaped)));
    }
  }
}

TEST(AccessLineTest, NoLineIsLongerThanWhatAPipeKeepsTogether) {
  AccessRecord record = Record();
  record.target = "";
  const std::string bare = FormatAccessLine(record);
  const std::string longest = "/" + std::string(kLogLineBytesMax - bare.size() - 1, 'x');
  record.target = longest;
  EXPECT_EQ(FormatAccessLine(record).size(), kLogLineBytesMax);
  EXPECT_THAT(FormatAccessLine(record), HasSubstr(longest));
  const std::string one_more = longest + "y";
  record.target = one_more;
  EXPECT_THAT(FormatAccessLine(record), HasSubstr("xxx... HTTP/1.1\" 200 123"));
  // The worst: everything long, everything escaped.
  const std::string worst(100'000, '\x7f');
  record.method = record.target = record.referer = record.user_agent = worst;
  record.host = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  record.body_bytes = UINT64_MAX;
  const std::string line = FormatAccessLine(record);
  EXPECT_LT(line.size(), kLogLineBytesMax);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
}

class AccessLogTest : public LiveServer {
 protected:
  void SetUp() override {
    StartServer();
    path_ = root_path_ + "/access.log";
  }
  void TearDown() override { file_log_.reset(); }
  void OpenFileLog() {
    Result<LineOutput> output = AccessLog::Open(kernel_, path_);
    ASSERT_TRUE(output);
    file_log_ = std::make_unique<AccessLog>(kernel_, *loop_, log_, path_, std::move(*output));
  }
  static std::string Contents(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  AccessLog& OnStdout() { return *access_log_; }

  std::string path_;
  std::unique_ptr<AccessLog> file_log_;
};

TEST_F(AccessLogTest, LinesAreWrittenAfterASecond) {
  OnStdout().Add(Record());
  PassTime(std::chrono::milliseconds(900));
  EXPECT_EQ(kernel_.written[1], "");
  PassTime(std::chrono::milliseconds(150));
  EXPECT_EQ(kernel_.written[1], FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, AFullBufferIsWrittenAtOnce) {
  const size_t line = FormatAccessLine(Record()).size();
  for (size_t bytes = 0; bytes + line < AccessLog::kBufferBytes; bytes += line) {
    OnStdout().Add(Record());
  }
  EXPECT_EQ(kernel_.written[1], "");
  OnStdout().Add(Record());
  EXPECT_GE(kernel_.written[1].size(), AccessLog::kBufferBytes);
}

TEST_F(AccessLogTest, ShortWritesLoseNothing) {
  kernel_.write_calls.bytes_max = 7;
  OnStdout().Add(Record());
  OnStdout().Flush();
  EXPECT_EQ(kernel_.written[1], FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, AWriteThatFailsIsTriedAgainAndToldOnce) {
  for (const int code : {ENOSPC, EIO, EDQUOT, EPIPE}) {
    kernel_.written.clear();
    kernel_.write_calls.errors = {code};
    OnStdout().Add(Record());
    OnStdout().Flush();
    EXPECT_EQ(kernel_.written[1], "");
    EXPECT_THAT(kernel_.written[2], HasSubstr(ErrnoName(code)));
    PassTime(AccessLog::kFlushInterval + std::chrono::milliseconds(50));
    EXPECT_EQ(kernel_.written[1], FormatAccessLine(Record())) << code;
  }
}

TEST_F(AccessLogTest, AFullPipeIsNoNews) {
  for (const int code : {EAGAIN, EINTR}) {
    kernel_.written.clear();
    kernel_.write_calls.errors = {code};
    OnStdout().Add(Record());
    OnStdout().Flush();
    EXPECT_EQ(kernel_.written[2], "");
    PassTime(AccessLog::kFlushInterval + std::chrono::milliseconds(50));
    EXPECT_EQ(kernel_.written[1], FormatAccessLine(Record())) << code;
  }
}

TEST_F(AccessLogTest, ALogThatCannotBeWrittenHoldsABoundedBacklog) {
  kernel_.write_calls.errors = std::deque<int>(100'000, EAGAIN);
  const size_t line = FormatAccessLine(Record()).size();
  const size_t lines = 2 * AccessLog::kBacklogBytesMax / line;
  for (size_t i = 0; i < lines; ++i) OnStdout().Add(Record());
  EXPECT_GT(OnStdout().dropped_lines(), 0u);
  kernel_.write_calls.errors.clear();
  OnStdout().Flush();
  EXPECT_EQ(kernel_.written[1].size() / line + OnStdout().dropped_lines(), lines);
  EXPECT_LT(kernel_.written[1].size(), AccessLog::kBacklogBytesMax + line);
}

TEST_F(AccessLogTest, WhatWasLostIsToldOnceItFlowsAgain) {
  kernel_.write_calls.errors = std::deque<int>(100'000, EAGAIN);
  while (OnStdout().dropped_lines() < 3) OnStdout().Add(Record());
  kernel_.write_calls.errors.clear();
  OnStdout().Flush();
  EXPECT_THAT(kernel_.written[2],
              HasSubstr("access log - can be written again: 3 lines were lost meanwhile"));
  kernel_.written[2].clear();
  OnStdout().Add(Record());
  OnStdout().Flush();
  EXPECT_EQ(kernel_.written[2], "");
}

TEST_F(AccessLogTest, APipeThatFlowsIsTriedSoonAndOneThatDoesNotEverMoreSeldom) {
  OnStdout().Add(Record());
  // The timer's writes, over two seconds in which the log takes nothing.
  kernel_.write_calls.errors = std::deque<int>(1000, EAGAIN);
  OnStdout().Flush();
  kernel_.write_calls.count = 0;
  for (int i = 0; i < 2000; ++i) PassTime(std::chrono::milliseconds(1));
  EXPECT_GE(kernel_.write_calls.count, 6u);  // 20, 40, 80, 160, 320, 640 ms
  EXPECT_LE(kernel_.write_calls.count, 8u);
  kernel_.write_calls.errors = {0, EAGAIN};
  kernel_.write_calls.bytes_max = 5;  // some, and then nothing more
  OnStdout().Flush();
  kernel_.write_calls.bytes_max = SIZE_MAX;
  PassTime(AccessLog::kRetryMin + std::chrono::milliseconds(2));
  EXPECT_EQ(kernel_.written[1], FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, AfterReopenNoFileBeginsInTheMiddleOfALine) {
  const std::string line = FormatAccessLine(Record());
  kernel_.log_path = path_;
  OpenFileLog();
  file_log_->Add(Record());
  file_log_->Add(Record());
  // The disk fills up in the middle of a line, and still is full when the log is reopened.
  kernel_.log_calls.bytes_max = 5;
  kernel_.log_calls.errors = {0, ENOSPC, ENOSPC};
  file_log_->Flush();
  std::filesystem::rename(path_, path_ + ".1");
  file_log_->Reopen();
  EXPECT_EQ(Contents(path_ + ".1"), line.substr(0, 5));
  kernel_.log_calls.bytes_max = SIZE_MAX;
  file_log_->Flush();
  EXPECT_EQ(Contents(path_), line);
  EXPECT_EQ(file_log_->dropped_lines(), 1u);
}

TEST_F(AccessLogTest, AfterReopenARenamedFileGetsNoMoreLines) {
  OpenFileLog();
  file_log_->Add(Record());
  std::filesystem::rename(path_, path_ + ".1");
  file_log_->Reopen();  // what was buffered belongs to the old file
  EXPECT_EQ(Contents(path_ + ".1"), FormatAccessLine(Record()));
  file_log_->Add(Record());
  file_log_->Flush();
  EXPECT_EQ(Contents(path_ + ".1"), FormatAccessLine(Record()));
  EXPECT_EQ(Contents(path_), FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, AReopenThatFailsKeepsTheOldFile) {
  OpenFileLog();
  std::filesystem::rename(path_, path_ + ".1");
  std::filesystem::create_directory(path_);  // EISDIR
  file_log_->Reopen();
  EXPECT_THAT(kernel_.written[2], HasSubstr("EISDIR"));
  file_log_->Add(Record());
  file_log_->Flush();
  EXPECT_EQ(Contents(path_ + ".1"), FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, LinesAreAppendedAndWrittenAtTheEnd) {
  { std::ofstream(path_) << "earlier\n"; }
  OpenFileLog();
  file_log_->Add(Record());
  file_log_.reset();
  EXPECT_EQ(Contents(path_), "earlier\n" + FormatAccessLine(Record()));
}

TEST_F(AccessLogTest, TheLastLinesGetAMomentToLeaveAndNotMore) {
  const std::string line = FormatAccessLine(Record());
  kernel_.log_path = path_;
  OpenFileLog();
  file_log_->Add(Record());
  kernel_.log_calls.errors = {EAGAIN, EAGAIN, EAGAIN};
  file_log_.reset();
  EXPECT_EQ(Contents(path_), line);
  EXPECT_EQ(kernel_.written[2], "");

  // A disk that is full has no more room a moment later.
  OpenFileLog();
  file_log_->Add(Record());
  file_log_->Add(Record());
  kernel_.log_calls.errors = std::deque<int>(1000, ENOSPC);
  file_log_.reset();
  EXPECT_GT(kernel_.log_calls.errors.size(), 990u);
  EXPECT_THAT(kernel_.written[2], HasSubstr("the last 2 lines were lost"));
}

TEST_F(AccessLogTest, AFolderIsNoLog) {
  const Result<LineOutput> opened = AccessLog::Open(kernel_, root_path_);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, EISDIR);
}

TEST_F(AccessLogTest, AConnectionLogsWhatItSent) {
  auto client = Connect();
  client->Send(
      "GET /a.txt HTTP/1.1\r\nHost: x\r\nUser-Agent: a\"b\r\nReferer: r\r\n\r\n"
      "GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntilReceived(*client, "</html>");
  OnStdout().Flush();
  EXPECT_THAT(kernel_.written[1], HasSubstr("\"GET /a.txt HTTP/1.1\" 200 6 \"r\" \"a\\x22b\"\n"));
  EXPECT_THAT(kernel_.written[1], HasSubstr("\"GET /none HTTP/1.1\" 404 "));
}

TEST_F(AccessLogTest, TheVersionIsTheOneThatWasSent) {
  const std::pair<std::string, std::string> lines[] = {
      {"GET /a.txt HTTP/2.0", "\"GET /a.txt HTTP/2.0\" 505 "},
      {"GET /a.txt HTTP/1.7", "\"GET /a.txt HTTP/1.7\" 200 "},
      {"GET /a.txt HTTP/1.x", "\"GET /a.txt\" 400 "},
      {"GET /a.txt HTTP/1.10", "\"GET /a.txt\" 400 "}};
  for (const auto& [line, logged] : lines) {
    auto client = Connect();
    client->Send(line + "\r\nHost: x\r\nConnection: close\r\n\r\n");
    TurnUntilEnd(*client);
    OnStdout().Flush();
    EXPECT_THAT(kernel_.written[1], HasSubstr(logged));
  }
}

// Several answers were gathered, the socket took a few bytes, and the client is gone.
TEST_F(AccessLogTest, NoAnswerIsLoggedWithMoreBytesThanItHas) {
  WriteFile("big", std::string(20'000'000, 'x'));
  const std::string get = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
  auto first = Connect();
  first->Send(get);  // an answer in memory
  TurnUntilReceived(*first, "</html>");
  const uint64_t before = counters_.bytes_sent_memory;
  for (const size_t taken : {size_t{0}, size_t{10}, size_t{500}}) {
    auto client = Connect();
    kernel_.send_calls.bytes_max = taken == 0 ? SIZE_MAX : taken;
    kernel_.send_calls.errors = {taken == 0 ? EAGAIN : 0, EAGAIN, EAGAIN, ECONNRESET};
    client->Send(get + get + "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    TurnUntil([&] { return connections_.back() == nullptr; }, "the close");
    kernel_.send_calls = {};
  }
  OnStdout().Flush();
  std::istringstream in(kernel_.written[1]);
  std::vector<uint64_t> bytes;
  for (std::string line; std::getline(in, line);) {
    const std::string rest = line.substr(line.find("\" ") + 6);
    bytes.push_back(rest[0] == '-' ? 0 : std::stoull(rest));
  }
  ASSERT_EQ(bytes.size(), 1u + 9u) << kernel_.written[1];
  EXPECT_LE(*std::max_element(bytes.begin(), bytes.end()), bytes[0]) << kernel_.written[1];
  EXPECT_EQ(counters_.bytes_sent_memory - before, 510u);
}

TEST_F(AccessLogTest, ACutAnswerIsLoggedWithTheBytesThatLeft) {
  WriteFile("big", std::string(20'000'000, 'x'));
  auto client = Connect(4096);
  client->Send("GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
  TurnUntil([&] { return !backend_.pumped.empty() && send_queue_->empty(); }, "a full socket");
  client->Reset();
  TurnUntil([&] { return connections_[0] == nullptr; }, "the close");
  OnStdout().Flush();
  unsigned long long sent = 0;
  const size_t at = kernel_.written[1].find(" 200 ");
  ASSERT_NE(at, std::string::npos) << kernel_.written[1];
  ASSERT_EQ(std::sscanf(kernel_.written[1].c_str() + at, " 200 %llu", &sent), 1);
  EXPECT_GT(sent, 0u);
  EXPECT_LT(sent, 20'000'000u);
}

}  // namespace
}  // namespace pollux
