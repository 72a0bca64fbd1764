// pollux-validate: how a coordination behaves on this kernel, as JSON. ci/validate runs it once per
// coordination and event handler and puts the figures into its verdict table; see measure.h.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "fakes/validate/measure.h"

namespace pollux::validate {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  CoordinationKind coordination = CoordinationKind::kEventfd;
  bool epoll = true;
  std::string path;
  double seconds = 4;
  unsigned rounds = 50;
  unsigned stalling_rounds = 3;
};

Json ToJson(const LostWakeup& m) {
  return {{"rounds", m.rounds},
          {"held", m.held},
          {"stalled", m.stalled},
          {"longest_s", Seconds(m.longest)}};
}

Json ToJson(const KickLands& m) {
  return {{"has_helper", m.has_helper},
          {"kicks", m.kicks},
          {"landed", m.landed},
          {"longest_s", Seconds(m.longest)}};
}

Json ToJson(const ForeignSignals& m) {
  return {{"sent", m.sent},       {"interrupted", m.interrupted},
          {"misread", m.misread}, {"dispatched_wrongly", m.dispatched_wrongly},
          {"late", m.late},       {"longest_turn_s", Seconds(m.longest_turn)}};
}

Json ToJson(const Delays& m) {
  return {{"in_flight", m.in_flight},
          {"seconds", m.seconds},
          {"reads", m.reads},
          {"unobserved", m.unobserved},
          {"stalls", m.stalls},
          {"timeout_rescues", m.timeout_rescues},
          {"p50_s", Seconds(m.p50)},
          {"p99_s", Seconds(m.p99)},
          {"longest_s", Seconds(m.longest)}};
}

int Run(const Options& options) {
  Signaller signaller;  // before any thread
  const RigOptions rig{options.coordination, options.epoll};
  // A round of the specimen that shows the defect takes a second.
  const unsigned rounds = options.coordination == CoordinationKind::kPublished
                              ? options.stalling_rounds
                              : options.rounds;
  Json out;
  out["coordination"] = ToString(options.coordination);
  out["event_handler"] = options.epoll ? "epoll" : "poll";
  out["lost_wakeup"] = ToJson(MeasureLostWakeup(rig, rounds));
  out["kick"] = ToJson(MeasureKick(rig, rounds));
  out["foreign_signals"] = ToJson(MeasureForeignSignals(rig, signaller, rounds));
  out["delays"] = Json::array();
  if (!options.path.empty()) {
    for (const unsigned in_flight : {1u, 4u, 16u}) {
      const auto duration = std::chrono::duration<double>(options.seconds);
      out["delays"].push_back(ToJson(MeasureDelays(
          rig, options.path, in_flight, std::chrono::duration_cast<Nanoseconds>(duration))));
    }
  }
  std::cout << out.dump(1) << std::endl;
  return 0;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Measures a coordination on this kernel and prints JSON; see ci/validate.",
               "pollux-validate");
  std::string coordination, handler;
  app.add_option("--coordination", coordination, "published, masked or eventfd")
      ->required()
      ->check(CLI::IsMember({"published", "masked", "eventfd"}));
  app.add_option("--event-handler", handler, "epoll or poll (default: poll for published)")
      ->check(CLI::IsMember({"epoll", "poll"}));
  app.add_option("--file", options.path,
                 "file to read with direct I/O, 16 MiB or more (default: no delays are measured)");
  app.add_option("--seconds", options.seconds, "of reading at each depth")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "of each ordered measurement")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  app.add_option("--stalling-rounds", options.stalling_rounds, "the same for published")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.coordination = *ParseCoordination(coordination);
  options.epoll =
      handler.empty() ? options.coordination != CoordinationKind::kPublished : handler == "epoll";
  return Run(options);
}

}  // namespace
}  // namespace pollux::validate

int main(int argc, char** argv) { return pollux::validate::Main(argc, argv); }
