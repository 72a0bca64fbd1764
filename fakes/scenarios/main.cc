// pollux-sim: tells stories of the core on the simulated kernel, in as many orders as are wanted.
#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "fakes/explore/exhaustive.h"
#include "fakes/explore/shrink.h"
#include "fakes/scenarios/last_words.h"
#include "fakes/scenarios/progress.h"
#include "fakes/scenarios/replay_file.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/shrink_script.h"

namespace pollux::sim {
namespace {

constexpr int kFound = 1, kUsage = 2, kGone = 3, kStopped = 130;
// The oracle of what ends the program itself.
constexpr const char* kAbort = "abort";
constexpr const char* kAbortText = "the program gave up; why is said above, if it knew";
constexpr uint64_t kShrinkExecutionsMax = 20'000;
// The exhaustive strategy tells 32 actors apart: these are one each, beside those of the story.
constexpr int kExhaustiveActorsMax = 16;

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
  double seconds_max = 0;  // 0: no limit
  int preemptions = -1;
  int pct_depth = 3;
  std::string save;
  std::string script;  // a path
};

volatile std::sig_atomic_t stopped = 0;  // by Ctrl-C; looked at between executions

void StopOnCtrlC() {
  struct sigaction action {};
  action.sa_handler = [](int) { stopped = 1; };
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second one kills
  (void)sigaction(SIGINT, &action, nullptr);                      // EINVAL, EFAULT: neither can be
}

int Complain(const std::string& message) {
  std::fprintf(stderr, "pollux-sim: %s\n", message.c_str());
  return kUsage;
}

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

int ReportViolation(const Request& request, ReplayTarget& target, const Choices& choices,
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
  if (target.Write(replay)) {
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
    if (stopped) std::printf("stopped by Ctrl-C\n");
    return;
  }
  const char* end =
      stopped ? "stopped by Ctrl-C: not all were seen" : "stopped by a limit: not all were seen";
  if (exhaustive->exhausted()) {
    end = request.preemptions >= 0 ? "exhausted up to the bound on preemptions" : "exhausted";
  }
  std::printf("%s (%llu of them redundant)\n", end,
              static_cast<unsigned long long>(exhaustive->redundant()));
}

// Executions until something is found, nothing is left, or a limit is reached.
int Explore(const Request& request, Strategy& strategy, const ExhaustiveStrategy* exhaustive) {
  ReplayTarget target(request.save.empty() ? DefaultPath(request) : request.save);
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
  while (!stopped && (request.runs == 0 || executions < request.runs) && strategy.Begin()) {
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
    if (executions % 256 != 0) continue;
    const double seconds = SecondsSince(start);
    if (request.seconds_max > 0 && seconds >= request.seconds_max) break;
    progress.Tell(executions, seconds);
  }
  const double seconds = SecondsSince(start);
  std::printf("%s: %llu executions, %llu steps, %.0f executions a second: nothing found\n",
              request.story->name, static_cast<unsigned long long>(executions),
              static_cast<unsigned long long>(steps), executions / seconds);
  std::printf("trace %016llx\n", static_cast<unsigned long long>(hash));
  TellEnd(request, exhaustive);
  return stopped ? kStopped : 0;
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

int List() {
  for (const Story& story : AllStories()) {
    std::printf("%-16s %s%s\n", story.name, story.what, story.exhaustible ? "" : " (random, pct)");
  }
  return 0;
}

class Printer final : public StepListener {
 public:
  void OnStep(TimePoint now, const std::string& who, const char* what) override {
    const double seconds = std::chrono::duration<double>(now.time_since_epoch()).count() - 3600;
    std::printf("%5d %10.6f  %-12s %s\n", ++step_, seconds, who.c_str(), what);
  }

 private:
  int step_ = 0;
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
  const bool known = file->trace_hash != 0;
  if (known && (replay.misfits() > 0 || outcome.trace_hash != file->trace_hash)) {
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

int ShrinkFile(const std::string& from, const std::string& to) {
  auto file = ReadReplay(from);
  if (!file) return Complain(file.error());
  if (file->oracle == kAbort) return Complain(from + " ends the program: replay it, as it is");
  ReplayTarget target(to);
  if (!target.Open()) return Complain("cannot write " + to);
  StopOnCtrlC();
  Resources resources;
  const Story* story = FindStory(file->story);
  if (file->oracle.empty()) {
    ReplayStrategy replay(file->choices);
    (void)replay.Begin();
    const Outcome outcome = story->tell(file->options, replay, resources, nullptr);
    if (outcome.violation) file->oracle = outcome.violation->oracle;
  }
  ReplayFile out = *file;
  const auto shrink = [&](const Choices& choices) {
    return Shrink(
        choices, file->oracle,
        [&](Chooser& chooser) {
          // Nothing fails any more: what was found so far is the end.
          return stopped ? Outcome() : story->tell(out.options, chooser, resources, nullptr);
        },
        kShrinkExecutionsMax);
  };
  Shrunk shrunk = shrink(file->choices);
  if (shrunk.outcome.violation && !stopped && out.options.script.size() > 1) {
    const uint64_t executions = ShrinkScript(*story, out.options, shrunk.choices, file->oracle,
                                             kShrinkExecutionsMax, stopped);
    const uint64_t before = shrunk.executions + executions;
    Shrunk again = shrink(shrunk.choices);
    // Stopped by Ctrl-C: what is known of the longer script is told.
    if (!again.outcome.violation) out.options.script = file->options.script;
    if (again.outcome.violation) shrunk = std::move(again);
    shrunk.executions += before;
  }
  if (!shrunk.outcome.violation) {
    if (stopped) return kStopped;
    (void)Complain(file->oracle + " does not happen any more: there is nothing to shrink");
    return kGone;
  }
  out.choices = shrunk.choices;
  out.trace_hash = shrunk.outcome.trace_hash;
  if (!target.Write(out)) return Complain("cannot write " + to);
  std::printf("%zu choices that are not 0, of %zu before; %llu executions\n",
              NonZero(shrunk.choices), NonZero(file->choices),
              static_cast<unsigned long long>(shrunk.executions));
  std::printf("replay with: pollux-sim replay %s\n", to.c_str());
  if (stopped) std::printf("stopped by Ctrl-C: it may get smaller\n");
  return stopped ? kStopped : 0;
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
      ->check(CLI::NonNegativeNumber)
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
      .add_option("--faults", request.options.faults,
                  "Reads that may fail or be short; as many with RWF_NOWAIT may be refused")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command.add_flag(
      "--any-thread", [&request](int64_t) { request.options.leader_first = false; },
      "Signals for the process go to any thread, not to the leader first");
  command.add_option("--steps-max", request.options.steps_max, "More steps are a violation")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command.add_option("--save", request.save,
                     "Where a violation's replay file goes (into this folder, by a name made of "
                     "the words above)");
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Runs the core on a simulated kernel and looks for schedules that break it.\n"
      "Exit status: 0 nothing found, or shrunk; 1 a violation (run and explore save a replay\n"
      "file); 2 bad usage, or a file that cannot be read or written; 3 what a replay file was\n"
      "saved for does not happen any more; 130 stopped by Ctrl-C.",
      "pollux-sim");
  app.require_subcommand(1);
  auto* list = app.add_subcommand("list", "The scenarios");
  Request request;
  auto* run = app.add_subcommand("run", "Executions by seed (--strategy random by default)");
  AddStory(*run, request);
  run->add_option("--runs", request.runs, "How many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  auto* explore =
      app.add_subcommand("explore", "Until nothing is left (--strategy exhaustive by default)");
  AddStory(*explore, request);
  explore->add_option("--reduction", request.words.reduction, "none, sleep, dpor (exhaustive)")
      ->capture_default_str();
  explore
      ->add_option("--preemptions", request.preemptions,
                   "Leave out executions with more; goes without reduction")
      ->check(CLI::NonNegativeNumber);
  explore->add_option("--max-seconds", request.seconds_max, "Stop after this time; 0: no limit")
      ->check(CLI::NonNegativeNumber);
  std::string from, to;
  bool quiet = false;
  auto* replay = app.add_subcommand("replay", "One execution again, step by step");
  replay->add_option("FILE", from)->required();
  replay->add_flag("--quiet", quiet, "Without the steps");
  auto* shrink = app.add_subcommand("shrink", "The same violation with fewer choices");
  shrink->add_option("FILE", from)->required();
  shrink->add_option("-o", to, "Where to")->required();
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help
    if (!asked) return Complain(error.what());
    return app.exit(error);
  }
  if (*list) return List();
  if (*replay) return Replay(from, quiet);
  if (*shrink) return ShrinkFile(from, to);
  if (*explore) request.runs = 0;
  if (request.words.strategy.empty()) request.words.strategy = *run ? "random" : "exhaustive";
  return Explore(request);
}

}  // namespace
}  // namespace pollux::sim

int main(int argc, char** argv) { return pollux::sim::Main(argc, argv); }
