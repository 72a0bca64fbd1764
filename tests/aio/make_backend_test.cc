// From options to a backend: what is refused, what is only warned of, and what happens without AIO.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string>

#include "core/aio/aio_backend.h"
#include "core/aio/backend.h"
#include "core/base/units.h"
#include "core/sys/log.h"
#include "tests/aio/loopback.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {
namespace {

BackendOptions Small(BackendKind kind) {
  BackendOptions options;
  options.kind = kind;
  options.buffer_budget_bytes = 4_MiB;
  return options;
}

class MakeBackendTest : public ::testing::Test, public TransferWaiter {
 protected:
  MakeBackendTest() : log_fd_(::memfd_create("log", MFD_CLOEXEC)) {}
  ~MakeBackendTest() override {
    aio_.workers().Stop();
    ::close(log_fd_);
  }
  void OnTransferReady() override {}

  Result<std::unique_ptr<Backend>> Make(const BackendOptions& options) {
    return MakeBackend(options, aio_.kernel(), aio_.loop(), aio_.workers(), log_, aio_.stats());
  }
  std::string Logged() {
    std::string text(8192, '\0');
    const ssize_t got = ::pread(log_fd_, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<size_t>(got) : 0);
    return text;
  }
  std::string SendAll(Backend& backend, uint64_t size = 300'001) {
    const PatternFile file(dir_, size);
    Loopback loopback(aio_.kernel());
    auto transfer =
        backend.Start({loopback.socket(), file.Open(aio_.kernel()), 0, file.size(), this});
    std::string received;
    for (int i = 0; i < 1000 && received.size() < file.size(); ++i) {
      const auto outcome = transfer->Pump(64_KiB);
      EXPECT_TRUE(outcome);
      if (!outcome) break;
      if (*outcome == Transfer::Outcome::kWaiting) aio_.CompleteAll();
      received += loopback.ReadSome();
      if (*outcome == Transfer::Outcome::kDone) {
        received += loopback.ReadExactly(file.size() - received.size());
      }
    }
    EXPECT_EQ(received.size(), file.size());
    return received;
  }

  const TempDir dir_;
  ScriptedAio aio_;
  const int log_fd_;
  Logger log_{aio_.kernel(), log_fd_, spdlog::level::warn};
};

constexpr BackendKind kAll[] = {BackendKind::kWritev,          BackendKind::kLinuxSendfile,
                                BackendKind::kThreadsSendfile, BackendKind::kLinuxAioSendfile,
                                BackendKind::kLinuxAioWrite,   BackendKind::kAuto};

TEST_F(MakeBackendTest, EveryKindSendsExactly) {
  for (const BackendKind kind : kAll) {
    SCOPED_TRACE(ToString(kind));
    auto backend = Make(Small(kind));
    ASSERT_TRUE(backend);
    EXPECT_TRUE(HoldsPattern(SendAll(**backend)));
  }
  EXPECT_EQ(Logged(), "");
}

TEST_F(MakeBackendTest, WithoutRoomForAContextThreadsServeAndTheWarningNamesTheSysctl) {
  for (const BackendKind kind :
       {BackendKind::kLinuxAioSendfile, BackendKind::kLinuxAioWrite, BackendKind::kAuto}) {
    SCOPED_TRACE(ToString(kind));
    aio_.kernel().setup_error = EAGAIN;
    auto backend = Make(Small(kind));
    ASSERT_TRUE(backend);
    EXPECT_NE(Logged().find("fs.aio-max-nr"), std::string::npos) << Logged();
    EXPECT_TRUE(HoldsPattern(SendAll(**backend)));
    EXPECT_EQ(aio_.stats().reads_submitted, 0u);
  }
}

TEST_F(MakeBackendTest, OtherRefusalsDoNotBlameTheSysctl) {
  aio_.kernel().setup_error = EPERM;
  ASSERT_TRUE(Make(Small(BackendKind::kLinuxAioWrite)));
  EXPECT_EQ(Logged().find("fs.aio-max-nr"), std::string::npos);
  EXPECT_EQ(Logged().find("has no AIO"), std::string::npos);
  aio_.kernel().setup_error = ENOSYS;
  ASSERT_TRUE(Make(Small(BackendKind::kLinuxAioWrite)));
  EXPECT_NE(Logged().find("has no AIO"), std::string::npos);
}

// Cold files under `auto`: by which way they go out, for a device that reads ahead so far.
class MakeAutoTest : public MakeBackendTest {
 protected:
  // How many bytes of a cold file of `size` are read by AIO; the others come by threads.
  uint64_t ReadDirectly(std::optional<unsigned> read_ahead_kib, uint64_t size) {
    aio_.kernel().read_ahead_kib = read_ahead_kib;
    aio_.kernel().cached = [](uint64_t) { return false; };
    BackendOptions options = Small(BackendKind::kAuto);
    const Fd root = *OwnFd(
        aio_.kernel(),
        aio_.kernel().openat(AT_FDCWD, dir_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
    options.root_fd = root.get();
    auto backend = Make(options);
    EXPECT_TRUE(backend);
    aio_.stats() = AioStats{};
    EXPECT_TRUE(HoldsPattern(SendAll(**backend, size)));
    EXPECT_EQ(aio_.stats().bytes_sent, size);
    EXPECT_EQ(aio_.stats().bytes_sent_cached, 0u);
    EXPECT_EQ(aio_.stats().fallbacks, 0u);
    return aio_.stats().bytes_read;
  }
};

TEST_F(MakeAutoTest, WhereTheDeviceReadsFarAheadColdFilesGoThroughThePageCache) {
  EXPECT_EQ(ReadDirectly(8192, 5_MiB), 0u);
  EXPECT_EQ(ReadDirectly(2048, 5_MiB), 0u);
}

TEST_F(MakeAutoTest, ElsewhereTheyAreReadDirectly) {
  EXPECT_EQ(ReadDirectly(2047, 5_MiB), 5_MiB);
  EXPECT_EQ(ReadDirectly(128, 5_MiB), 5_MiB);
  EXPECT_EQ(ReadDirectly(std::nullopt, 5_MiB), 5_MiB);  // cannot be known
}

TEST_F(MakeAutoTest, SmallOnesGoThroughThePageCacheAnyhow) {
  EXPECT_EQ(ReadDirectly(128, kPopulateBelowBytes), kPopulateBelowBytes);
  EXPECT_EQ(ReadDirectly(128, kPopulateBelowBytes - 1), 0u);
}

TEST_F(MakeBackendTest, SizesThatMakeNoSenseAreRefused) {
  const auto code = [&](uint64_t chunk, uint64_t budget, unsigned depth) {
    BackendOptions options = Small(BackendKind::kLinuxAioWrite);
    options.chunk_bytes = chunk;
    options.buffer_budget_bytes = budget;
    options.aio_depth = depth;
    auto backend = Make(options);
    return backend ? 0 : backend.error().code;
  };
  EXPECT_EQ(code(0, 4_MiB, 8), EINVAL);
  EXPECT_EQ(code(5000, 4_MiB, 8), EINVAL);
  EXPECT_EQ(code(8_MiB, 4_MiB, 8), EINVAL);
  EXPECT_EQ(code(4_KiB, 4_MiB, 0), EINVAL);
  EXPECT_EQ(code(4_KiB, 4_KiB, 1), 0);
}

TEST_F(MakeBackendTest, ADirectoryThatIsNotThereIsAnErrorAndLeavesNoContext) {
  BackendOptions options = Small(BackendKind::kLinuxAioSendfile);
  options.shm_dir = "/nowhere/at/all";
  auto backend = Make(options);
  ASSERT_FALSE(backend);
  EXPECT_EQ(backend.error().code, ENOENT);
  EXPECT_EQ(aio_.coordination().attached_depth, 0u);  // it takes a context only once
}

TEST_F(MakeBackendTest, OnlyTheWayByReferenceNeedsSharedMemory) {
  for (const BackendKind kind : {BackendKind::kLinuxAioWrite, BackendKind::kAuto}) {
    BackendOptions options = Small(kind);
    options.shm_dir = "/nowhere/at/all";
    options.retire = Retire::kReuse;  // says nothing of memory that is sent by copy
    EXPECT_TRUE(Make(options)) << ToString(kind);
  }
  EXPECT_EQ(Logged(), "");
}

TEST_F(MakeBackendTest, TheSpecimenWarnsAndTheOthersDoNot) {
  BackendOptions options = Small(BackendKind::kLinuxAioSendfile);
  for (const Retire retire : {Retire::kPunch, Retire::kFresh}) {
    options.retire = retire;
    ASSERT_TRUE(Make(options));
  }
  EXPECT_EQ(Logged(), "");
  options.retire = Retire::kReuse;
  ASSERT_TRUE(Make(options));
  EXPECT_NE(Logged().find("--retire reuse"), std::string::npos);
}

}  // namespace
}  // namespace pollux
