// pollux-sim: tells stories of the core on the simulated kernel, in as many orders as are wanted.
#include <cstdio>
#include <exception>

#include "fakes/scenarios/commands.h"

namespace pollux::sim {
namespace {

int Main(int argc, char** argv) {
  CLI::App app(
      "Runs the core on a simulated kernel and looks for schedules that break it.\n"
      "Exit status: 0 nothing found, or shrunk; 1 a violation (run and explore save a replay\n"
      "file); 2 bad usage, or a file that cannot be read or written; 3 what a replay file was\n"
      "saved for does not happen any more; 130 stopped by Ctrl-C.",
      "pollux-sim");
  app.require_subcommand(1);
  int status = 0;
  AddListCommand(app, &status);
  AddSearchCommands(app, &status);
  AddReplayCommand(app, &status);
  AddShrinkCommand(app, &status);
  AddTraceCommand(app, &status);
  AddTableCommand(app, &status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help
    if (!asked) return Complain(error.what());
    return app.exit(error);
  }
  return status;
}

}  // namespace
}  // namespace pollux::sim

int main(int argc, char** argv) {
  try {
    return pollux::sim::Main(argc, argv);
  } catch (const std::exception& error) {  // no memory, say
    std::fprintf(stderr, "pollux-sim: %s\n", error.what());
    return pollux::sim::kUsage;
  }
}
