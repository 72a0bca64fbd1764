// pollux-disk: a disk of 2006, or any other, with a real file system on it.
//
// Two processes. This one makes and unmounts; the other answers FUSE's requests: a process that
// waits for a disk which it serves itself could not be killed. Whichever of them is left ends all
// who are still in their mount namespace, but for who has started them, and takes the disk down.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/units.h"
#include "integration/disk/block_device.h"
#include "integration/disk/file_system.h"
#include "integration/disk/mount_namespace.h"

namespace pollux::disk {
namespace {

constexpr const char* kAbout =
    "A modelled disk with ext4 on it. FOLDER/files is the file system, FOLDER/device/model the\n"
    "model: write raid1-2006 to it, or none while files are made. Both are seen by this process\n"
    "and its children only; from outside they are /proc/PID/root/FOLDER/...\n"
    "With a command, runs it and takes the disk down when it ends; else when standard input ends,\n"
    "or with Ctrl-C. Who is still inside then is ended. Nothing is left behind, after kill -9\n"
    "either. Needs root.";

constexpr uint64_t kBytesMin = 64_MiB;  // less, and ext4 has no journal
constexpr uint64_t kBytesMax = 16ull << 40;

struct Options {
  std::string folder;
  uint64_t bytes = 8_GiB;
  uint64_t read_ahead_bytes = 128_KiB;
  std::string model = "none";
  std::vector<std::string> command;
  pid_t owner = 0;  // who has started this; may have entered the namespace (setns(2))

  std::string device() const { return folder + "/device"; }
  std::string files() const { return folder + "/files"; }
};

int Fail(const std::string& text) {
  std::fprintf(stderr, "pollux-disk: %s\n", text.c_str());
  return 2;
}

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, number);
  return set;
}

// When `maker` has ended before its time: what it would have done.
void TakeDownAfter(pid_t maker, int maker_fd, FileSystem& files, const Options& options) {
  pollfd ended{maker_fd, POLLIN, 0};
  // Without a descriptor it has ended already (ESRCH).
  while (getppid() == maker && poll(&ended, 1, -1) < 0 && errno == EINTR) {
  }
  files.array().SetShape(std::nullopt);  // nothing can end who waits for a read
  EndOthers({options.owner});
  Unmount(options.files());
  Unmount(options.device());
  _exit(0);
}

// A child that does not outlive this process.
pid_t ForkCommand() {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child != 0) return child;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);  // it died before
  return 0;
}

[[noreturn]] void ServeDisk(const Options& options, pid_t maker, int ready) {
  // The terminal's Ctrl-C is the other process's business: first the mounts have to go.
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
  // A disk does not stand in line for a processor. Refused (EPERM in a container): then it does.
  const sched_param first{.sched_priority = 1};
  (void)sched_setscheduler(0, SCHED_FIFO, &first);
  const int backing = open(options.folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (backing < 0 || ftruncate(backing, static_cast<off_t>(options.bytes)) != 0) {
    _exit(Fail(options.folder + ": no room for a sparse file: " + std::strerror(errno)));
  }
  FileSystem files(backing, options.bytes, options.model);
  std::thread(TakeDownAfter, maker, OpenProcess(maker), std::ref(files), std::cref(options))
      .detach();
  bool mounted = false;
  const bool served = files.Serve(options.device(), [&mounted, ready] {
    mounted = true;
    (void)!write(ready, "r", 1);
  });
  if (!mounted) _exit(Fail("no FUSE here (is /dev/fuse there?)"));
  _exit(served ? 0 : 2);
}

// The server's process, once the disk can be opened; 0 if it has ended, having said why.
pid_t StartServer(const Options& options) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    (void)Fail(std::string("pipe2: ") + std::strerror(errno));
    return 0;
  }
  const pid_t maker = getpid();
  const pid_t server = fork();
  if (server == 0) {
    close(ends[0]);
    ServeDisk(options, maker, ends[1]);
  }
  close(ends[1]);
  char byte = 0;
  const bool ready = read(ends[0], &byte, 1) == 1;
  close(ends[0]);
  return ready ? server : 0;
}

int StatusOf(int wait_status) {
  return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

// The command's process; 0 if there is none.
pid_t StartCommand(const Options& options, const sigset_t& watched) {
  if (options.command.empty()) return 0;
  const pid_t child = ForkCommand();
  if (child != 0) return child;
  sigprocmask(SIG_UNBLOCK, &watched, nullptr);
  std::vector<char*> words;
  for (const std::string& word : options.command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  std::fprintf(stderr, "pollux-disk: %s: %s\n", words[0], std::strerror(errno));
  _exit(127);
}

// Until the command ends, whose status it returns; without one until standard input does, or a
// signal comes.
int Wait(pid_t server, pid_t command, int signals) {
  std::array<pollfd, 2> watched = {pollfd{signals, POLLIN, 0}, pollfd{0, POLLIN, 0}};
  for (;;) {
    if (poll(watched.data(), command == 0 ? 2 : 1, -1) < 0 && errno != EINTR) return 2;
    std::array<char, 256> text;
    if (watched[1].revents != 0 && read(0, text.data(), text.size()) <= 0) return 0;
    if (watched[0].revents == 0) continue;
    signalfd_siginfo info{};
    if (read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo != SIGCHLD) {
      if (command == 0) return 0;
      // A terminal has told the command as well.
      if (info.ssi_signo != SIGINT) kill(command, static_cast<int>(info.ssi_signo));
      continue;
    }
    int status = 0;
    if (command != 0 && waitpid(command, &status, WNOHANG) == command) return StatusOf(status);
    if (waitpid(server, &status, WNOHANG) == server) return Fail("the disk's server has died");
  }
}

Status Make(const Options& options, const LoopDevice& loop) {
  if (auto made = MakeExt4(loop.path()); !made) return made;
  return MountExt4(loop.path(), options.files());
}

// Reads that are held as well: nothing can end who waits for one.
void AnswerAll(const Options& options) {
  const int model = open((options.device() + "/model").c_str(), O_WRONLY | O_CLOEXEC);
  if (model < 0) return;  // the server has died, and the kernel has failed them
  (void)!write(model, "none", 4);
  close(model);
}

// With the disk's server at work.
int UseDisk(const Options& options, pid_t server, const sigset_t& watched, int signals) {
  auto loop = LoopDevice::Attach(options.device() + "/disk", options.read_ahead_bytes);
  if (!loop) return Fail(ToString(loop.error()));
  if (auto made = Make(options, *loop); !made) return Fail(ToString(made.error()));
  if (options.command.empty()) {
    std::printf("pollux-disk: %s is on %s, a disk of %s\n", options.files().c_str(),
                loop->path().c_str(), options.model.c_str());
    std::fflush(stdout);
  }
  const int status = Wait(server, StartCommand(options, watched), signals);
  AnswerAll(options);
  EndOthers({server, options.owner});
  Unmount(options.files());
  return status;
}

int Run(const Options& options) {
  if (geteuid() != 0) return Fail("needs root: it mounts, and makes a loop device");
  for (const std::string& path : {options.device(), options.files()}) {
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
      return Fail(path + ": " + std::strerror(errno));
    }
  }
  if (auto entered = EnterPrivateMounts(); !entered) return Fail(ToString(entered.error()));
  const sigset_t watched = Watched();
  sigprocmask(SIG_BLOCK, &watched, nullptr);
  const int signals = signalfd(-1, &watched, SFD_CLOEXEC);
  if (signals < 0) return Fail(std::string("signalfd: ") + std::strerror(errno));
  const pid_t server = StartServer(options);
  if (server <= 0) return 2;  // it has said why
  const int status = UseDisk(options, server, watched, signals);
  Unmount(options.device());
  kill(server, SIGKILL);  // if others still hold what was mounted
  waitpid(server, nullptr, 0);
  // ENOTEMPTY: somebody has put something there. EBUSY: see kill.
  for (const std::string& path : {options.files(), options.device()}) (void)rmdir(path.c_str());
  return status;
}

}  // namespace
}  // namespace pollux::disk

int main(int argc, char** argv) {
  pollux::disk::Options options;
  options.owner = getppid();
  CLI::App app{pollux::disk::kAbout, "pollux-disk"};
  app.add_option("FOLDER", options.folder, "An empty folder, on a file system with room")
      ->required()
      ->check(CLI::ExistingDirectory)
      ->transform([](const std::string& path) {
        return std::filesystem::absolute(path).lexically_normal().string();
      });
  app.add_option("--size", options.bytes, "Of the disk, such as 8G (sparse), 64M to 16T")
      ->transform(CLI::AsSizeValue(false) &
                  CLI::Range(pollux::disk::kBytesMin, pollux::disk::kBytesMax))
      ->capture_default_str();
  app.add_option("--read-ahead", options.read_ahead_bytes, "The kernel's, of the device")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--model", options.model,
                 "To begin with: raid1-2006, hdd, ssd, none, or numbers as in "
                 "hdd,rate=80,seek=9,rpm=5400,spindles=3")
      ->check([](const std::string& words) {
        const auto shape = pollux::disk::ParseShape(words);
        return shape ? std::string() : shape.error();
      })
      ->capture_default_str();
  app.add_option("COMMAND", options.command, "Behind --: is run with the disk, and ends it");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return pollux::disk::Fail(std::string(error.what()) + " (see --help)");
  }
  return pollux::disk::Run(options);
}
