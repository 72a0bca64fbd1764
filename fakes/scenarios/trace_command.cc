// trace: an execution as a timeline.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <system_error>

#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/last_words.h"
#include "fakes/scenarios/replay_file.h"
#include "fakes/scenarios/trace.h"

namespace pollux::sim {
namespace {

int Trace(const std::string& from, const std::string& to) {
  const auto file = ReadReplay(from);
  if (!file) return Complain(file.error());
  std::error_code none;
  if (std::filesystem::equivalent(from, to, none)) {
    return Complain("-o " + to + " is the file to be read");
  }
  std::ofstream out(to);
  if (!out) return Complain("cannot write " + to);
  Resources resources;
  TraceWriter writer;
  const LastWords last_words([&] {
    writer.set_violation({kAbort, kAbortText});
    out << writer.Text() << std::flush;
    std::_Exit(out ? 0 : kUsage);
  });
  ReplayStrategy replay(file->choices);
  (void)replay.Begin();
  const Outcome outcome = FindStory(file->story)->tell(file->options, replay, resources, &writer);
  if (outcome.violation) writer.set_violation(*outcome.violation);
  out << writer.Text();
  out.close();
  if (!out) return Complain("cannot write " + to);
  const bool known = file->trace_hash != 0;  // an input of the fuzzer has none
  if (known && (replay.misfits() > 0 || outcome.trace_hash != file->trace_hash)) {
    std::fprintf(stderr, "pollux-sim: %s was made by another build: the execution differs\n",
                 from.c_str());
  }
  std::printf("%llu steps; open %s in https://ui.perfetto.dev or chrome://tracing\n",
              static_cast<unsigned long long>(outcome.steps), to.c_str());
  return 0;
}

}  // namespace

void AddTraceCommand(CLI::App& app, int* status) {
  struct Request {
    std::string from, to;
  };
  const auto request = std::make_shared<Request>();
  auto* trace = app.add_subcommand("trace", "One execution as a timeline, for Perfetto");
  trace->add_option("FILE", request->from, "Of run, explore or shrink")->required();
  trace->add_option("-o", request->to, "Where to: JSON, Chrome's trace event format")->required();
  trace->callback([request, status] { *status = Trace(request->from, request->to); });
}

}  // namespace pollux::sim
