#include "integration/faultfs/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace pollux {
namespace {

// Names stay what they are; sizes are asked for each time, since truncate= changes them.
constexpr double kNamesSeconds = 3600;
constexpr double kAttributesSeconds = 0;

std::string Below(const std::string& folder, const char* name) {
  return folder == "." ? name : folder + "/" + name;
}

}  // namespace

FaultFileSystem::FaultFileSystem(int folder, std::vector<ReadRule> rules)
    : folder_(folder), rules_(std::move(rules)) {
  NumberOf(".");  // FUSE_ROOT_ID
}

FaultFileSystem::~FaultFileSystem() {
  // Who still waits hears that nothing more comes.
  for (const LateRead& late : late_) fuse_reply_err(late.read.request, ENOTCONN);
  if (session_ == nullptr) return;
  if (mounted_) fuse_session_unmount(session_);
  fuse_remove_signal_handlers(session_);
  fuse_session_destroy(session_);
}

FaultFileSystem& FaultFileSystem::Of(fuse_req_t request) {
  return *static_cast<FaultFileSystem*>(fuse_req_userdata(request));
}

fuse_lowlevel_ops FaultFileSystem::Operations() {
  fuse_lowlevel_ops ops{};
  ops.lookup = [](fuse_req_t request, fuse_ino_t parent, const char* name) {
    Of(request).Lookup(request, parent, name);
  };
  ops.getattr = [](fuse_req_t request, fuse_ino_t number, fuse_file_info*) {
    Of(request).Getattr(request, number);
  };
  ops.open = [](fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
    Of(request).Open(request, number, info);
  };
  ops.release = [](fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
    ::close(static_cast<int>(info->fh));
    fuse_reply_err(request, 0);
  };
  ops.read = [](fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                fuse_file_info* info) {
    Of(request).OnRead({request, number, static_cast<int>(info->fh), size, offset});
  };
  ops.readdir = [](fuse_req_t request, fuse_ino_t number, size_t size, off_t offset,
                   fuse_file_info*) { Of(request).Readdir(request, number, size, offset); };
  return ops;
}

std::optional<std::string> FaultFileSystem::Mount(const std::string& where) {
  static const fuse_lowlevel_ops kOperations = Operations();
  std::string name = "pollux-faultfs";
  std::string option = "-o";
  // allow_other: a server that has changed its user is served too.
  std::string options = "fsname=pollux-faultfs,ro,allow_other,default_permissions";
  char* argv[] = {name.data(), option.data(), options.data(), nullptr};
  fuse_args args = FUSE_ARGS_INIT(3, argv);
  session_ = fuse_session_new(&args, &kOperations, sizeof kOperations, this);
  fuse_opt_free_args(&args);
  if (session_ == nullptr) return "no FUSE session can be had";
  if (fuse_set_signal_handlers(session_) != 0) return "signals cannot be handled";
  if (fuse_session_mount(session_, where.c_str()) != 0) {
    return "cannot mount at '" + where + "': needs root and /dev/fuse";
  }
  mounted_ = true;
  const int fd = fuse_session_fd(session_);
  // A request can be taken back between poll() and read().
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return std::nullopt;
}

void FaultFileSystem::Run() {
  fuse_buf buffer{};
  while (fuse_session_exited(session_) == 0) {
    pollfd fds[] = {{fuse_session_fd(session_), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    const int ready = ::poll(fds, 2, SleepTime());
    AnswerLateReads(/*held_too=*/false);
    if (ready < 0) continue;  // EINTR: the handler may have ended the session
    if (fds[1].revents != 0 && !TakeCommands()) break;
    if (fds[0].revents == 0) continue;
    const int got = fuse_session_receive_buf(session_, &buffer);
    if (got > 0) fuse_session_process_buf(session_, &buffer);
  }
  std::free(buffer.mem);
}

// --- What the kernel asks.

fuse_ino_t FaultFileSystem::NumberOf(const std::string& path) {
  const auto [entry, added] = numbers_.try_emplace(path, nodes_.size() + 1);
  if (added) nodes_.push_back({path, std::nullopt});
  return entry->second;
}

int FaultFileSystem::Stat(fuse_ino_t number, struct stat* out) {
  const Node& node = NodeOf(number);
  if (::fstatat(folder_, node.path.c_str(), out, AT_SYMLINK_NOFOLLOW) != 0) return errno;
  out->st_ino = number;
  if (node.cut_off) out->st_size = std::min(out->st_size, static_cast<off_t>(*node.cut_off));
  return 0;
}

void FaultFileSystem::Lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  const std::string path = Below(NodeOf(parent).path, name);
  struct stat there {};
  if (::fstatat(folder_, path.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0) {
    fuse_reply_err(request, errno);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = NumberOf(path);
  entry.entry_timeout = kNamesSeconds;
  entry.attr_timeout = kAttributesSeconds;
  if (const int error = Stat(entry.ino, &entry.attr); error != 0) {
    fuse_reply_err(request, error);
  } else {
    fuse_reply_entry(request, &entry);
  }
}

void FaultFileSystem::Getattr(fuse_req_t request, fuse_ino_t number) {
  struct stat st {};
  if (const int error = Stat(number, &st); error != 0) {
    fuse_reply_err(request, error);
  } else {
    fuse_reply_attr(request, &st, kAttributesSeconds);
  }
}

void FaultFileSystem::Open(fuse_req_t request, fuse_ino_t number, fuse_file_info* info) {
  const std::string& path = NodeOf(number).path;
  const int fd = ::openat(folder_, path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) {
    fuse_reply_err(request, errno);
    return;
  }
  info->fh = static_cast<uint64_t>(fd);
  info->direct_io = std::any_of(rules_.begin(), rules_.end(), [&](const ReadRule& rule) {
    return rule.fault == ReadRule::Fault::kShort && rule.Names(path);
  });
  // ENOENT: the open was interrupted, and no release will come.
  if (fuse_reply_open(request, info) == -ENOENT) ::close(fd);
}

void FaultFileSystem::OnRead(const Read& read) {
  Node& node = NodeOf(read.node);
  const auto offset = static_cast<uint64_t>(read.offset);
  const auto rule = std::find_if(rules_.begin(), rules_.end(), [&](ReadRule& candidate) {
    return candidate.Strikes(node.path, offset, read.size);
  });
  if (rule == rules_.end()) {
    Answer(read, read.size);
    return;
  }
  std::printf("struck %s %" PRIu64 " %zu\n", node.path.c_str(), offset, read.size);
  std::fflush(stdout);
  switch (rule->fault) {
    case ReadRule::Fault::kShort:
      Answer(read, std::min<size_t>(read.size, rule->value));
      break;
    case ReadRule::Fault::kError:
      fuse_reply_err(read.request, static_cast<int>(rule->value));
      break;
    case ReadRule::Fault::kDelay:
      late_.push_back({read, Clock::now() + std::chrono::milliseconds(rule->value)});
      break;
    case ReadRule::Fault::kTruncate:
      node.cut_off = rule->value;
      Answer(read, read.size);
      break;
    case ReadRule::Fault::kHold:
      late_.push_back({read, std::nullopt});
      break;
  }
}

void FaultFileSystem::Answer(const Read& read, size_t size_max) {
  size_t size = std::min(read.size, size_max);
  if (const auto& end = NodeOf(read.node).cut_off) {
    const auto offset = static_cast<uint64_t>(read.offset);
    size = offset >= *end ? 0 : std::min<uint64_t>(size, *end - offset);
  }
  std::vector<char> bytes(size);
  const ssize_t got = ::pread(read.fd, bytes.data(), bytes.size(), read.offset);
  if (got < 0) {
    fuse_reply_err(read.request, errno);
  } else {
    fuse_reply_buf(read.request, bytes.data(), static_cast<size_t>(got));
  }
}

void FaultFileSystem::Readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset) {
  const int fd = ::openat(folder_, NodeOf(number).path.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  DIR* folder = fd < 0 ? nullptr : ::fdopendir(fd);
  if (folder == nullptr) {
    fuse_reply_err(request, errno);
    if (fd >= 0) ::close(fd);
    return;
  }
  std::vector<char> out(size);
  size_t used = 0;
  if (offset != 0) ::seekdir(folder, offset);
  while (const dirent* entry = ::readdir(folder)) {
    struct stat st {};
    st.st_ino = entry->d_ino;
    st.st_mode = static_cast<mode_t>(DTTOIF(entry->d_type));
    const size_t needed = fuse_add_direntry(request, out.data() + used, size - used, entry->d_name,
                                            &st, ::telldir(folder));
    if (needed > size - used) break;
    used += needed;
  }
  ::closedir(folder);
  fuse_reply_buf(request, out.data(), used);
}

// --- Late answers and commands.

int FaultFileSystem::SleepTime() const {
  std::optional<Clock::time_point> next;
  for (const LateRead& late : late_) {
    if (late.due && (!next || *late.due < *next)) next = late.due;
  }
  if (!next) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*next - Clock::now());
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

void FaultFileSystem::AnswerLateReads(bool held_too) {
  const auto now = Clock::now();
  const auto not_yet = [&](const LateRead& late) { return late.due ? *late.due > now : !held_too; };
  const auto first = std::stable_partition(late_.begin(), late_.end(), not_yet);
  const std::vector<LateRead> due(first, late_.end());
  late_.erase(first, late_.end());
  for (const LateRead& late : due) Answer(late.read, late.read.size);
}

bool FaultFileSystem::TakeCommands() {
  char bytes[4096];
  const ssize_t got = ::read(STDIN_FILENO, bytes, sizeof bytes);
  if (got <= 0) return got < 0 && (errno == EINTR || errno == EAGAIN);
  input_.append(bytes, static_cast<size_t>(got));
  for (size_t end = 0; (end = input_.find('\n')) != std::string::npos; input_.erase(0, end + 1)) {
    Obey(input_.substr(0, end));
  }
  return true;
}

void FaultFileSystem::Obey(const std::string& line) {
  constexpr std::string_view kRule = "rule ";
  if (line == "release") {
    AnswerLateReads(/*held_too=*/true);
  } else if (line == "clear") {
    rules_.clear();
  } else if (line.starts_with(kRule)) {
    if (auto rule = ParseReadRule(line.substr(kRule.size()))) {
      rules_.insert(rules_.begin(), *std::move(rule));
    } else {
      std::fprintf(stderr, "pollux-faultfs: %s\n", rule.error().c_str());
    }
  } else {
    std::fprintf(stderr, "pollux-faultfs: '%s' is none of rule, clear, release\n", line.c_str());
  }
}

}  // namespace pollux
