// record: a run on this machine's kernel, call by call; accept: does the simulated one allow it?
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "fakes/recording/accept.h"
#include "fakes/recording/recording_file.h"
#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/files.h"
#include "fakes/scenarios/last_words.h"
#include "fakes/scenarios/real_run.h"

namespace pollux::sim {
namespace {

struct Request {
  std::string coordination = "masked";
  std::string handler;  // of descriptors; empty: what the coordination can use
  std::string path;
  uint64_t executions_max = 300;
};

std::string SizeOf(const Recording& recording) {
  return std::to_string(recording.calls.size()) + " calls of " + std::to_string(recording.threads) +
         (recording.threads == 1 ? " thread" : " threads");
}

int Record(const Request& request) {
  const auto kind = ParseCoordination(request.coordination);
  if (!kind) {
    return Complain("no coordination '" + request.coordination +
                    "'; there are: published, masked, eventfd");
  }
  const bool published = *kind == CoordinationKind::kPublished;
  const std::string handler =
      request.handler.empty() ? (published ? "poll" : "epoll") : request.handler;
  if (handler != "epoll" && handler != "poll") {
    return Complain("no event handler '" + handler + "'; there are: epoll, poll");
  }
  if (published && handler == "epoll") {
    return Complain("--coordination published waits in poll(2): leave --event-handler out");
  }
  OutputFile out(request.path);
  if (!out.Open()) return Complain("cannot write " + request.path);
  StopOnCtrlC();
  const std::string folder = std::filesystem::path(request.path).parent_path();
  const auto recording = RecordRealRun(*kind, handler == "epoll", folder.empty() ? "." : folder);
  if (!recording) return Complain(recording.error());
  if (!out.Write(WriteRecording(*recording))) return Complain("cannot write " + request.path);
  std::printf("%s; judge with: pollux-sim accept %s\n", SizeOf(*recording).c_str(),
              request.path.c_str());
  return 0;
}

int Judge(const Request& request) {
  const auto text = ReadText(request.path, "recording");
  if (!text) return Complain(text.error());
  const auto recording = ReadRecording(*text);
  if (!recording) return Complain(request.path + " is no recording: " + recording.error());
  size_t last = 0;
  // The model ends the program where it is asked for what it does not know, and says so.
  const LastWords last_words([&] {
    std::printf("%s:%zu: rejected: the model gives up at %s; why is said above, if it knew\n",
                request.path.c_str(), LineOf(*recording, last),
                recording->calls[last].name.c_str());
    (void)std::fflush(stdout);
    std::_Exit(kFound);
  });
  const Acceptance acceptance =
      Accept(*recording, request.executions_max, [&](size_t call) { last = call; });
  const auto orders = static_cast<unsigned long long>(acceptance.executions);
  if (acceptance.accepted) {
    std::printf("%s: accepted: %s, by order %llu\n", request.path.c_str(),
                SizeOf(*recording).c_str(), orders);
    return 0;
  }
  std::printf("%s:%zu: rejected: %s\n", request.path.c_str(), LineOf(*recording, acceptance.call),
              acceptance.refusal.c_str());
  std::printf("%llu orders were tried\n", orders);
  return kFound;
}

}  // namespace

void AddRecordingCommands(CLI::App& app, int* status) {
  const auto request = std::make_shared<Request>();
  auto* record = app.add_subcommand(
      "record", "A run of the loop on this machine's kernel, call by call, with a file and a peer");
  record->add_option("-o", request->path, "Where to; a file to be read is made beside it meanwhile")
      ->required();
  record->add_option("--coordination", request->coordination, "published, masked, eventfd")
      ->capture_default_str();
  record->add_option("--event-handler", request->handler, "epoll, poll (published: poll only)");
  record->callback([request, status] { *status = Record(*request); });
  auto* accept = app.add_subcommand(
      "accept", "Whether the simulated kernel allows what a recording says (recording_file.h)");
  accept->add_option("FILE", request->path, "Of record")->required();
  accept->add_option("--orders-max", request->executions_max, "Try at most so many orders of it")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  accept->callback([request, status] { *status = Judge(*request); });
}

}  // namespace pollux::sim
