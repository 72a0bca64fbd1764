// Every flag: what it sets, what it refuses, and that a refusal is one line that says what is
// valid.
#include "core/server/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

namespace pollux {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

ParsedArguments Parse(std::vector<std::string> words) {
  std::vector<const char*> argv = {"pollux"};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return ParseArguments(static_cast<int>(argv.size()), argv.data());
}

Config Accepted(const std::vector<std::string>& words) {
  ParsedArguments arguments = Parse(words);
  EXPECT_TRUE(arguments.config.has_value()) << arguments.text;
  return arguments.config.value_or(Config{});
}

TEST(ConfigTest, WithoutArgumentsTheDefaultsHold) {
  const Config config = Accepted({});
  EXPECT_EQ(config.root, ".");
  EXPECT_EQ(config.listen.ToString(), "127.0.0.1:8080");
  EXPECT_EQ(config.backend.kind, BackendKind::kAuto);
  EXPECT_EQ(config.coordination, CoordinationKind::kEventfd);
  EXPECT_EQ(config.event_handler, EventHandlerKind::kEpoll);
  EXPECT_EQ(config.backend.chunk_bytes, 1_MiB);
  EXPECT_EQ(config.backend.buffer_budget_bytes, 256_MiB);
  EXPECT_EQ(config.backend.retire, Retire::kPunch);
  EXPECT_EQ(config.metrics_path, "");
  EXPECT_EQ(config.access_log, "");
  EXPECT_EQ(config.user, "");
}

struct Good {
  const char* flag;
  const char* value;
  std::function<bool(const Config&)> holds;
};

TEST(ConfigTest, EachFlagSetsItsField) {
  const std::vector<Good> table = {
      {"--listen", "[::1]:0", [](auto& c) { return c.listen.ToString() == "[::1]:0"; }},
      {"--backend", "writev", [](auto& c) { return c.backend.kind == BackendKind::kWritev; }},
      {"--backend", "linux-sendfile",
       [](auto& c) { return c.backend.kind == BackendKind::kLinuxSendfile; }},
      {"--backend", "linux-aio-sendfile",
       [](auto& c) { return c.backend.kind == BackendKind::kLinuxAioSendfile; }},
      {"--backend", "linux-aio-write",
       [](auto& c) { return c.backend.kind == BackendKind::kLinuxAioWrite; }},
      {"--backend", "threads-sendfile",
       [](auto& c) { return c.backend.kind == BackendKind::kThreadsSendfile; }},
      {"--backend", "auto", [](auto& c) { return c.backend.kind == BackendKind::kAuto; }},
      {"--coordination", "masked",
       [](auto& c) { return c.coordination == CoordinationKind::kMasked; }},
      {"--event-handler", "poll",
       [](auto& c) { return c.event_handler == EventHandlerKind::kPoll; }},
      {"--chunk", "1M", [](auto& c) { return c.backend.chunk_bytes == 1_MiB; }},
      {"--chunk", "4096", [](auto& c) { return c.backend.chunk_bytes == 4_KiB; }},
      {"--chunk", "64M", [](auto& c) { return c.backend.chunk_bytes == 64_MiB; }},
      {"--aio-depth", "7", [](auto& c) { return c.backend.aio_depth == 7; }},
      {"--buffer-budget", "1G", [](auto& c) { return c.backend.buffer_budget_bytes == 1_GiB; }},
      {"--retire", "fresh", [](auto& c) { return c.backend.retire == Retire::kFresh; }},
      {"--retire", "reuse", [](auto& c) { return c.backend.retire == Retire::kReuse; }},
      {"--shm-dir", "/dev/shm", [](auto& c) { return c.backend.shm_dir == "/dev/shm"; }},
      {"--io-threads", "3", [](auto& c) { return c.io_threads == 3; }},
      {"--max-connections", "1", [](auto& c) { return c.max_connections == 1; }},
      {"--access-log", "-", [](auto& c) { return c.access_log == "-"; }},
      {"--error-log-level", "debug",
       [](auto& c) { return c.error_log_level == spdlog::level::debug; }},
      {"--user", "nobody", [](auto& c) { return c.user == "nobody"; }},
      {"--metrics-path", "/metrics", [](auto& c) { return c.metrics_path == "/metrics"; }},
      {"--header-timeout", "250ms", [](auto& c) { return c.header_timeout == milliseconds(250); }},
      {"--idle-timeout", "1s", [](auto& c) { return c.idle_timeout == milliseconds(1000); }},
      {"--send-timeout", "2m", [](auto& c) { return c.send_timeout == milliseconds(120000); }},
      {"--drain-timeout", "0s", [](auto& c) { return c.drain_timeout == milliseconds(0); }},
      {"--max-unsent", "1M", [](auto& c) { return c.unsent_bytes_max == 1_MiB; }},
      {"--max-unsent-total", "2M", [](auto& c) { return c.unsent_total_bytes == 2_MiB; }},
      {"--max-head", "32K", [](auto& c) { return c.limits.head_bytes_max == 32_KiB; }},
      {"--max-headers", "12", [](auto& c) { return c.limits.header_count_max == 12; }},
      {"--max-target", "8000", [](auto& c) { return c.limits.target_bytes_max == 8000; }},
      {"--max-ranges", "1", [](auto& c) { return c.rules.ranges_max == 1; }},
      {"--max-ranges", "1000", [](auto& c) { return c.rules.ranges_max == 1000; }},
      {"--symlinks", "inside", [](auto& c) { return c.symlinks == Symlinks::kInside; }},
      {"--symlinks", "follow", [](auto& c) { return c.symlinks == Symlinks::kFollow; }},
      {"--symlinks", "none", [](auto& c) { return c.symlinks == Symlinks::kNone; }},
      {"--listing-memory", "1M", [](auto& c) { return c.rules.listing_memory_max == 1_MiB; }},
  };
  for (const Good& row : table) {
    EXPECT_TRUE(row.holds(Accepted({row.flag, row.value}))) << row.flag << " " << row.value;
  }
  EXPECT_EQ(Accepted({"/srv/mirror"}).root, "/srv/mirror");
}

struct Bad {
  std::vector<std::string> words;
  const char* says;  // what is valid
};

TEST(ConfigTest, EachBadValueIsOneLineThatSaysWhatIsValid) {
  const std::vector<Bad> table = {
      {{"--listen", "8080"}, "ADDR:PORT"},
      {{"--listen", "127.0.0.1"}, "ADDR:PORT"},
      {{"--listen", "127.0.0.1:65536"}, "ADDR:PORT"},
      {{"--listen", "127.0.0.1:-1"}, "ADDR:PORT"},
      {{"--listen", "::1:80"}, "[::1]:0"},
      {{"--listen", "localhost:80"}, "numeric"},
      {{"--backend", "sendfile"}, "linux-aio-sendfile"},
      {{"--coordination", "signal"}, "published, masked, eventfd"},
      {{"--event-handler", "kqueue"}, "epoll, poll"},
      {{"--event-handler", "EPOLL"}, "epoll, poll"},
      {{"--chunk", "0"}, "from 4K to 64M"},
      {{"--chunk", "4095"}, "from 4K to 64M"},
      {{"--chunk", "65M"}, "from 4K to 64M"},
      {{"--chunk", "5000"}, "not a multiple of 4K"},
      {{"--chunk", "1k"}, "512K, 1M or 1G"},
      {{"--chunk", "1.5M"}, "512K, 1M or 1G"},
      {{"--chunk", "-1"}, "512K, 1M or 1G"},
      {{"--chunk", "99999999999999999999"}, "512K, 1M or 1G"},
      {{"--chunk", ""}, "512K, 1M or 1G"},
      {{"--aio-depth", "0"}, "from 1 to 65536"},
      {{"--aio-depth", "65537"}, "from 1 to 65536"},
      {{"--aio-depth", "1K"}, "from 1 to 65536"},
      {{"--buffer-budget", "1000K"}, "does not hold two chunks of 1M"},
      {{"--buffer-budget", "lots"}, "512K, 1M or 1G"},
      {{"--retire", "never"}, "punch, fresh, reuse"},
      {{"--io-threads", "0"}, "from 1 to 256"},
      {{"--io-threads", "257"}, "from 1 to 256"},
      {{"--max-connections", "0"}, "from 1 to 1000000"},
      {{"--max-connections", "1000001"}, "from 1 to 1000000"},
      {{"--user", ""}, "the name of a user"},
      {{"--access-log", ""}, "a file, or - for standard output"},
      {{"--shm-dir", ""}, "a folder, such as /dev/shm"},
      {{"--error-log-level", "loud"}, "debug, info, warn, error"},
      {{"--metrics-path", "metrics"}, "begins with /"},
      {{"--metrics-path", ""}, "begins with /"},
      {{"--header-timeout", "10"}, "500ms, 10s or 2m"},
      {{"--header-timeout", "0s"}, "from 1ms"},
      {{"--idle-timeout", "1h"}, "500ms, 10s or 2m"},
      {{"--send-timeout", "1441m"}, "to 1440m"},
      {{"--send-timeout", "-1s"}, "500ms, 10s or 2m"},
      {{"--drain-timeout", "soon"}, "500ms, 10s or 2m"},
      {{"--max-unsent", "4095"}, "from 4K to 1G"},
      {{"--metrics-path", "/a/../m"}, "plain path"},
      {{"--metrics-path", "/m?x"}, "plain path"},
      {{"--metrics-path", "//m"}, "plain path"},
      {{"--max-unsent-total", "1023K"}, "from 1M to 1024G"},
      {{"--max-head", "255"}, "from 256 to 1M"},
      {{"--max-headers", "0"}, "from 1 to 10000"},
      {{"--max-target", "63"}, "from 64 to 1M"},
      {{"--max-ranges", "0"}, "from 1 to 1000"},
      {{"--max-ranges", "1001"}, "from 1 to 1000"},
      {{"--symlinks", "some"}, "inside, follow, none"},
      {{"--listing-memory", "1023K"}, "from 1M to"},
      {{"--no-such-flag"}, "--no-such-flag"},
      {{"--chunk"}, "--chunk"},
      {{"one", "two"}, "two"},
      {{"--coordination", "published"}, "--event-handler poll"},
      {{"--coordination", "published", "--event-handler", "epoll"}, "--event-handler poll"},
  };
  for (const Bad& row : table) {
    const ParsedArguments arguments = Parse(row.words);
    const std::string shown = ::testing::PrintToString(row.words);
    EXPECT_FALSE(arguments.config.has_value()) << shown;
    EXPECT_EQ(arguments.exit_status, 2) << shown;
    EXPECT_THAT(arguments.text, StartsWith("pollux: ")) << shown;
    EXPECT_THAT(arguments.text, HasSubstr(row.says)) << shown;
    // One line, and its end is the text's end.
    EXPECT_EQ(arguments.text.find('\n'), arguments.text.size() - 1) << shown;
  }
}

TEST(ConfigTest, AMistakeNamesTheFlagAndTheWord) {
  const std::string text = Parse({"--chunk", "12Q"}).text;
  EXPECT_THAT(text, HasSubstr("--chunk"));
  EXPECT_THAT(text, HasSubstr("'12Q'"));
}

TEST(ConfigTest, AFlagIsGivenOnce) {
  for (const char* flag : {"--chunk", "--listen", "--access-log", "--user", "--idle-timeout"}) {
    const char* value = std::string(flag) == "--chunk"          ? "64K"
                        : std::string(flag) == "--listen"       ? "127.0.0.1:0"
                        : std::string(flag) == "--idle-timeout" ? "1s"
                                                                : "x";
    const ParsedArguments twice = Parse({flag, value, flag, value});
    EXPECT_EQ(twice.exit_status, 2);
    EXPECT_EQ(twice.text, std::string("pollux: ") + flag + " is given 2 times; give it once\n");
    EXPECT_THAT(Parse({flag, value, flag, value, flag, value}).text, HasSubstr("3 times"));
  }
}

TEST(ConfigTest, FlagsThatHaveNoEffectBesideTheOthersAreWarnedOf) {
  EXPECT_TRUE(Accepted({}).warnings.empty());
  EXPECT_TRUE(Accepted({"--max-head", "256"}).warnings.empty());
  EXPECT_THAT(Accepted({"--max-target", "16385"}).warnings,
              ::testing::ElementsAre(StartsWith("--max-target is beyond --max-head, 16K")));
  EXPECT_TRUE(Accepted({"--backend", "linux-aio-sendfile", "--retire", "fresh", "--shm-dir", "/x"})
                  .warnings.empty());
  for (const char* backend :
       {"writev", "linux-sendfile", "linux-aio-write", "threads-sendfile", "auto"}) {
    const auto warnings =
        Accepted({"--backend", backend, "--retire", "punch", "--shm-dir", "/x"}).warnings;
    ASSERT_EQ(warnings.size(), 2u) << backend;
    EXPECT_THAT(warnings[0],
                StartsWith(std::string("--retire has no effect with --backend ") + backend));
    EXPECT_THAT(warnings[1], StartsWith("--shm-dir has no effect"));
  }
}

TEST(ConfigTest, AnArgumentCannotBreakTheLine) {
  const ParsedArguments arguments = Parse({"--backend", "a\nb\x1b[31m"});
  EXPECT_EQ(arguments.exit_status, 2);
  EXPECT_EQ(arguments.text.find('\n'), arguments.text.size() - 1);
  EXPECT_EQ(arguments.text.find('\x1b'), std::string::npos);
}

TEST(ConfigTest, PublishedIsAcceptedWithPoll) {
  EXPECT_EQ(Accepted({"--coordination", "published", "--event-handler", "poll"}).coordination,
            CoordinationKind::kPublished);
}

TEST(ConfigTest, TheSmallestBudgetHoldsTwoChunks) {
  EXPECT_EQ(Accepted({"--chunk", "1M", "--buffer-budget", "2M"}).backend.buffer_budget_bytes,
            2_MiB);
  EXPECT_EQ(Parse({"--chunk", "1M", "--buffer-budget", "2097151"}).exit_status, 2);
}

TEST(ConfigTest, HelpGivesEachFlagItsDefaultAndUnit) {
  const ParsedArguments arguments = Parse({"--help"});
  EXPECT_FALSE(arguments.config.has_value());
  EXPECT_EQ(arguments.exit_status, 0);
  for (const char* part : {"--listen",
                           "[127.0.0.1:8080]",
                           "--backend",
                           "[auto]",
                           "--coordination",
                           "[eventfd]",
                           "--event-handler",
                           "[epoll]",
                           "--chunk",
                           "[bytes; 1M]",
                           "--aio-depth",
                           "[64]",
                           "--buffer-budget",
                           "[bytes; 256M]",
                           "--retire",
                           "[punch]",
                           "--shm-dir",
                           "--io-threads",
                           "[32]",
                           "--max-connections",
                           "[10000]",
                           "--access-log",
                           "--error-log-level",
                           "[info]",
                           "--user",
                           "--metrics-path",
                           "--header-timeout",
                           "[ms, s or m; 10s]",
                           "--idle-timeout",
                           "[ms, s or m; 1m]",
                           "--send-timeout",
                           "--drain-timeout",
                           "[ms, s or m; 30s]",
                           "--max-head",
                           "[bytes; 16K]",
                           "--max-headers",
                           "[100]",
                           "--max-target",
                           "[bytes; 8K]",
                           "--version",
                           "--help"}) {
    EXPECT_THAT(arguments.text, HasSubstr(part));
  }
}

TEST(ConfigTest, VersionIsAnswered) {
  const ParsedArguments arguments = Parse({"--version"});
  EXPECT_EQ(arguments.exit_status, 0);
  EXPECT_THAT(arguments.text, ::testing::MatchesRegex("pollux [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

}  // namespace
}  // namespace pollux
