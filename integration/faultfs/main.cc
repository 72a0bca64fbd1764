// pollux-faultfs: what the integration suite puts below a server whose disk has to fail.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "integration/faultfs/file_system.h"

namespace pollux {
namespace {

constexpr const char* kAbout =
    R"(Serves FOLDER at MOUNTPOINT, read-only, with reads that fail, come short, come late, or never.
Says 'pollux-faultfs: serving' when it is mounted. Ends, unmounting, when its standard input does:
so type Ctrl-D, or Ctrl-C. Reads that are held fail then; until then a process that waits for one
cannot be ended at all.

A rule is GLOB:FAULT[:from=BYTE][:to=BYTE][:first=N][:last=N][:every=N], where FAULT is short=BYTES,
delay=MS, truncate=BYTES, hold or an errno:

  --rule '*.iso:EIO:from=1048576' --rule 'slow/*:delay=20:every=3' --rule 'a:hold:first=5'

Commands on standard input: 'rule RULE', 'clear', 'release'. Each read that a rule strikes is told
on standard output: 'struck PATH OFFSET BYTES'.)";

int Refused(const std::string& why) {
  std::fprintf(stderr, "pollux-faultfs: %s\n", why.c_str());
  return 2;
}

// A process that unmounts `where` if this one ends without EndWatch, by SIGKILL: nobody could look
// into the folder until somebody did. To be called before anything is mounted, or the watcher would
// keep it alive. Returns the pipe for EndWatch; -1 if there can be no watcher, nor much else.
int StartWatch(const std::string& where) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return -1;
  const pid_t watcher = ::fork();
  if (watcher == 0) {
    ::setsid();  // out of the reach of the terminal's Ctrl-C
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, ends[1]}) ::close(fd);
    char byte = 0;
    if (::read(ends[0], &byte, 1) == 0) ::umount2(where.c_str(), MNT_DETACH);
    ::_exit(0);
  }
  ::close(ends[0]);
  return watcher < 0 ? (::close(ends[1]), -1) : ends[1];
}

void EndWatch(int watch) {
  (void)!::write(watch, "u", 1);
  ::close(watch);
}

int Serve(int folder, std::vector<ReadRule> rules, const std::string& where) {
  const int watch = StartWatch(where);
  if (watch < 0) return Refused(std::string("no second process: ") + std::strerror(errno));
  {
    FaultFileSystem files(folder, std::move(rules));
    if (const auto failure = files.Mount(where)) {
      EndWatch(watch);
      return Refused(*failure);
    }
    std::puts("pollux-faultfs: serving");
    std::fflush(stdout);
    files.Run();
  }
  EndWatch(watch);  // its destructor has unmounted it
  return 0;
}

int Main(int argc, char** argv) {
  CLI::App app(kAbout, "pollux-faultfs");
  std::string folder;
  std::string where;
  std::vector<std::string> texts;
  app.add_option("FOLDER", folder, "what is served")->required();
  app.add_option("MOUNTPOINT", where, "an empty folder")->required();
  app.add_option("--rule", texts, "which reads fail, and how; may be given again")
      ->allow_extra_args(false);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return Refused(std::string(error.what()) + " (see --help)");
  }
  std::vector<ReadRule> rules;
  for (const std::string& text : texts) {
    auto rule = ParseReadRule(text);
    if (!rule) return Refused(rule.error());
    rules.push_back(*std::move(rule));
  }
  const int fd = ::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Refused("'" + folder + "': " + std::strerror(errno));
  const int status = Serve(fd, std::move(rules), where);
  ::close(fd);
  return status;
}

}  // namespace
}  // namespace pollux

int main(int argc, char** argv) { return pollux::Main(argc, argv); }
