// pollux-sim: tells stories of the core on the simulated kernel, in as many orders as are wanted.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <exception>
#include <string>

#include "fakes/scenarios/commands.h"

namespace pollux::sim {
namespace {

// A standard stream that is closed (EBADF) would be the next file that is opened, a replay file
// say, and what is printed would go there. In its place comes one that cannot be used, either.
void OccupyStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);  // the lowest free: this one
  }
}

// The status, if all that was printed has arrived.
int Ended(int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  const int wrong = Complain("cannot write to standard output");
  return status != 0 ? status : wrong;
}

// Where the command itself is missing or unknown: what there is.
std::string CommandsThere(const CLI::App& app) {
  if (!app.get_subcommands().empty()) return "";
  std::string text;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    text += (text.empty() ? "; there are: " : ", ") + command->get_name();
  }
  return text;
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Runs the core on a simulated kernel and looks for schedules that break it.\n"
      "Exit status: 0 nothing found, shrunk, or accepted; 1 a violation (run and explore save a\n"
      "replay file), or a recording that is rejected; 2 bad usage, or a file that cannot be read\n"
      "or written; 3 what a replay file was saved for does not happen any more; 130 stopped by\n"
      "Ctrl-C.",
      "pollux-sim");
  app.require_subcommand(1);
  int status = 0;
  AddListCommand(app, &status);
  AddSearchCommands(app, &status);
  AddReplayCommand(app, &status);
  AddShrinkCommand(app, &status);
  AddTraceCommand(app, &status);
  AddTableCommand(app, &status);
  AddRecordingCommands(app, &status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help
    if (!asked) return Complain(error.what() + CommandsThere(app));
    return app.exit(error);
  }
  return status;
}

}  // namespace
}  // namespace pollux::sim

int main(int argc, char** argv) {
  pollux::sim::OccupyStandardStreams();
  try {
    return pollux::sim::Ended(pollux::sim::Main(argc, argv));
  } catch (const std::exception& error) {  // no memory, say
    std::fprintf(stderr, "pollux-sim: %s\n", error.what());
    return pollux::sim::kUsage;
  }
}
