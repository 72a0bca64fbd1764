// run and explore: executions until something is found.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "fakes/explore/exhaustive.h"
#include "fakes/explore/shrink.h"
#include "fakes/scenarios/commands.h"
#include "fakes/scenarios/files.h"
#include "fakes/scenarios/last_words.h"
#include "fakes/scenarios/progress.h"
#include "fakes/scenarios/replay_file.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

// The exhaustive strategy tells 32 actors apart: these are one each, beside those of the story.
constexpr int kExhaustiveActorsMax = 16;
constexpr uint64_t kCountMax = 1'000'000'000'000'000;  // years of executions, or of steps
constexpr uint64_t kSeedMax = UINT64_MAX - kCountMax;  // the last execution has a seed, too
constexpr uint64_t kPreemptionsMax = 1'000'000;
constexpr uint64_t kSecondsMax = 1'000'000'000;

// Names as they were typed; what is wrong with them is one line that lists the valid ones.
struct Words {
  std::string story;
  std::string coordination = "masked";
  std::string backend = "linux-aio-sendfile";
  std::string retire = "punch";
  std::string strategy;
  std::string reduction = "dpor";
};

struct Request {
  Words words;
  StoryOptions options;
  const Story* story = nullptr;
  uint64_t seed = 1;
  uint64_t runs = 1000;
  uint64_t seconds_max = 0;  // 0: no limit
  int preemptions = -1;
  int pct_depth = 3;
  std::string save;
  std::string script;  // a path
};

std::string StoryNames() {
  std::string names;
  for (const Story& story : AllStories())
    names += (names.empty() ? "" : ", ") + std::string(story.name);
  return names;
}

// Empty if all words are known.
std::string Understand(Request& request) {
  const Words& words = request.words;
  request.story = FindStory(words.story);
  if (request.story == nullptr) {
    return "no scenario '" + words.story + "'; there are: " + StoryNames();
  }
  const auto coordination = ParseCoordination(words.coordination);
  if (!coordination) {
    return "no coordination '" + words.coordination + "'; there are: published, masked, eventfd";
  }
  const auto backend = ParseBackend(words.backend);
  if (!backend) {
    return "no backend '" + words.backend +
           "'; there are: writev, linux-sendfile, linux-aio-sendfile, linux-aio-write, "
           "threads-sendfile, auto";
  }
  const auto retire = ParseRetire(words.retire);
  if (!retire) return "no way to retire '" + words.retire + "'; there are: punch, fresh, reuse";
  if (words.strategy != "random" && words.strategy != "pct" && words.strategy != "exhaustive") {
    return "no strategy '" + words.strategy + "'; there are: random, pct, exhaustive";
  }
  if (words.reduction != "none" && words.reduction != "sleep" && words.reduction != "dpor") {
    return "no reduction '" + words.reduction + "'; there are: none, sleep, dpor";
  }
  if (words.strategy == "exhaustive" && !request.story->exhaustible) {
    return "'" + words.story + "' is too large to be told in every order; use random or pct";
  }
  if (words.strategy == "exhaustive" &&
      request.options.signals + request.options.faults > kExhaustiveActorsMax) {
    return "too many --signals and --faults for every order: at most " +
           std::to_string(kExhaustiveActorsMax) + " together; use random or pct";
  }
  if (const auto shape = disk::ParseShape(request.options.disk); !shape) return shape.error();
  const bool asks_more = request.options.signals > 0 || request.options.faults > 0 ||
                         !request.options.leader_first || request.options.disk != "none";
  if (asks_more && !request.story->uses_disk) {
    return "'" + words.story +
           "' has no foreign signals and reads no files: --signals, --any-thread, --faults and "
           "--disk do nothing there";
  }
  request.options.coordination = *coordination;
  request.options.backend = *backend;
  request.options.retire = *retire;
  if (!request.script.empty()) {
    std::ifstream in(request.script, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    if (!in || text.empty()) return "cannot read a script from " + request.script;
    request.options.script = text;
  }
  return "";
}

Reduction ReductionOf(const std::string& word) {
  if (word == "none") return Reduction::kNone;
  return word == "sleep" ? Reduction::kSleepSets : Reduction::kDpor;
}

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// All that tells the searches of one folder apart, but for numbers.
std::string DefaultPath(const Request& request) {
  std::string name = std::string(request.story->name) + "-" + request.words.coordination;
  if (request.story->uses_backend) {
    name += "-" + request.words.backend + "-" + request.words.retire;
  }
  if (request.options.disk != "none") name += "-" + request.options.disk;
  return name + ".replay";
}

// The same execution once more, with what is too slow to be kept in each.
Outcome WithStacks(const Request& request, const Choices& choices, const Outcome& outcome,
                   Resources& resources) {
  if (outcome.violation->oracle != "page references") return outcome;
  StoryOptions options = request.options;
  options.stacks = true;
  ReplayStrategy replay(choices);
  (void)replay.Begin();
  Outcome again = request.story->tell(options, replay, resources, nullptr);
  return again.violation && again.trace_hash == outcome.trace_hash ? again : outcome;
}

int ReportViolation(const Request& request, OutputFile& target, const Choices& choices,
                    const Outcome& outcome, uint64_t executions, double seconds) {
  ReplayFile replay;
  replay.story = request.story->name;
  replay.options = request.options;
  replay.choices = choices;
  replay.oracle = outcome.violation->oracle;
  replay.trace_hash = outcome.trace_hash;
  std::printf("%s: %s\n", outcome.violation->oracle.c_str(), outcome.violation->text.c_str());
  std::printf("found by execution %llu, after %.3f s; %zu choices that are not 0; trace %016llx\n",
              static_cast<unsigned long long>(executions), seconds, NonZero(choices),
              static_cast<unsigned long long>(outcome.trace_hash));
  if (target.Write(ToText(replay))) {
    std::printf("replay with: pollux-sim replay %s\n", target.path().c_str());
  } else {
    (void)Complain("cannot write " + target.path() + "; the same command finds it again");
  }
  (void)std::fflush(stdout);  // it may be the program's last word
  return kFound;
}

// The line below the summary: how the search ended.
void TellEnd(const Request& request, const ExhaustiveStrategy* exhaustive) {
  if (exhaustive == nullptr) {
    if (Stopped()) std::printf("stopped by Ctrl-C\n");
    return;
  }
  const char* end =
      Stopped() ? "stopped by Ctrl-C: not all were seen" : "stopped by a limit: not all were seen";
  if (exhaustive->exhausted()) {
    end = request.preemptions >= 0 ? "exhausted up to the bound on preemptions" : "exhausted";
  }
  std::printf("%s (%llu of them redundant)\n", end,
              static_cast<unsigned long long>(exhaustive->redundant()));
}

// Executions until something is found, nothing is left, or a limit is reached.
int Explore(const Request& request, Strategy& strategy, const ExhaustiveStrategy* exhaustive) {
  OutputFile target(request.save.empty() ? DefaultPath(request) : request.save);
  if (!target.Open()) return Complain("cannot write " + target.path());
  StopOnCtrlC();
  Resources resources;
  const auto start = std::chrono::steady_clock::now();
  Progress progress(exhaustive);
  uint64_t executions = 0, steps = 0, hash = 0;
  const LastWords last_words([&] {
    Outcome outcome;
    outcome.violation = Violation{kAbort, kAbortText};
    std::_Exit(ReportViolation(request, target, strategy.choices(), outcome, executions + 1,
                               SecondsSince(start)));
  });
  while (!Stopped() && (request.runs == 0 || executions < request.runs) && strategy.Begin()) {
    const Outcome outcome = request.story->tell(request.options, strategy, resources, nullptr);
    strategy.End();
    ++executions;
    steps += outcome.steps;
    hash = hash * 31 + outcome.trace_hash;
    if (outcome.violation) {
      const double seconds = SecondsSince(start);
      return ReportViolation(request, target, strategy.choices(),
                             WithStacks(request, strategy.choices(), outcome, resources),
                             executions, seconds);
    }
    if (request.seconds_max > 0 && SecondsSince(start) >= static_cast<double>(request.seconds_max))
      break;
    if (executions % 256 == 0) progress.Tell(executions, SecondsSince(start));
  }
  const double seconds = SecondsSince(start);
  std::printf("%s: %llu executions, %llu steps, %.0f executions a second: nothing found\n",
              request.story->name, static_cast<unsigned long long>(executions),
              static_cast<unsigned long long>(steps), executions / seconds);
  std::printf("trace %016llx\n", static_cast<unsigned long long>(hash));
  TellEnd(request, exhaustive);
  return Stopped() ? kStopped : 0;
}

int Explore(Request& request) {
  if (const std::string wrong = Understand(request); !wrong.empty()) return Complain(wrong);
  if (request.words.strategy == "random") {
    RandomStrategy strategy(request.seed);
    return Explore(request, strategy, nullptr);
  }
  if (request.words.strategy == "pct") {
    PctStrategy strategy(request.seed, request.pct_depth);
    return Explore(request, strategy, nullptr);
  }
  std::optional<int> bound;
  if (request.preemptions >= 0) bound = request.preemptions;
  const Reduction reduction = bound ? Reduction::kNone : ReductionOf(request.words.reduction);
  ExhaustiveStrategy strategy(reduction, bound);
  return Explore(request, strategy, &strategy);
}

void AddStory(CLI::App& command, Request& request) {
  command.add_option("SCENARIO", request.words.story, "One of: pollux-sim list")->required();
  command.add_option("--coordination", request.words.coordination, "published, masked, eventfd")
      ->capture_default_str();
  command.add_option("--backend", request.words.backend, "For scenarios of the server")
      ->capture_default_str();
  command.add_option("--retire", request.words.retire, "punch, fresh, reuse")
      ->capture_default_str();
  command.add_option("--script", request.script,
                     "A file: what the clients of `conversation` say (conversation_script.h)");
  command.add_option("--strategy", request.words.strategy, "random, pct, exhaustive")
      ->capture_default_str();
  command.add_option("--seed", request.seed, "Of the first execution; the next has the next")
      ->check(WholeNumber(0, kSeedMax))
      ->capture_default_str();
  command.add_option("--pct-depth", request.pct_depth, "Ordering constraints that pct looks for")
      ->check(CLI::Range(1, 20))
      ->capture_default_str();
  command.add_option("--signals", request.options.signals, "Foreign SIGALRMs, at any moment")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command
      .add_option("--early-timeouts", request.options.early_timeouts,
                  "Sleeps that may time out although something else can happen")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command
      .add_option("--spurious-wakeups", request.options.spurious_wakeups,
                  "Waits for a condition variable that may end for nothing")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command
      .add_option("--faults", request.options.faults,
                  "Reads that may fail or be short; as many with RWF_NOWAIT may be refused")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command.add_flag(
      "--any-thread", [&request](int64_t) { request.options.leader_first = false; },
      "Signals for the process go to any thread, not to the leader first");
  command
      .add_option(
          "--disk", request.options.disk,
          "none: reads complete in any order and at once. raid1-2006, hdd, ssd or numbers as "
          "in hdd,rate=80,rpm=5400: as that disk completes them")
      ->capture_default_str();
  command.add_option("--steps-max", request.options.steps_max, "More steps are a violation")
      ->check(WholeNumber(1, kCountMax))
      ->capture_default_str();
  command.add_option("--save", request.save,
                     "Where a violation's replay file goes (into this folder, by a name made of "
                     "the words above)");
}

void AddRun(CLI::App& app, int* status) {
  const auto request = std::make_shared<Request>();
  request->words.strategy = "random";
  auto* run = app.add_subcommand("run", "Executions by seed (--strategy random by default)");
  AddStory(*run, *request);
  run->add_option("--runs", request->runs, "How many")
      ->check(WholeNumber(1, kCountMax))
      ->capture_default_str();
  run->callback([request, status] { *status = Explore(*request); });
}

void AddExplore(CLI::App& app, int* status) {
  const auto request = std::make_shared<Request>();
  request->words.strategy = "exhaustive";
  request->runs = 0;
  auto* explore =
      app.add_subcommand("explore", "Until nothing is left (--strategy exhaustive by default)");
  AddStory(*explore, *request);
  explore->add_option("--reduction", request->words.reduction, "none, sleep, dpor (exhaustive)")
      ->capture_default_str();
  explore
      ->add_option("--preemptions", request->preemptions,
                   "Leave out executions with more; goes without reduction")
      ->check(WholeNumber(0, kPreemptionsMax));
  explore->add_option("--max-seconds", request->seconds_max, "Stop after this time; 0: no limit")
      ->check(WholeNumber(0, kSecondsMax));
  explore->callback([request, status] { *status = Explore(*request); });
}

}  // namespace

void AddSearchCommands(CLI::App& app, int* status) {
  AddRun(app, status);
  AddExplore(app, status);
}

}  // namespace pollux::sim
