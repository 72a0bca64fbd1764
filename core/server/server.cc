#include "core/server/server.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "core/server/error_advice.h"

namespace pollux {
namespace {

constexpr const char* kMimeTypesPath = "/etc/mime.types";
constexpr size_t kMimeTypesBytesMax = 1024 * 1024;
// Beside connections: the root, logs, epoll, eventfds, chunks, files being opened.
constexpr size_t kOtherDescriptors = 64;

void WriteAll(Kernel& kernel, int fd, std::string_view text) {
  while (!text.empty()) {
    const Result<size_t> written = kernel.write(fd, text.data(), text.size());
    // EINTR: nothing was written. Anything else (EPIPE, ENOSPC) leaves nobody to tell.
    if (!written && written.error().code == EINTR) continue;
    if (!written || *written == 0) return;
    text.remove_prefix(*written);
  }
}

}  // namespace

// Destroys closed connections when nothing of theirs is on the stack any more.
class Server::Reaper final : public Job {
 public:
  explicit Reaper(Server& server) : server_(server) {}
  void RunJob() override { server_.closed_.clear(); }

 private:
  Server& server_;
};

int ServerMain(Kernel& kernel, int argc, const char* const* argv) {
  OccupyStandardDescriptors(kernel);
  ParsedArguments arguments = ParseArguments(argc, argv);
  if (!arguments.config) {
    WriteAll(kernel, arguments.exit_status == 0 ? STDOUT_FILENO : STDERR_FILENO, arguments.text);
    return arguments.exit_status;
  }
  Server server(kernel, std::move(*arguments.config));
  if (std::optional<std::string> failure = server.Prepare()) {
    WriteAll(kernel, STDERR_FILENO, "pollux: " + *failure + "\n");
    return 2;
  }
  if (Status s = server.Run(); !s) {
    WriteAll(kernel, STDERR_FILENO, "pollux: " + ToString(s.error()) + "\n");
    return 1;
  }
  return 0;
}

Server::Server(Kernel& kernel, Config config)
    : kernel_(kernel),
      config_(std::move(config)),
      log_(kernel, LineOutput::WithoutWaiting(kernel, STDERR_FILENO), config_.error_log_level),
      signals_(kernel),
      readers_(config_.limits) {}

Server::~Server() {
  CloseConnections();
  listener_.reset();
  // Workers and helper first: they use what is destroyed after them. io_destroy, in the backend's
  // end, waits for reads that are still out.
  if (workers_ != nullptr) workers_->Stop();
  if (coordination_ != nullptr) coordination_->Stop();
}

// --- Getting ready -------------------------------------------------------------------------------

std::optional<std::string> Server::Prepare() {
  // The root, the port and the log may need rights that --user gives up.
  if (auto failure = OpenRoot()) return failure;
  RaiseDescriptorLimit();
  if (auto failure = Listen()) return failure;
  if (auto failure = BuildLoop()) return failure;
  if (auto failure = OpenAccessLog()) return failure;
  if (auto failure = BecomeUser()) return failure;
  if (auto failure = CheckRoot()) return failure;
  if (auto failure = BuildServing()) return failure;
  WarnOfSpecimens();
  return std::nullopt;
}

std::optional<std::string> Server::OpenRoot() {
  Result<Fd> root = OwnFd(
      kernel_, kernel_.openat(AT_FDCWD, config_.root.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC, 0));
  // ENOENT, ENOTDIR, EACCES, ELOOP: the folder is not there, or not for us.
  if (!root) return "ROOT \"" + config_.root + "\": " + ToString(root.error());
  root_ = std::move(*root);
  return std::nullopt;
}

// O_PATH asks for no right on the folder itself: whether files in it can be reached by whoever
// serves them is asked here, after --user.
std::optional<std::string> Server::CheckRoot() {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = ResolveFlags(config_.symlinks);
  const Result<Fd> self = OwnFd(kernel_, kernel_.openat2(root_.get(), ".", how));
  if (self) return std::nullopt;
  std::string failure = "ROOT \"" + config_.root + "\": " + ToString(self.error());
  // Every request would fail the same way: nothing else keeps a path inside while links change.
  if (self.error().code == ENOSYS) failure += "; Linux 5.6 or later is needed";
  if (self.error().code == EPERM) failure += "; a sandbox (seccomp) seems to forbid openat2";
  return failure;
}

void Server::RaiseDescriptorLimit() {
  rlimit limit{};
  Status s = kernel_.getrlimit(RLIMIT_NOFILE, &limit);
  if (s && limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    s = kernel_.setrlimit(RLIMIT_NOFILE, limit);
    if (!s) limit.rlim_cur = before;
  }
  if (!s) {
    log_.Warn("RLIMIT_NOFILE stays as it is: {}{}", ToString(s.error()), WhatToDo(s.error()));
    return;
  }
  if (limit.rlim_cur < config_.max_connections + kOtherDescriptors) {
    log_.Warn(
        "RLIMIT_NOFILE is {}: of --max-connections {} the last will wait for free descriptors",
        limit.rlim_cur, config_.max_connections);
  }
}

std::optional<std::string> Server::Listen() {
  Result<Fd> socket = OpenListeningSocket(kernel_, config_.listen, config_.unsent_bytes_max);
  // EADDRINUSE: the port is taken. EACCES: a port below 1024. EADDRNOTAVAIL: not our address.
  // EAFNOSUPPORT: no IPv6 here.
  if (!socket) return "--listen " + config_.listen.ToString() + ": " + ToString(socket.error());
  listening_ = std::move(*socket);
  Result<SocketAddress> address = BoundAddress(kernel_, listening_);
  if (!address) return "--listen " + config_.listen.ToString() + ": " + ToString(address.error());
  address_ = *address;
  return std::nullopt;
}

std::optional<std::string> Server::BecomeUser() {
  if (config_.user.empty()) return std::nullopt;
  const std::string flag = "--user " + config_.user + ": ";
  const Result<PasswordEntry> entry = kernel_.getpwnam(config_.user.c_str());
  if (!entry) {
    if (entry.error().code == ENOENT) return flag + "there is no such user";
    return flag + ToString(entry.error());
  }
  if (kernel_.geteuid() == entry->uid) return std::nullopt;  // done already
  // The user last: after it the groups could not be changed. EPERM: not started as root.
  const std::array<gid_t, 1> groups = {entry->gid};
  Status s = kernel_.setgroups(groups);
  if (s) s = kernel_.setgid(entry->gid);
  if (s) s = kernel_.setuid(entry->uid);
  if (!s) return flag + ToString(s.error()) + "; only root can change the user";
  return std::nullopt;
}

std::optional<std::string> Server::BuildLoop() {
  if (config_.event_handler == EventHandlerKind::kPoll) {
    handler_ = MakePollHandler(kernel_);
  } else {
    Result<std::unique_ptr<FdeventHandler>> handler = MakeEpollHandler(kernel_);
    if (!handler) return ToString(handler.error());
    handler_ = std::move(*handler);
  }
  Result<std::unique_ptr<Coordination>> coordination =
      MakeCoordination(config_.coordination, kernel_, *handler_, signals_);
  if (!coordination) return ToString(coordination.error());
  coordination_ = std::move(*coordination);
  if (Status s = coordination_->Start(); !s) {
    return std::string("--coordination ") + ToString(config_.coordination) + ": " +
           ToString(s.error());
  }
  loop_ = std::make_unique<EventLoop>(kernel_, *handler_, *coordination_);
  loop_->SetSignalHandler(this);
  workers_ = std::make_unique<WorkerPool>(kernel_, *loop_, config_.io_threads);
  return std::nullopt;
}

std::optional<std::string> Server::OpenAccessLog() {
  access_log_ = std::make_unique<AccessLog>(kernel_, *loop_, log_, config_.access_log);
  if (Status s = access_log_->Open(); !s) {
    return "--access-log " + config_.access_log + ": " + ToString(s.error());
  }
  return std::nullopt;
}

std::optional<std::string> Server::BuildServing() {
  BackendOptions options = config_.backend;
  options.root_fd = root_.get();
  Result<std::unique_ptr<Backend>> backend =
      MakeBackend(options, kernel_, *loop_, *workers_, log_, aio_stats_);
  if (!backend) {
    return std::string("--backend ") + ToString(config_.backend.kind) + ": " +
           ToString(backend.error());
  }
  backend_ = std::move(*backend);
  opener_ = std::make_unique<FileOpener>(kernel_, *workers_, root_.get(), config_.symlinks);
  if (config_.rules.listing) {
    lister_ = std::make_unique<Lister>(*workers_, root_.get(), config_.symlinks,
                                       config_.rules.listing_memory_max);
  }
  files_ =
      std::make_unique<StaticFiles>(http::MimeTypes(ReadMimeTypes()), config_.rules, lister_.get());
  send_queue_ = std::make_unique<SendQueue>(*loop_);
  reaper_ = std::make_unique<Reaper>(*this);
  drain_timer_ = std::make_unique<Timer>([this] { OnDrainTimeout(); });
  context_.reset(new ConnectionContext{kernel_, *loop_, log_, config_, *opener_, *backend_, *files_,
                                       *send_queue_, readers_, *access_log_, counters_, *this,
                                       [this] { return Metrics(); }});
  listener_ = std::make_unique<Listener>(kernel_, *loop_, log_, std::move(listening_), *this);
  if (Status s = listener_->Start(); !s) return ToString(s.error());
  return std::nullopt;
}

void Server::WarnOfSpecimens() {
  if (config_.coordination == CoordinationKind::kPublished) {
    log_.Warn(
        "--coordination published is the protocol of 2006, kept with its defects: it loses "
        "wake-ups and stalls for up to a second; use masked or eventfd to serve");
  }
}

std::string Server::ReadMimeTypes() {
  Result<Fd> file =
      OwnFd(kernel_, kernel_.openat(AT_FDCWD, kMimeTypesPath, O_RDONLY | O_CLOEXEC, 0));
  std::string text;
  Result<size_t> got = size_t{0};
  if (file) {
    std::vector<char> buffer(64 * 1024);
    do {
      got = kernel_.read(file->get(), buffer.data(), buffer.size());
      if (got) text.append(buffer.data(), *got);
    } while (got && *got > 0 && text.size() < kMimeTypesBytesMax);
  }
  // ENOENT: the media-types package is not installed. Whatever it is, files can be served.
  if (!file || !got) {
    log_.Warn("{}: {}; files are sent as application/octet-stream", kMimeTypesPath,
              ToString(!file ? file.error() : got.error()));
  }
  return text;
}

// --- Running -------------------------------------------------------------------------------------

Status Server::Run() {
  // A reader that is not there is not waited for here either.
  LineOutput standard_output = LineOutput::WithoutWaiting(kernel_, STDOUT_FILENO);
  (void)standard_output.Write("pollux: listening on http://" + address_.ToString() + "\n");
  return loop_->Run();
}

bool Server::OnAccept(Fd socket, const SocketAddress& peer) {
  size_t slot = connections_.size();
  if (free_slots_.empty()) {
    connections_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  auto connection = std::make_shared<Connection>(*context_, std::move(socket), peer, slot);
  if (Status s = connection->Start(); !s) {
    // ENOMEM, ENOSPC (fs.epoll.max_user_watches): this one is refused, the next may do better.
    log_.Error("{} for a new connection from {}: it is closed{}", ToString(s.error()),
               peer.ToString(), WhatToDo(s.error()));
    ++counters_.connections_refused;
    free_slots_.push_back(slot);
    return true;
  }
  connections_[slot] = std::move(connection);
  ++counters_.connections;
  return counters_.connections < config_.max_connections;
}

void Server::OnConnectionClosed(Connection& connection) {
  const size_t slot = connection.slot();
  closed_.push_back(std::move(connections_[slot]));
  free_slots_.push_back(slot);
  loop_->Post(*reaper_);
  if (counters_.connections-- == config_.max_connections) listener_->Resume();
  StopIfDrained();
}

void Server::OnTerminate() {
  if (context_->draining) {
    log_.Warn("stopping at once: {} connections are cut", counters_.connections);
    loop_->Stop();
    return;
  }
  context_->draining = true;
  listener_->Close();
  loop_->timers().Arm(*drain_timer_, loop_->now() + config_.drain_timeout);
  for (size_t slot = 0; slot < connections_.size(); ++slot) {
    if (connections_[slot] != nullptr) connections_[slot]->OnDrain();
  }
  log_.Info("draining: {} connections are finishing", counters_.connections);
  StopIfDrained();
}

void Server::StopIfDrained() {
  if (context_->draining && counters_.connections == 0) loop_->Stop();
}

void Server::OnDrainTimeout() {
  log_.Warn("--drain-timeout is over: {} connections are cut", counters_.connections);
  loop_->Stop();
}

void Server::OnHangup() { access_log_->Reopen(); }

void Server::CloseConnections() {
  for (size_t slot = 0; slot < connections_.size(); ++slot) {
    if (connections_[slot] != nullptr) connections_[slot]->Close();
  }
  closed_.clear();
}

std::string Server::Metrics() const {
  return RenderMetrics({counters_, loop_->stats(), coordination_->stats(), aio_stats_,
                        listener_->accepted(), listener_->shortages(), workers_->queued(),
                        workers_->inline_runs(), access_log_->dropped_lines()});
}

}  // namespace pollux
