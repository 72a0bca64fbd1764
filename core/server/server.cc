#include "core/server/server.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/server/error_advice.h"

namespace pollux {
namespace {

constexpr const char* kMimeTypesPath = "/etc/mime.types";
constexpr size_t kMimeTypesBytesMax = 1024 * 1024;
// Beside connections and files: the standard three, the root, the listening socket, logs, epoll,
// eventfds, the chunks' memfd. And one for each thread that may look at a folder.
constexpr uint64_t kOtherDescriptors = 24;
// Of RLIMIT_NOFILE at most one in so many is a file that is only kept open.
constexpr uint64_t kOpenFilesShare = 16;

}  // namespace

// Destroys closed connections when nothing of theirs is on the stack any more.
class Server::Reaper final : public Job {
 public:
  explicit Reaper(Server& server) : server_(server) {}
  void RunJob() override { server_.closed_.clear(); }

 private:
  Server& server_;
};

// Closes files that are only kept open, at the end of the turn: what frees a descriptor may be the
// very cache that is to let go of more.
class Server::RoomMaker final : public Job {
 public:
  explicit RoomMaker(Server& server) : server_(server) {}
  void RunJob() override { server_.MakeRoom(); }

 private:
  Server& server_;
};

// Stops are the supervisor's to tell.
class Server::WorkerSignals final : public SignalHandler {
 public:
  explicit WorkerSignals(Server& server) : server_(server) {}
  void OnTerminate() override {}
  void OnHangup() override { server_.OnHangup(); }

 private:
  Server& server_;
};

Server::Server(Kernel& kernel, Config config)
    : kernel_(kernel),
      config_(std::move(config)),
      log_(kernel, LineOutput::WithoutWaiting(kernel, STDERR_FILENO), config_.error_log_level),
      signals_(kernel),
      readers_(config_.limits) {}

Server::~Server() {
  if (descriptors_ != nullptr) descriptors_->SetOnFreed({}, {});
  CloseConnections();
  listener_.reset();
  // Workers and helper first: they use what is destroyed after them. io_destroy, in the backend's
  // end, waits for reads that are still out.
  if (workers_ != nullptr) workers_->Stop();
  if (coordination_ != nullptr) coordination_->Stop();
}

// --- Getting ready -------------------------------------------------------------------------------

std::optional<std::string> Server::Acquire() {
  // The root, the port and the log may need rights that --user gives up.
  if (auto failure = OpenRoot()) return failure;
  ShareOutDescriptors();
  if (auto failure = Listen()) return failure;
  if (auto failure = OpenAccessLog()) return failure;
  if (auto failure = BecomeUser()) return failure;
  if (auto failure = CheckRoot()) return failure;
  WarnOfFlags();
  return std::nullopt;
}

std::optional<std::string> Server::Build() {
  if (auto failure = BuildLoop()) return failure;
  if (auto failure = BuildServing()) return failure;
  if (worker_) return AttachControl();
  return std::nullopt;
}

void Server::BecomeWorker(size_t index, int control) {
  worker_ = index;
  control_fd_ = control;
  // With a copy of another's socket open here, that one would go on listening when it should not.
  Fd own = std::move(listening_[index]);
  listening_.clear();
  listening_.push_back(std::move(own));
}

std::optional<std::string> Server::AttachControl() {
  worker_signals_ = std::make_unique<WorkerSignals>(*this);
  loop_->SetSignalHandler(worker_signals_.get());
  control_ = std::make_unique<WorkerControl>(kernel_, *loop_, control_fd_, *this);
  if (Status s = control_->Start(); !s) return "--workers: " + ToString(s.error());
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

// What there will be; nothing if that cannot be told.
std::optional<uint64_t> Server::RaiseDescriptorLimit() {
  rlimit limit{};
  Status s = kernel_.getrlimit(RLIMIT_NOFILE, &limit);
  if (s && limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    s = kernel_.setrlimit(RLIMIT_NOFILE, limit);
    if (!s) {
      // EPERM: above fs.nr_open.
      log_.Warn("RLIMIT_NOFILE stays at {}: {}{}", before, ToString(s.error()),
                WhatToDo(s.error()));
      return before;
    }
  }
  if (s) return limit.rlim_cur;
  log_.Warn("RLIMIT_NOFILE is not known: {}{}", ToString(s.error()), WhatToDo(s.error()));
  return std::nullopt;
}

void Server::ShareOutDescriptors() {
  // Without a limit nothing ever waits.
  const uint64_t limit = RaiseDescriptorLimit().value_or(RLIM_INFINITY);
  uint64_t others = kOtherDescriptors + config_.io_threads;
  const BackendOptions& backend = config_.backend;
  if (backend.kind == BackendKind::kLinuxAioSendfile && backend.retire == Retire::kFresh) {
    others += backend.buffer_budget_bytes / backend.chunk_bytes;  // a file a chunk
  }
  descriptors_ = std::make_unique<DescriptorBudget>(limit > others ? limit - others : 0);
  cache_limits_ = config_.cache;
  cache_limits_.files_max = std::min<uint64_t>(config_.cache.files_max, limit / kOpenFilesShare);
  const size_t connections = descriptors_->connections_max();
  if (connections < config_.max_connections) {
    log_.Warn(
        "RLIMIT_NOFILE is {}: at most {} connections at once, not --max-connections {}; raise its "
        "hard limit (ulimit -Hn, LimitNOFILE= of systemd) to {} or more",
        limit, connections, config_.max_connections,
        others + DescriptorBudget::NeededFor(config_.max_connections));
  }
}

std::optional<std::string> Server::Listen() {
  // EADDRINUSE: the port is taken. EACCES: a port below 1024. EADDRNOTAVAIL: not our address.
  // EAFNOSUPPORT: no IPv6 here.
  const auto refused = [this](const Error& error) {
    return "--listen " + config_.listen.ToString() + ": " + ToString(error);
  };
  address_ = config_.listen;
  const bool shared = config_.workers > 1;
  if (shared && address_.port() != 0) {
    // The workers' sockets may listen beside others of the same user (SO_REUSEPORT), such as those
    // of a Pollux that was not stopped, and clients would be dealt out to both servers. One that
    // shares nothing finds out; what begins between its end and the bind below is not seen.
    const Result<Fd> alone = OpenListeningSocket(kernel_, address_, config_.unsent_bytes_max);
    if (!alone) return refused(alone.error());
  }
  while (listening_.size() < config_.workers) {
    Result<Fd> socket = OpenListeningSocket(kernel_, address_, config_.unsent_bytes_max, shared);
    if (!socket) return refused(socket.error());
    listening_.push_back(std::move(*socket));
    // The first one finds out what port 0 is; the others share it.
    Result<SocketAddress> bound = BoundAddress(kernel_, listening_.back());
    if (!bound) return refused(bound.error());
    address_ = *bound;
  }
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
  access_log_ = std::make_unique<AccessLog>(kernel_, *loop_, log_, config_.access_log,
                                            std::move(access_output_));
  return std::nullopt;
}

std::optional<std::string> Server::OpenAccessLog() {
  Result<LineOutput> output = AccessLog::Open(kernel_, config_.access_log);
  if (!output) return "--access-log " + config_.access_log + ": " + ToString(output.error());
  access_output_ = std::move(*output);
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
  opener_->LimitTo(*loop_, *descriptors_);
  opener_->SetEvictor([this](bool lasting) { return cache_->EvictOldest(lasting); });
  descriptors_->SetOnFreed(
      [this, loop_thread = kernel_.gettid()] {
        // A file let go by a worker is a race for the budget, and would otherwise show much later.
        CHECK(kernel_.gettid() == loop_thread);
        opener_->OnFreed();
      },
      [this] { AcceptIfRoom(); });
  if (config_.rules.listing) {
    lister_ = std::make_unique<Lister>(*workers_, root_.get(), config_.symlinks,
                                       config_.rules.listing_memory_max);
  }
  files_ =
      std::make_unique<StaticFiles>(http::MimeTypes(ReadMimeTypes()), config_.rules, lister_.get());
  cache_ = std::make_unique<FileCache>(kernel_, loop_->timers(), cache_limits_);
  send_queue_ = std::make_unique<SendQueue>(*loop_);
  reaper_ = std::make_unique<Reaper>(*this);
  room_maker_ = std::make_unique<RoomMaker>(*this);
  room_timer_ = std::make_unique<Timer>([this] { MakeRoom(); });
  drain_timer_ = std::make_unique<Timer>([this] { OnDrainTimeout(); });
  context_.reset(new ConnectionContext{kernel_, *loop_, log_, config_, *opener_, *backend_, *files_,
                                       *cache_, *send_queue_, readers_, *access_log_, counters_,
                                       *this, [this] { return Metrics(); }});
  listener_ = std::make_unique<Listener>(kernel_, *loop_, log_, std::move(listening_[0]), *this);
  if (Status s = listener_->Start(); !s) return ToString(s.error());
  return std::nullopt;
}

void Server::WarnOfFlags() {
  for (const std::string& warning : config_.warnings) log_.Warn("{}", warning);
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
    constexpr size_t kBytes = 64 * 1024;
    const auto buffer = std::make_unique_for_overwrite<char[]>(kBytes);
    do {
      got = kernel_.read(file->get(), buffer.get(), kBytes);
      if (got) text.append(buffer.get(), *got);
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

void Server::Announce() {
  // A reader that is not there is not waited for here either.
  LineOutput standard_output = LineOutput::WithoutWaiting(kernel_, STDOUT_FILENO);
  (void)standard_output.Write("pollux: listening on http://" + address_.ToString() + "\n");
}

Status Server::Run() { return loop_->Run(); }

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
  descriptors_->AddConnection();
  CloseKeptFiles();
  TryAgainIfFilesAreInTheWay();
  return RoomForConnection();
}

bool Server::RoomForConnection() const {
  return counters_.connections < config_.max_connections && descriptors_->RoomForConnection();
}

// Without `files` of those that are open there would be room.
bool Server::FilesAreInTheWay(size_t files) const {
  if (counters_.connections >= config_.max_connections || RoomForConnection()) return false;
  const size_t others = descriptors_->files() - std::min(files, descriptors_->files());
  return counters_.connections + others * DescriptorBudget::kPerFile <
         descriptors_->connections_max();
}

// Who wants to be served comes before files that are only kept open; but no more of those are
// closed than have to be, and none if that cannot help.
void Server::CloseKeptFiles() {
  if (!FilesAreInTheWay(cache_->files())) return;
  while (!RoomForConnection() && cache_->EvictOldest()) {
  }
}

// A file that is being sent now may only be kept later, and nobody tells when it is.
void Server::TryAgainIfFilesAreInTheWay() {
  if (context_->draining || room_timer_->armed() || !FilesAreInTheWay(descriptors_->files()))
    return;
  loop_->timers().Arm(*room_timer_, loop_->now() + kAcceptBackoff);
}

void Server::MakeRoom() {
  if (!listener_->paused()) return;
  CloseKeptFiles();  // which resumes the listener as soon as there is room: AcceptIfRoom
  TryAgainIfFilesAreInTheWay();
}

void Server::AcceptIfRoom() {
  if (!listener_->paused()) return;
  if (RoomForConnection()) {
    listener_->Resume();
  } else if (FilesAreInTheWay(descriptors_->files())) {
    loop_->Post(*room_maker_);
  }
}

void Server::OnConnectionClosed(Connection& connection) {
  const size_t slot = connection.slot();
  closed_.push_back(std::move(connections_[slot]));
  free_slots_.push_back(slot);
  loop_->Post(*reaper_);
  --counters_.connections;
  descriptors_->RemoveConnection();
  StopIfDrained();
}

void Server::OnTerminate() {
  if (context_->draining) {
    log_.Warn("stopping at once: {} connections are cut{}", counters_.connections, StillUnderWay());
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
  log_.Warn("--drain-timeout is over: {} connections are cut{}", counters_.connections,
            StillUnderWay());
  loop_->Stop();
}

// Who wonders why the process is still there: nothing takes a read back from the kernel, not even
// SIGKILL, and a disk or file server that hangs may keep it for long.
std::string Server::StillUnderWay() const {
  const uint64_t reads = aio_stats_.reads_in_flight + workers_->queued();
  if (reads == 0) return {};
  return "; " + std::to_string(reads) +
         " reads are under way, and the process stays until the disk has answered them";
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
                        workers_->inline_runs(), access_log_->dropped_lines(), log_.lost_lines(),
                        descriptors_->files(), opener_->waiting(), cache_->hits(), cache_->misses(),
                        worker_});
}

}  // namespace pollux
