#include "fakes/scenarios/commands.h"

#include <csignal>
#include <cstdio>

#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

volatile std::sig_atomic_t stopped = 0;  // by Ctrl-C or SIGTERM

int List() {
  for (const Story& story : AllStories()) {
    std::printf("%-16s %s%s\n", story.name, story.what, story.exhaustible ? "" : " (random, pct)");
  }
  return 0;
}

}  // namespace

int Complain(const std::string& message) {
  std::fprintf(stderr, "pollux-sim: %s\n", message.c_str());
  return kUsage;
}

void StopOnCtrlC() {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second one kills
  // EINVAL, EFAULT: neither can be.
  for (const int signal : {SIGINT, SIGTERM}) (void)sigaction(signal, &action, nullptr);
}

bool Stopped() { return stopped != 0; }

const volatile std::sig_atomic_t& StopFlag() { return stopped; }

void AddListCommand(CLI::App& app, int* status) {
  app.add_subcommand("list", "The scenarios")->callback([status] { *status = List(); });
}

}  // namespace pollux::sim
