#include "tests/server/live_server.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

namespace pollux {

// --- The backend

class SteeredBackend::SteeredTransfer final : public Transfer {
 public:
  SteeredTransfer(SteeredBackend& backend, TransferRequest request)
      : backend_(backend), request_(std::move(request)) {
    ++backend_.started;
    ++backend_.alive;
  }
  ~SteeredTransfer() override {
    --backend_.alive;
    std::erase(backend_.waiting, request_.waiter);
  }

  Result<Outcome> Pump(uint64_t bytes_max) override {
    backend_.pumped.push_back(bytes_max);
    backend_.pumped_by.push_back(this);
    if (!backend_.script.empty()) {
      const auto [then, code] = backend_.script.front();
      backend_.script.pop_front();
      if (then == Then::kFail) return Err(code, "pread");
      if (then == Then::kYield) return Outcome::kYield;
      backend_.waiting.push_back(request_.waiter);
      return Outcome::kWaiting;
    }
    uint64_t left = std::min(bytes_max, backend_.pump_bytes_max);
    while (sent_ < request_.length) {
      if (left == 0) return Outcome::kYield;
      char buffer[16384];
      const size_t want = std::min({sizeof buffer, left, request_.length - sent_});
      const Result<size_t> got = backend_.kernel_.pread(
          request_.file->fd.get(), buffer, want, static_cast<off_t>(request_.offset + sent_));
      if (!got) return Err(got.error());
      const ssize_t sent =
          ::send(request_.socket->get(), buffer, *got, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno == EAGAIN) return Outcome::kSocketFull;
      if (sent < 0) return Err(errno, "send");
      sent_ += static_cast<uint64_t>(sent);
      left -= static_cast<uint64_t>(sent);
    }
    return Outcome::kDone;
  }
  uint64_t sent() const override { return sent_; }

 private:
  SteeredBackend& backend_;
  TransferRequest request_;
  uint64_t sent_ = 0;
};

std::unique_ptr<Transfer> SteeredBackend::Start(TransferRequest request) {
  return std::make_unique<SteeredTransfer>(*this, std::move(request));
}

// --- The client

Client::Client(const SocketAddress& server, int receive_buffer)
    : fd_(::socket(server.family(), SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  CHECK(fd_ >= 0);
  if (receive_buffer > 0) {
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  CHECK(::connect(fd_, server.data(), server.size()) == 0);
}

Client::~Client() { Close(); }

void Client::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ASSERT_GT(sent, 0) << strerror(errno);
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Client::ShutWrite() { ASSERT_EQ(::shutdown(fd_, SHUT_WR), 0); }

void Client::Reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Close();
}

void Client::Close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Client::Receive(size_t bytes_max) {
  char buffer[65536];
  while (!eof && error == 0 && bytes_max > 0) {
    const ssize_t got = ::recv(fd_, buffer, std::min(sizeof buffer, bytes_max), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    if (got < 0) error = errno;
    if (got == 0) eof = true;
    if (got > 0) {
      received.append(buffer, static_cast<size_t>(got));
      bytes_max -= static_cast<size_t>(got);
    }
  }
}

// --- The server

LiveServer::LiveServer() {
  std::string path = (std::filesystem::temp_directory_path() / "pollux-server-XXXXXX").string();
  CHECK(::mkdtemp(path.data()) != nullptr);
  root_path_ = path;
  WriteFile("a.txt", "hello\n");
  config_.metrics_path = "/metrics";
  config_.access_log = "-";
  config_.cache.content_bytes_max = 0;  // every file goes by the backend, which the test steers
}

LiveServer::~LiveServer() {
  descriptors_.SetOnFreed({}, {});
  for (auto& connection : connections_) {
    if (connection != nullptr) connection->Close();
  }
  connections_.clear();
  closed_.clear();
  listener_.reset();
  if (workers_ != nullptr) workers_->Stop();
  if (coordination_ != nullptr) coordination_->Stop();
  std::filesystem::remove_all(root_path_);
}

void LiveServer::WriteFile(const std::string& name, const std::string& content) {
  std::ofstream(root_path_ + "/" + name, std::ios::binary) << content;
}

void LiveServer::StartServer() {
  handler_ = std::move(*MakeEpollHandler(kernel_));
  coordination_ =
      std::move(*MakeCoordination(CoordinationKind::kEventfd, kernel_, *handler_, signals_));
  ASSERT_TRUE(coordination_->Start());
  loop_ = std::make_unique<EventLoop>(kernel_, *handler_, *coordination_);
  workers_ = std::make_unique<WorkerPool>(kernel_, *loop_, 2);
  root_ = *OwnFd(kernel_,
                 kernel_.openat(AT_FDCWD, root_path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  opener_ = std::make_unique<FileOpener>(kernel_, *workers_, root_.get());
  if (config_.rules.listing) {
    lister_ = std::make_unique<Lister>(*workers_, root_.get(), config_.symlinks,
                                       config_.rules.listing_memory_max);
    files_ = StaticFiles(http::MimeTypes(""), config_.rules, lister_.get());
  }
  cache_ = std::make_unique<FileCache>(kernel_, loop_->timers(), config_.cache);
  send_queue_ = std::make_unique<SendQueue>(*loop_);
  readers_ = std::make_unique<HeadReaderPool>(config_.limits);
  access_log_ = std::make_unique<AccessLog>(kernel_, *loop_, log_, config_.access_log,
                                            LineOutput(kernel_, 1));
  context_.reset(new ConnectionContext{
      kernel_, *loop_, log_, config_, *opener_, backend_, files_, *cache_, *send_queue_, *readers_,
      *access_log_, counters_, *this, [] { return std::string("pollux_connections 1\n"); }});
  Fd socket = *OpenListeningSocket(kernel_, *SocketAddress::Parse("127.0.0.1:0"));
  address_ = *BoundAddress(kernel_, socket);
  listener_ = std::make_unique<Listener>(kernel_, *loop_, log_, std::move(socket), *this);
  ASSERT_TRUE(listener_->Start());
}

void LiveServer::Turn() {
  coordination_->Wake();  // the wait returns at once
  ASSERT_TRUE(loop_->RunOnce());
  closed_.clear();
}

void LiveServer::TurnUntil(const std::function<bool()>& holds, const char* what) {
  // Loopback delivers within a turn or two; only a worker's open needs real time.
  constexpr int kTurnsMax = 20000;
  for (int i = 0; i < kTurnsMax; ++i) {
    if (holds()) return;
    Turn();
    if (i > 100) ::poll(nullptr, 0, 1);
  }
  FAIL() << "did not come about: " << what;
}

void LiveServer::TurnUntilReceived(Client& client, const std::string& text) {
  TurnUntil(
      [&] {
        client.Receive();
        return client.received.find(text) != std::string::npos;
      },
      text.c_str());
}

void LiveServer::TurnUntilEnd(Client& client) {
  TurnUntil(
      [&] {
        client.Receive();
        return client.eof || client.error != 0;
      },
      "the connection's end");
}

void LiveServer::PassTime(std::chrono::milliseconds time) {
  kernel_.Advance(time);
  Turn();
}

std::unique_ptr<Client> LiveServer::Connect(int receive_buffer) {
  const size_t before = connections_.size();
  auto client = std::make_unique<Client>(address_, receive_buffer);
  TurnUntil([&] { return connections_.size() > before; }, "the accept");
  return client;
}

bool LiveServer::OnAccept(Fd socket, const SocketAddress& peer) {
  auto connection =
      std::make_shared<Connection>(*context_, std::move(socket), peer, connections_.size());
  if (!connection->Start()) return true;
  ++counters_.connections;
  connections_.push_back(std::move(connection));
  return accept_more_;
}

void LiveServer::OnConnectionClosed(Connection& connection) {
  --counters_.connections;
  closed_.push_back(std::move(connections_[connection.slot()]));
}

}  // namespace pollux
