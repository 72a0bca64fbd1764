#include "fakes/scenarios/real_run.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/linux_kernel.h"
#include "core/sys/raii.h"
#include "fakes/recording/recording_kernel.h"

namespace pollux::sim {
namespace {

constexpr size_t kChunkBytes = 8192;
constexpr size_t kFileBytes = 3 * kChunkBytes + 100;  // the tail comes back short

// No two chunks are the same, and a recording of them can be read.
std::string Contents() {
  std::string text;
  for (int line = 1; text.size() < kFileBytes; ++line) {
    text += "line " + std::to_string(line) + " of a file\n";
  }
  text.resize(kFileBytes);
  return text;
}

class ScratchFile {
 public:
  ScratchFile() = default;
  ~ScratchFile() { Remove(); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  Status Make(const std::string& folder, const std::string& contents) {
    std::error_code wrong;
    std::string path = (std::filesystem::canonical(folder, wrong) / "recorded.XXXXXX").string();
    const int fd = wrong ? -1 : ::mkostemp(path.data(), O_CLOEXEC);
    if (fd < 0) return Err(wrong ? wrong.value() : errno, "mkostemp");
    path_ = std::move(path);
    there_ = true;
    const ssize_t put = ::write(fd, contents.data(), contents.size());
    const int code = put < 0 ? errno : ENOSPC;  // fewer: write(2), the disk is full
    ::close(fd);
    if (put != static_cast<ssize_t>(contents.size())) return Err(code, "write");
    return {};
  }
  // Its name alone, for who has it open.
  void Remove() {
    if (std::exchange(there_, false)) ::unlink(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool there_ = false;
};

// The peer's end, on plain system calls.
class Peer {
 public:
  explicit Peer(RecordingKernel& recorder) : recorder_(recorder) {}
  ~Peer() {
    if (socket_ >= 0) ::close(socket_);
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  Status Connect(int listener) {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    auto* at = reinterpret_cast<sockaddr*>(&address);
    if (::getsockname(listener, at, &length) != 0) return Err(errno, "getsockname");
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return recorder_.PeerConnects([&]() -> Status {
      socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (socket_ < 0 || ::connect(socket_, at, length) != 0) return Err(errno, "connect");
      return {};
    });
  }
  Result<size_t> Send(const std::string& bytes) {
    return recorder_.PeerSends(bytes, [&](const std::string& text) -> Result<size_t> {
      const ssize_t sent = ::send(socket_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0) return Err(errno, "send");
      return static_cast<size_t>(sent);
    });
  }
  Result<size_t> Take(size_t count) {
    return recorder_.PeerTakes(count, [&](std::string& bytes) -> Result<size_t> {
      const ssize_t got = ::recv(socket_, bytes.data(), count, MSG_WAITALL);
      if (got < 0) return Err(errno, "recv");
      return static_cast<size_t>(got);
    });
  }

 private:
  RecordingKernel& recorder_;
  int socket_ = -1;
};

class RealRun final : public CompletionHandler, public FdeventCallback {
 public:
  RealRun(RecordingKernel& kernel, CoordinationKind kind, bool epoll, ScratchFile& scratch)
      : kernel_(kernel), peer_(kernel), kind_(kind), epoll_(epoll), scratch_(scratch) {}

  // How it went: an error of the call that should not have failed.
  Status Play() {
    Result<std::unique_ptr<FdeventHandler>> handler =
        epoll_ ? MakeEpollHandler(kernel_) : MakePollHandler(kernel_);
    Signals signals(kernel_);
    if (!Keep(handler)) return failure_;
    auto coordination = MakeCoordination(kind_, kernel_, **handler, signals);
    if (!Keep(coordination) || !Keep((*coordination)->Start())) return failure_;
    EventLoop loop(kernel_, **handler, **coordination);
    loop_ = &loop;
    loop.SetCompletionHandler(this);
    failure_ = Open();
    if (failure_) (*coordination)->Attach(context_, 4);
    if (failure_) failure_ = Serve(loop);
    (*coordination)->Stop();
    if (context_ != nullptr) (void)Keep(kernel_.io_destroy(context_));
    socket_.Reset();
    listener_.Reset();
    mapping_ = Mapping();
    memory_.Reset();
    file_.Reset();
    return failure_;
  }

  void OnFdevent(uint32_t) override {
    char byte = 0;
    if (!Keep(kernel_.recv(socket_.get(), &byte, 1, 0))) return;
    if (Keep(kernel_.kill(kernel_.getpid(), SIGALRM))) (void)Keep(Submit());
  }

  void OnCompletion(const Completion& completion) override {
    const auto res = static_cast<long>(completion.event.res);
    if (res <= 0) return (void)Keep(Status(Err(res < 0 ? static_cast<int>(-res) : EIO, "read")));
    const auto count = static_cast<size_t>(res);
    off_t offset = 0;
    const auto done = kernel_.sendfile(socket_.get(), memory_.get(), &offset, count);
    if (!Keep(done)) return;
    if (*done != count) return (void)Keep(Status(Err(EAGAIN, "sendfile")));  // loopback takes 8 KiB
    sent_ += count;
    if (!Keep(kernel_.fallocate(memory_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                kChunkBytes))) {
      return;
    }
    if (sent_ < kFileBytes && !Keep(Submit())) return;
    (void)Keep(peer_.Take(count));
  }

 private:
  // Remembers the first failure. Whether there has been none.
  template <typename ResultOrStatus>
  bool Keep(const ResultOrStatus& result) {
    if (!result && failure_) failure_ = Err(result.error());
    return static_cast<bool>(result);
  }
  template <typename Made>
  Status Take(Result<Made> made, Made& to) {
    if (!made) return Err(made.error());
    to = *std::move(made);
    return {};
  }

  Status Open() {
    const int wanted = O_RDONLY | O_DIRECT | O_CLOEXEC;
    auto file = OwnFd(kernel_, kernel_.openat(AT_FDCWD, scratch_.path().c_str(), wanted, 0));
    if (const Status done = Take(std::move(file), file_); !done) return done;
    scratch_.Remove();  // whatever ends this program leaves no file behind
    auto made = OwnFd(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    if (const Status done = Take(std::move(made), listener_); !done) return done;
    if (const Status done = kernel_.listen(listener_.get(), 1); !done) return done;
    if (const Status done = peer_.Connect(listener_.get()); !done) return done;
    made = OwnFd(kernel_, kernel_.accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK));
    if (const Status done = Take(std::move(made), socket_); !done) return done;
    made = OwnFd(kernel_, kernel_.memfd_create("recorded", 0));
    if (const Status done = Take(std::move(made), memory_); !done) return done;
    if (const Status done = kernel_.ftruncate(memory_.get(), kChunkBytes); !done) return done;
    const auto mapped =
        kernel_.mmap(nullptr, kChunkBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.get(), 0);
    if (!mapped) return Err(mapped.error());
    mapping_ = Mapping(kernel_, *mapped, kChunkBytes);
    return Take(kernel_.io_setup(4), context_);
  }

  Status Serve(EventLoop& loop) {
    auto registration = loop.Register(socket_.get(), POLLIN, this);
    if (!registration) return Err(registration.error());
    if (const auto sent = peer_.Send("x"); !sent) return Err(sent.error());
    while (sent_ < kFileBytes && failure_) {
      if (const Status turn = loop.RunOnce(); !turn) return turn;
    }
    return failure_;
  }

  Status Submit() {
    io_prep_pread(&request_, file_.get(), mapping_.data(), kChunkBytes,
                  static_cast<long long>(sent_));
    iocb* one = &request_;
    if (const Status done = loop_->coordination().BeforeSubmit({&one, 1}); !done) return done;
    const auto taken = kernel_.io_submit(context_, 1, &one);
    if (!taken) return Err(taken.error());
    return {};
  }

  RecordingKernel& kernel_;
  Peer peer_;
  const CoordinationKind kind_;
  const bool epoll_;
  ScratchFile& scratch_;
  EventLoop* loop_ = nullptr;
  Fd file_, listener_, socket_, memory_;
  Mapping mapping_;
  io_context_t context_ = nullptr;
  iocb request_{};
  size_t sent_ = 0;
  Status failure_;
};

}  // namespace

tl::expected<Recording, std::string> RecordRealRun(CoordinationKind kind, bool epoll,
                                                   const std::string& folder) {
  const std::string contents = Contents();
  ScratchFile file;
  if (const Status made = file.Make(folder, contents); !made) {
    return tl::unexpected("cannot make a file to be read in " + folder + ": " +
                          ToString(made.error()));
  }
  LinuxKernel linux_kernel;
  RecordingKernel recorder(linux_kernel);
  const Status done = RealRun(recorder, kind, epoll, file).Play();
  if (!done && done.error().code == EINVAL &&
      std::string_view(done.error().operation) == "openat") {
    return tl::unexpected("no direct I/O (O_DIRECT) in " + folder +
                          ": choose a folder of ext4 or xfs");  // open(2)
  }
  if (!done) return tl::unexpected("the run failed: " + ToString(done.error()));
  Recording recording = recorder.Take();
  recording.files.push_back({file.path(), contents});
  return recording;
}

}  // namespace pollux::sim
