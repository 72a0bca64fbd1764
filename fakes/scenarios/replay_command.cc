// replay: one execution again.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/last_words.h"
#include "fakes/scenarios/replay_file.h"

namespace pollux::sim {
namespace {

class Printer final : public StepListener {
 public:
  void OnStep(const Step& step) override {
    const double seconds = std::chrono::duration<double>(step.now - kStart).count();
    std::printf("%5llu %10.6f  %-12s %s\n", static_cast<unsigned long long>(step.number), seconds,
                step.who.c_str(), step.what);
  }
};

int Replay(const std::string& path, bool quiet) {
  const auto file = ReadReplay(path);
  if (!file) return Complain(file.error());
  const LastWords last_words([] {
    std::printf("%s: %s\n", kAbort, kAbortText);
    (void)std::fflush(stdout);
    std::_Exit(kFound);
  });
  Resources resources;
  Printer printer;
  ReplayStrategy replay(file->choices);
  (void)replay.Begin();
  StoryOptions options = file->options;
  options.stacks = true;
  const Outcome outcome =
      FindStory(file->story)->tell(options, replay, resources, quiet ? nullptr : &printer);
  const bool known = !file->oracle.empty();  // an input of the fuzzer does not say what it found
  // One that ended the program has no hash: it did not come to its end.
  const bool hashed = file->trace_hash != 0;
  if (hashed && (replay.misfits() > 0 || outcome.trace_hash != file->trace_hash)) {
    std::fprintf(stderr, "pollux-sim: %s was made by another build: the execution differs\n",
                 path.c_str());
  }
  std::printf("trace %016llx, %llu steps\n", static_cast<unsigned long long>(outcome.trace_hash),
              static_cast<unsigned long long>(outcome.steps));
  if (outcome.violation) {
    std::printf("%s: %s\n", outcome.violation->oracle.c_str(), outcome.violation->text.c_str());
    if (!known || outcome.violation->oracle == file->oracle) return kFound;
  }
  if (!known) {
    std::printf("nothing is violated\n");
    return 0;
  }
  std::printf("%s does not happen any more\n", file->oracle.c_str());
  return outcome.violation ? kFound : kGone;
}

}  // namespace

void AddReplayCommand(CLI::App& app, int* status) {
  struct Request {
    std::string from;
    bool quiet = false;
  };
  const auto request = std::make_shared<Request>();
  auto* replay = app.add_subcommand("replay", "One execution again, step by step");
  replay->add_option("FILE", request->from)->required();
  replay->add_flag("--quiet", request->quiet, "Without the steps");
  replay->callback([request, status] { *status = Replay(request->from, request->quiet); });
}

}  // namespace pollux::sim
