// shrink: the same violation with fewer choices.
#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "fakes/explore/shrink.h"
#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/files.h"
#include "fakes/scenarios/replay_file.h"
#include "fakes/scenarios/shrink_script.h"

namespace pollux::sim {
namespace {

constexpr uint64_t kShrinkExecutionsMax = 20'000;

int ShrinkFile(const std::string& from, const std::string& to) {
  auto file = ReadReplay(from);
  if (!file) return Complain(file.error());
  if (file->oracle == kAbort) return Complain(from + " ends the program: replay it, as it is");
  OutputFile target(to);
  if (!target.Open()) return Complain("cannot write " + to);
  StopOnCtrlC();
  Resources resources;
  const Story* story = FindStory(file->story);
  if (file->oracle.empty()) {
    ReplayStrategy replay(file->choices);
    (void)replay.Begin();
    const Outcome outcome = story->tell(file->options, replay, resources, nullptr);
    if (!outcome.violation) {
      (void)Complain("nothing is violated by " + from + ": there is nothing to shrink");
      return kGone;
    }
    file->oracle = outcome.violation->oracle;
  }
  ReplayFile out = *file;
  const auto shrink = [&](const Choices& choices) {
    return Shrink(
        choices, file->oracle,
        [&](Chooser& chooser) {
          // Nothing fails any more: what was found so far is the end.
          return Stopped() ? Outcome() : story->tell(out.options, chooser, resources, nullptr);
        },
        kShrinkExecutionsMax);
  };
  Shrunk shrunk = shrink(file->choices);
  if (shrunk.outcome.violation && !Stopped() && out.options.script.size() > 1) {
    const uint64_t executions = ShrinkScript(*story, out.options, shrunk.choices, file->oracle,
                                             kShrinkExecutionsMax, StopFlag());
    const uint64_t before = shrunk.executions + executions;
    Shrunk again = shrink(shrunk.choices);
    // Stopped by Ctrl-C: what is known of the longer script is told.
    if (!again.outcome.violation) out.options.script = file->options.script;
    if (again.outcome.violation) shrunk = std::move(again);
    shrunk.executions += before;
  }
  if (!shrunk.outcome.violation) {
    if (Stopped()) return kStopped;
    (void)Complain(file->oracle + " does not happen any more: there is nothing to shrink");
    return kGone;
  }
  out.choices = shrunk.choices;
  out.trace_hash = shrunk.outcome.trace_hash;
  if (!target.Write(ToText(out))) return Complain("cannot write " + to);
  std::printf("%zu choices that are not 0, of %zu before; %llu executions\n",
              NonZero(shrunk.choices), NonZero(file->choices),
              static_cast<unsigned long long>(shrunk.executions));
  std::printf("replay with: pollux-sim replay %s\n", to.c_str());
  if (Stopped()) std::printf("stopped by Ctrl-C: it may get smaller\n");
  return Stopped() ? kStopped : 0;
}

}  // namespace

void AddShrinkCommand(CLI::App& app, int* status) {
  struct Request {
    std::string from, to;
  };
  const auto request = std::make_shared<Request>();
  auto* shrink = app.add_subcommand("shrink", "The same violation with fewer choices");
  shrink->add_option("FILE", request->from)->required();
  shrink->add_option("-o", request->to, "Where to")->required();
  shrink->callback([request, status] { *status = ShrinkFile(request->from, request->to); });
}

}  // namespace pollux::sim
