// The model is held to what Linux was seen to do in a whole run: the core's loop, with each of its
// coordinations, reads a file into shared memory and sends it on, on the real kernel and under a
// recorder. The simulated kernel has to accept what was recorded, and to refuse what was never
// seen.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>

#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/raii.h"
#include "fakes/recording/accept.h"
#include "fakes/recording/recording_kernel.h"
#include "tests/base/missing.h"

namespace pollux {
namespace {

constexpr size_t kChunkBytes = 8192;
constexpr size_t kFileBytes = 3 * kChunkBytes + 100;  // the tail comes back short

std::string Contents() {
  std::string bytes(kFileBytes, '\0');
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 % 251);
  return bytes;
}

// A file in the build tree, where there is direct I/O on most machines.
class ScratchFile {
 public:
  ScratchFile() : path_("recording.XXXXXX") {
    const int fd = ::mkstemp(path_.data());
    EXPECT_GE(fd, 0);
    ::close(fd);
    std::ofstream(path_) << Contents();
    path_ = std::filesystem::canonical(path_);
  }
  ~ScratchFile() { ::unlink(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// The client's end, on plain system calls: what it does is written down as done outside.
class Client {
 public:
  explicit Client(RecordingKernel& recorder) : recorder_(recorder) {}
  ~Client() { ::close(socket_); }
  void Connect(int listener) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    recorder_.Outside(
        "peer connects",
        [&] {
          socket_ = ::socket(AF_INET, SOCK_STREAM, 0);
          const int status = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), length);
          return std::to_string(status);
        },
        [](Translation& t) {
          t.peer_connects();
          return std::string("0");
        });
  }
  void Send(const std::string& bytes) {
    recorder_.Outside(
        "peer sends",
        [&] { return std::to_string(::send(socket_, bytes.data(), bytes.size(), 0)); },
        [bytes](Translation& t) {
          t.peer_sends(bytes);
          return std::to_string(bytes.size());
        });
  }
  std::string Take(size_t count) {
    const auto text = [](const std::string& bytes) {
      return std::to_string(bytes.size()) + " bytes of hash " +
             std::to_string(std::hash<std::string>()(bytes));
    };
    std::string bytes(count, '\0');
    recorder_.Outside(
        "peer takes",
        [&] {
          EXPECT_EQ(::recv(socket_, bytes.data(), count, MSG_WAITALL), static_cast<ssize_t>(count));
          return text(bytes);
        },
        [=](Translation& t) { return text(t.peer_takes(count)); });
    return bytes;
  }

 private:
  RecordingKernel& recorder_;
  int socket_ = -1;
};

// The run: a byte of the client asks for the file, which is read chunk by chunk into one memfd,
// sent by reference and punched out. A foreign signal comes on the way.
class RealRun final : public CompletionHandler, public FdeventCallback {
 public:
  RealRun(RecordingKernel& kernel, CoordinationKind kind, bool epoll, const std::string& path)
      : kernel_(kernel), client_(kernel), kind_(kind), epoll_(epoll), path_(path) {}

  // What the client got.
  std::string Play() {
    file_ = Fd(kernel_, kernel_.openat(AT_FDCWD, path_.c_str(), O_RDONLY | O_DIRECT, 0).value());
    auto handler = epoll_ ? std::move(MakeEpollHandler(kernel_).value()) : MakePollHandler(kernel_);
    Signals signals(kernel_);
    auto coordination = std::move(MakeCoordination(kind_, kernel_, *handler, signals).value());
    EXPECT_TRUE(coordination->Start());
    EventLoop loop(kernel_, *handler, *coordination);
    loop_ = &loop;
    loop.SetCompletionHandler(this);
    Open();
    coordination->Attach(context_, 4);
    auto registration = std::move(loop.Register(socket_.get(), POLLIN, this).value());
    client_.Send("x");
    while (sent_ < kFileBytes) EXPECT_TRUE(loop.RunOnce());
    registration.Reset();
    coordination->Stop();
    EXPECT_TRUE(kernel_.io_destroy(context_));
    socket_.Reset();
    listener_.Reset();
    mapping_ = Mapping();
    memory_.Reset();
    file_.Reset();
    return received_;
  }

  void OnFdevent(uint32_t) override {
    char byte = 0;
    EXPECT_TRUE(kernel_.recv(socket_.get(), &byte, 1, 0));
    EXPECT_TRUE(kernel_.kill(kernel_.getpid(), SIGALRM));
    Submit();
  }

  void OnCompletion(const Completion& completion) override {
    const auto count = static_cast<long>(completion.event.res);
    ASSERT_GT(count, 0);
    off_t offset = 0;
    ASSERT_EQ(
        kernel_.sendfile(socket_.get(), memory_.get(), &offset, static_cast<size_t>(count)).value(),
        static_cast<size_t>(count));
    sent_ += static_cast<size_t>(count);
    EXPECT_TRUE(kernel_.fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                  kChunkBytes));
    if (sent_ < kFileBytes) Submit();
    received_ += client_.Take(static_cast<size_t>(count));
  }

 private:
  void Open() {
    listener_ = Fd(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value());
    ASSERT_TRUE(kernel_.listen(listener_.get(), 1));
    client_.Connect(listener_.get());
    socket_ =
        Fd(kernel_, kernel_.accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK).value());
    memory_ = Fd(kernel_, kernel_.memfd_create("recorded", 0).value());
    ASSERT_TRUE(kernel_.ftruncate(memory_.get(), kChunkBytes));
    mapping_ = Mapping(
        kernel_,
        kernel_.mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0)
            .value(),
        kChunkBytes);
    context_ = kernel_.io_setup(4).value();
  }

  void Submit() {
    io_prep_pread(&request_, file_.get(), mapping_.data(), kChunkBytes,
                  static_cast<long long>(sent_));
    iocb* one = &request_;
    ASSERT_TRUE(loop_->coordination().BeforeSubmit({&one, 1}));
    ASSERT_EQ(kernel_.io_submit(context_, 1, &one).value(), 1);
  }

  RecordingKernel& kernel_;
  Client client_;
  const CoordinationKind kind_;
  const bool epoll_;
  const std::string path_;
  EventLoop* loop_ = nullptr;
  Fd file_, listener_, socket_, memory_;
  Mapping mapping_;
  io_context_t context_ = nullptr;
  iocb request_{};
  size_t sent_ = 0;
  std::string received_;
};

class RecordingTest : public ::testing::TestWithParam<std::pair<CoordinationKind, bool>> {
 protected:
  void SetUp() override {
    const auto fd =
        OwnFd(linux_, linux_.openat(AT_FDCWD, file_.path().c_str(), O_RDONLY | O_DIRECT, 0));
    if (!fd && fd.error().code == EINVAL) {  // open(2): the file system does not support it
      SKIP_FOR_WANT_OF("direct I/O (O_DIRECT), such as ext4 and xfs have it, for " + file_.path());
    }
    ASSERT_TRUE(fd) << ToString(fd.error());
  }
  Recording Record() {
    RecordingKernel recorder(linux_);
    RealRun run(recorder, GetParam().first, GetParam().second, file_.path());
    EXPECT_EQ(run.Play(), Contents());
    return recorder.Take();
  }
  sim::Acceptance Accept(const Recording& recording) {
    return sim::Accept(recording, [&](sim::SimKernel& kernel) {
      kernel.AddFile(file_.path(), std::make_shared<std::string>(Contents()));
    });
  }

  LinuxKernel linux_;
  ScratchFile file_;
};

TEST_P(RecordingTest, SimulatedKernelAcceptsWhatLinuxDid) {
  const Recording recording = Record();
  const sim::Acceptance acceptance = Accept(recording);
  EXPECT_TRUE(acceptance.accepted) << acceptance.refusal << "\n" << recording.Text();
}

// As if the call named `name` had ended otherwise, the `nth` time.
Recording Doctored(Recording recording, const std::string& name, const std::string& result) {
  const auto call = std::find_if(recording.calls.begin(), recording.calls.end(),
                                 [&](const RecordedCall& one) { return one.name == name; });
  EXPECT_NE(call, recording.calls.end()) << name;
  call->result = result;
  return recording;
}

TEST_P(RecordingTest, ResultsThatLinuxNeverGaveAreRefusedWithTheCall) {
  const Recording recording = Record();
  for (const auto& [name, result] : std::initializer_list<std::pair<const char*, const char*>>{
           {"recv", "EAGAIN"}, {"io_submit", "2"}, {"sendfile", "4096"}, {"fallocate", "EINTR"}}) {
    const sim::Acceptance acceptance = Accept(Doctored(recording, name, result));
    EXPECT_FALSE(acceptance.accepted) << name;
    EXPECT_NE(acceptance.refusal.find(std::string(name) + " in thread 0: Linux said \"" + result),
              std::string::npos)
        << acceptance.refusal;
  }
}

TEST_P(RecordingTest, OtherBytesThanTheFilesAreRefused) {
  const Recording recording = Record();
  const sim::Acceptance acceptance =
      Accept(Doctored(recording, "peer takes", "8192 bytes of hash 1"));
  EXPECT_FALSE(acceptance.accepted);
  EXPECT_NE(acceptance.refusal.find("peer takes"), std::string::npos) << acceptance.refusal;
}

INSTANTIATE_TEST_SUITE_P(Coordinations, RecordingTest,
                         ::testing::Values(std::pair(CoordinationKind::kPublished, false),
                                           std::pair(CoordinationKind::kMasked, true),
                                           std::pair(CoordinationKind::kMasked, false),
                                           std::pair(CoordinationKind::kEventfd, true),
                                           std::pair(CoordinationKind::kEventfd, false)),
                         [](const auto& test) {
                           return std::string(ToString(test.param.first)) +
                                  (test.param.second ? "Epoll" : "Poll");
                         });

}  // namespace
}  // namespace pollux
