// The whole program on a steered kernel: how it refuses to start, and how it stops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/server/server.h"
#include "tests/server/steered_kernel.h"

namespace pollux {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Refuses what the test names; runs `when_listening` when the first line is out.
class StartKernel final : public SteeredKernel {
 public:
  std::function<void()> when_listening;
  int setgroups_error = 0, setgid_error = 0, setuid_error = 0, epoll_create_error = 0,
      eventfd_error = 0, bind_error = 0, setrlimit_error = 0, mime_error = 0, root_error = 0;
  std::string calls;  // of those that change who we are, and of bind
  uid_t uid = 0;
  rlimit nofile{100, 100'000};

  Result<int> openat(int dirfd, const char* path, int flags, mode_t mode) override {
    if (mime_error != 0 && std::string_view(path) == "/etc/mime.types") {
      return Err(mime_error, "openat");
    }
    return SteeredKernel::openat(dirfd, path, flags, mode);
  }
  Result<int> openat2(int dirfd, const char* path, const open_how& how) override {
    if (root_error != 0 && std::string_view(path) == ".") return Err(root_error, "openat2");
    return SteeredKernel::openat2(dirfd, path, how);
  }
  Result<size_t> write(int fd, const void* buf, size_t count) override {
    const Result<size_t> result = SteeredKernel::write(fd, buf, count);
    if (fd == 1 && when_listening) std::exchange(when_listening, nullptr)();
    return result;
  }
  Status bind(int fd, const sockaddr* addr, socklen_t len) override {
    calls += "bind ";
    if (bind_error != 0) return Err(bind_error, "bind");
    return SteeredKernel::bind(fd, addr, len);
  }
  Result<int> epoll_create1(int flags) override {
    if (epoll_create_error != 0) return Err(epoll_create_error, "epoll_create1");
    return SteeredKernel::epoll_create1(flags);
  }
  Result<int> eventfd(unsigned initval, int flags) override {
    if (eventfd_error != 0) return Err(eventfd_error, "eventfd");
    return SteeredKernel::eventfd(initval, flags);
  }
  Result<PasswordEntry> getpwnam(const char* name) override {
    if (std::string_view(name) == "somebody") return PasswordEntry{1234, 5678};
    return Err(ENOENT, "getpwnam_r");
  }
  uid_t geteuid() override { return uid; }
  Status setgroups(std::span<const gid_t> groups) override {
    EXPECT_EQ(groups.size(), 1u);
    EXPECT_EQ(groups[0], 5678u);
    return Change("setgroups ", setgroups_error);
  }
  Status setgid(gid_t gid) override {
    EXPECT_EQ(gid, 5678u);
    return Change("setgid ", setgid_error);
  }
  Status setuid(uid_t to) override {
    EXPECT_EQ(to, 1234u);
    return Change("setuid ", setuid_error);
  }
  Status getrlimit(int resource, rlimit* out) override {
    EXPECT_EQ(resource, RLIMIT_NOFILE);
    *out = nofile;
    return {};
  }
  Status setrlimit(int resource, const rlimit& limit) override {
    EXPECT_EQ(resource, RLIMIT_NOFILE);
    if (setrlimit_error != 0) return Err(setrlimit_error, "setrlimit");
    nofile = limit;
    return {};
  }

 private:
  Status Change(const char* call, int error) {
    calls += call;
    if (error != 0) return Err(error, "change");
    return {};
  }
};

// Dispositions and masks belong to the process: each test leaves them as they were.
class SignalRestorer {
 public:
  SignalRestorer() {
    ::pthread_sigmask(SIG_BLOCK, nullptr, &mask_);
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], nullptr, &old_[i]);
  }
  ~SignalRestorer() {
    for (size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &old_[i], nullptr);
    ::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
  }

 private:
  static constexpr std::array kSignals = {SIGUSR1, SIGALRM, SIGTERM, SIGINT,
                                          SIGHUP,  SIGPIPE, SIGXFSZ};
  sigset_t mask_{};
  std::array<struct sigaction, kSignals.size()> old_{};
};

class ServerMainTest : public ::testing::Test {
 protected:
  ServerMainTest() {
    std::string path = (std::filesystem::temp_directory_path() / "pollux-main-XXXXXX").string();
    CHECK(::mkdtemp(path.data()) != nullptr);
    root_ = path;
    // A server that gets going is stopped at once, unless the test has other plans.
    kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
  }
  ~ServerMainTest() override { std::filesystem::remove_all(root_); }

  int Main(const std::vector<std::string>& words, bool with_root = true) {
    std::vector<const char*> argv = {"pollux"};
    if (with_root) argv.push_back(root_.c_str());
    argv.push_back("--listen");
    argv.push_back("127.0.0.1:0");
    for (const std::string& word : words) argv.push_back(word.c_str());
    const SignalRestorer restorer;
    return ServerMain(kernel_, static_cast<int>(argv.size()), argv.data());
  }
  const std::string& Out() { return kernel_.written[1]; }
  const std::string& ErrText() { return kernel_.written[2]; }
  // A start that is refused: one line, with this in it.
  void ExpectRefused(int status, const std::string& part) {
    EXPECT_EQ(status, 2);
    EXPECT_THAT(ErrText(), AllOf(StartsWith("pollux: "), HasSubstr(part)));
    EXPECT_EQ(ErrText().find('\n'), ErrText().size() - 1) << ErrText();
    EXPECT_EQ(Out(), "");
  }

  StartKernel kernel_;
  std::string root_;
};

TEST_F(ServerMainTest, AnnouncesItselfFirstAndStopsOnSigterm) {
  EXPECT_EQ(Main({}), 0);
  EXPECT_THAT(Out(), ::testing::MatchesRegex("pollux: listening on http://127.0.0.1:[0-9]+\n"));
}

TEST_F(ServerMainTest, StopsInEveryCoordinationAndHandler) {
  for (const char* coordination : {"published", "masked", "eventfd"}) {
    for (const char* handler : {"epoll", "poll"}) {
      if (std::string_view(coordination) == "published" && std::string_view(handler) == "epoll") {
        continue;
      }
      kernel_.when_listening = [] { ::kill(::getpid(), SIGINT); };
      EXPECT_EQ(Main({"--coordination", coordination, "--event-handler", handler}), 0)
          << coordination << " " << handler;
    }
  }
}

TEST_F(ServerMainTest, StopsWithEveryBackend) {
  for (const char* backend : {"writev", "linux-sendfile", "linux-aio-sendfile", "linux-aio-write",
                              "threads-sendfile", "auto"}) {
    kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
    EXPECT_EQ(Main({"--backend", backend}), 0) << backend;
  }
}

TEST_F(ServerMainTest, OtherSignalsDoNotStopIt) {
  kernel_.when_listening = [] {
    for (const int signum : {SIGUSR1, SIGALRM, SIGHUP, SIGPIPE, SIGXFSZ})
      ::kill(::getpid(), signum);
    ::kill(::getpid(), SIGTERM);
  };
  EXPECT_EQ(Main({}), 0);
}

TEST_F(ServerMainTest, WarnsOfSpecimens) {
  EXPECT_EQ(Main({"--coordination", "published", "--event-handler", "poll"}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("published"));
  kernel_.written.clear();
  kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
  EXPECT_EQ(Main({"--retire", "reuse", "--backend", "linux-aio-sendfile"}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("reuse"));
}

TEST_F(ServerMainTest, HelpAndVersionSucceedOnStandardOutput) {
  kernel_.when_listening = nullptr;  // they write, but serve nothing that could be stopped
  EXPECT_EQ(Main({"--help"}), 0);
  EXPECT_THAT(Out(), HasSubstr("--coordination"));
  EXPECT_EQ(ErrText(), "");
  kernel_.written.clear();
  EXPECT_EQ(Main({"--version"}), 0);
  EXPECT_THAT(Out(), StartsWith("pollux "));
}

TEST_F(ServerMainTest, ABadFlagIsRefused) { ExpectRefused(Main({"--chunk", "7"}), "--chunk"); }

TEST_F(ServerMainTest, ARootThatIsNotThereIsRefused) {
  ExpectRefused(Main({"/no/such/folder"}, false), "/no/such/folder");
}

TEST_F(ServerMainTest, ARootThatIsNoFolderIsRefused) {
  ExpectRefused(Main({"/etc/passwd"}, false), "ENOTDIR");
}

TEST_F(ServerMainTest, ARootThatTheUserMayNotEnterIsRefused) {
  kernel_.root_error = EACCES;
  ExpectRefused(Main({}), "EACCES");
}

// Without openat2(2) nothing can be served, which is better said than answered.
TEST_F(ServerMainTest, AKernelThatCannotKeepPathsInsideIsRefused) {
  for (const auto& [code, advice] : {std::pair{ENOSYS, "Linux 5.6"}, {EPERM, "seccomp"}}) {
    kernel_.written.clear();
    kernel_.root_error = code;
    ExpectRefused(Main({}), ErrnoName(code));
    EXPECT_THAT(ErrText(), HasSubstr(advice));
  }
}

TEST_F(ServerMainTest, AnAddressThatCannotBeHadIsRefused) {
  for (const int code : {EADDRINUSE, EACCES, EADDRNOTAVAIL}) {
    kernel_.written.clear();
    kernel_.bind_error = code;
    ExpectRefused(Main({}), "--listen 127.0.0.1:0: bind: " + ErrnoName(code));
  }
}

TEST_F(ServerMainTest, AnUnknownUserIsRefused) {
  ExpectRefused(Main({"--user", "nosuchuser"}), "there is no such user");
}

TEST_F(ServerMainTest, PrivilegesAreDroppedAfterTheBindGroupsFirst) {
  EXPECT_EQ(Main({"--user", "somebody"}), 0);
  EXPECT_EQ(kernel_.calls, "bind setgroups setgid setuid ");
}

TEST_F(ServerMainTest, WhoIsTheUserAlreadyChangesNothing) {
  kernel_.uid = 1234;
  EXPECT_EQ(Main({"--user", "somebody"}), 0);
  EXPECT_EQ(kernel_.calls, "bind ");
}

TEST_F(ServerMainTest, PrivilegesThatCannotBeDroppedAreRefused) {
  for (int* error : {&kernel_.setgroups_error, &kernel_.setgid_error, &kernel_.setuid_error}) {
    kernel_.written.clear();
    *error = EPERM;
    ExpectRefused(Main({"--user", "somebody"}), "only root");
    *error = 0;
  }
}

TEST_F(ServerMainTest, ALoopThatCannotBeBuiltIsRefused) {
  kernel_.epoll_create_error = EMFILE;
  ExpectRefused(Main({}), "epoll_create1: EMFILE");
  kernel_.epoll_create_error = 0;
  kernel_.written.clear();
  kernel_.eventfd_error = EMFILE;
  ExpectRefused(Main({}), "eventfd: EMFILE");
}

TEST_F(ServerMainTest, AnAccessLogThatCannotBeOpenedIsRefused) {
  ExpectRefused(Main({"--access-log", "/no/such/folder/log"}), "--access-log");
}

TEST_F(ServerMainTest, TheDescriptorLimitIsRaised) {
  EXPECT_EQ(Main({}), 0);
  EXPECT_EQ(kernel_.nofile.rlim_cur, 100'000u);
}

TEST_F(ServerMainTest, ADescriptorLimitThatStaysIsNoReasonNotToServe) {
  kernel_.setrlimit_error = EPERM;
  EXPECT_EQ(Main({}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("RLIMIT_NOFILE"));
}

TEST_F(ServerMainTest, FewerDescriptorsThanConnectionsAreToldWithWhatToDo) {
  kernel_.nofile = {100, 1000};
  EXPECT_EQ(Main({}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("RLIMIT_NOFILE is 1000: at most 885 connections at once, not "
                                   "--max-connections 10000; raise its hard limit"));
  kernel_.written.clear();
  kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
  EXPECT_EQ(Main({"--max-connections", "885"}), 0);
  EXPECT_THAT(ErrText(), ::testing::Not(HasSubstr("RLIMIT_NOFILE")));
  kernel_.written.clear();
  kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
  EXPECT_EQ(Main({"--max-connections", "886"}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("at most 885"));
}

TEST_F(ServerMainTest, FlagsWithoutUseAreToldAndServedWithout) {
  EXPECT_EQ(Main({"--retire", "fresh"}), 0);
  EXPECT_THAT(ErrText(), HasSubstr("--retire has no effect with --backend auto"));
}

TEST_F(ServerMainTest, MissingMimeTypesAreToldAndServedWithout) {
  for (const int code : {ENOENT, EACCES, EMFILE, EIO}) {
    kernel_.written.clear();
    kernel_.mime_error = code;
    kernel_.when_listening = [] { ::kill(::getpid(), SIGTERM); };
    EXPECT_EQ(Main({}), 0);
    EXPECT_THAT(ErrText(), HasSubstr("/etc/mime.types: openat: " + ErrnoName(code)));
  }
}

}  // namespace
}  // namespace pollux
