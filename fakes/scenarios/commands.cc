#include "fakes/scenarios/commands.h"

#include <time.h>

#include <csignal>
#include <cstdio>

#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

volatile std::sig_atomic_t stopped = 0;  // by Ctrl-C or SIGTERM
volatile std::sig_atomic_t stopped_at = 0;

std::sig_atomic_t Seconds() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);  // EINVAL, EFAULT: neither can be
  return static_cast<std::sig_atomic_t>(now.tv_sec);
}

// Whoever signals a whole group, as a terminal or `timeout` does, may do it twice for one wish: a
// second signal kills only if it comes later.
void OnStop(int signum) {
  if (stopped == 0) {
    stopped_at = Seconds();
    stopped = 1;
  } else if (Seconds() - stopped_at > 1) {
    (void)signal(signum, SIG_DFL);  // EINVAL: cannot be
    (void)raise(signum);            // once this handler has returned
  }
}

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
  action.sa_handler = OnStop;
  action.sa_flags = SA_RESTART;
  // One at a time: what the handler writes belongs together. EINVAL, EFAULT: neither can be.
  for (const int signal : {SIGINT, SIGTERM}) (void)sigaddset(&action.sa_mask, signal);
  for (const int signal : {SIGINT, SIGTERM}) (void)sigaction(signal, &action, nullptr);
}

bool Stopped() { return stopped != 0; }

const volatile std::sig_atomic_t& StopFlag() { return stopped; }

void AddListCommand(CLI::App& app, int* status) {
  app.add_subcommand("list", "The scenarios")->callback([status] { *status = List(); });
}

}  // namespace pollux::sim
