// A story of the whole server and of clients who say what a script has them say: whatever that is,
// each gets the answers that it is owed, in order and exact, and nothing else.
#include <fcntl.h>
#include <sys/stat.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/http/response.h"
#include "core/server/server.h"
#include "core/sys/raii.h"
#include "fakes/explore/strategy.h"
#include "fakes/scenarios/conversation_judge.h"
#include "fakes/scenarios/conversation_model.h"
#include "fakes/scenarios/conversation_script.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/talker.h"
#include "fakes/scenarios/troubled_kernel.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

constexpr const char* kRoot = "/srv";
constexpr const char* kMimeTypes = "text/html html htm\ntext/plain txt\n# nothing\n";
// Beside the root, where no request leads.
constexpr const char* kSecret = "TOP SECRET: this is outside of the root";

// Something of all that the model can judge (owed_head.h), with listings and small limits.
constexpr const char* kUsualScript =
    "\xc0GET /small HTTP/1.1\r\nHost: sim\r\n\r\n"
    "GET /large HTTP/1.1\r\nHost: sim\r\nRange: bytes=1-,0-0\r\n\r\n"
    "GET /large HTTP/1.1\r\nHost: sim\r\nRange: bytes=5000-9999\r\n\r\n"
    "GET /small HTTP/1.1\r\nHost: sim\r\nRange: bytes=10-\r\n\r\n"
    "HEAD /huge HTTP/1.1\r\nHost: sim\r\n\r\n"
    "GET /bare/ HTTP/1.1\r\nHost: sim\r\n\r\n"
    "\xffnPOST / HTTP/1.1\r\nHost: sim\r\nContent-Length: 3\r\n\r\n\xff"
    "cabcGET /dir?a HTTP/1.1\r\nHost: sim\r\n\r\n"
    "GET /small HTTP/1.1\r\nHost: sim\r\nIf-None-Match: *\r\n\r\n"
    "GET /small HTTP/1.1\r\nHost: sim\r\nIf-Match: \"x\"\r\nIf-None-Match: *\r\n\r\n"
    "GET /missing HTTP/1.0\r\n\r\n";

std::shared_ptr<const std::string> MakeContent(size_t bytes) {
  auto made = std::make_shared<std::string>(bytes, '\0');
  // No two pages alike.
  for (size_t i = 0; i < bytes; ++i) {
    (*made)[i] = static_cast<char>((i * 31 + (i >> 12) * 7 + bytes) % 251);
  }
  return made;
}

using Contents = std::map<std::string, std::shared_ptr<const std::string>>;

const Contents& ServedContents() {
  static const Contents contents = {
      {"/small", MakeContent(10)},           {"/empty", MakeContent(0)},
      {"/page.html", MakeContent(4096)},     {"/large", MakeContent(20'001)},
      {"/huge", MakeContent(70'001)},        {"/dir/index.html", MakeContent(77)},
      {"/bare/deep.txt", MakeContent(4097)}, {"/a b", MakeContent(5)},
  };
  return contents;
}

void AddFiles(SimKernel& kernel) {
  kernel.AddFile("/etc/mime.types", std::make_shared<std::string>(kMimeTypes));
  kernel.AddFile("/secret", std::make_shared<std::string>(kSecret));
  for (const auto& [path, content] : ServedContents()) kernel.AddFile(kRoot + path, content);
}

// What clients are told of a file beside its bytes follows from its inode, which is the same in
// every execution.
Tree AskForFiles() {
  FirstChooser chooser;
  Resources resources;
  SimKernel kernel(chooser, resources, {});
  AddFiles(kernel);
  Tree tree;
  for (const auto& [path, content] : ServedContents()) {
    const Fd file(kernel, kernel.openat(AT_FDCWD, (kRoot + path).c_str(), O_RDONLY, 0).value());
    struct stat info {};
    CHECK(kernel.fstat(file.get(), &info));
    const int64_t modified = info.st_mtim.tv_sec;
    tree[path] = {content, http::MakeEtag(content->size(), modified * 1'000'000'000, info.st_ino),
                  modified};
  }
  return tree;
}

const Tree& Files() {
  static const Tree tree = AskForFiles();
  return tree;
}

class ConversationStory {
 public:
  ConversationStory(const StoryOptions& options, Script script, Chooser& chooser,
                    Resources& resources, StepListener* listener)
      : options_(options),
        script_(std::move(script)),
        kernel_(chooser, resources, KernelOptions()),
        scheduler_(kernel_.scheduler()),
        troubled_(kernel_, scheduler_, script_.troubles),
        config_(MakeConfig()) {
    scheduler_.set_listener(listener);
    scheduler_.set_on_timeout([this](const SimThread& thread) { JudgeTimeout(thread); });
    rules_.limits = config_.limits;
    rules_.ranges_max = config_.rules.ranges_max;
    rules_.metrics_path = config_.metrics_path;
    rules_.listing = config_.rules.listing;
    rules_.mime = http::MimeTypes(kMimeTypes);
  }

  Outcome Tell();

 private:
  SimOptions KernelOptions() const;
  Config MakeConfig() const;
  void PrepareWorld();
  void Serve();
  bool Finished() const;
  void JudgeTimeout(const SimThread& thread);
  void JudgeEnd();
  Expectation ExpectationOf(const Talker& talker) const;
  Leeway LeewayFor(const Talker& talker) const;
  std::optional<size_t> LinesFor(const Talker& talker, const Expectation& expectation,
                                 const std::vector<Logged>& came) const;
  void JudgeAnswers(const Talker& talker, const Expectation& expectation);

  const StoryOptions options_;
  const Script script_;
  SimKernel kernel_;
  Scheduler& scheduler_;
  TroubledKernel troubled_;
  const Config config_;
  ServerRules rules_;
  std::vector<std::unique_ptr<Talker>> talkers_;
  std::vector<std::unique_ptr<Event>> signals_;
};

SimOptions ConversationStory::KernelOptions() const {
  SimOptions out = pollux::sim::KernelOptions(options_);
  out.send_buffer = script_.settings.socket_bytes;
  out.peer_buffer = script_.settings.socket_bytes;
  out.names_cached = script_.settings.names_cached;
  return out;
}

// Without ParseArguments: it takes longer than a conversation, and has a target of its own.
Config ConversationStory::MakeConfig() const {
  const Settings& settings = script_.settings;
  Config out;
  out.root = kRoot;
  out.listen = *SocketAddress::Parse("127.0.0.1:8080");
  out.coordination = options_.coordination;
  const bool published = options_.coordination == CoordinationKind::kPublished;
  out.event_handler =
      settings.poll || published ? EventHandlerKind::kPoll : EventHandlerKind::kEpoll;
  out.backend.kind = options_.backend;
  out.backend.retire = options_.retire;
  out.backend.chunk_bytes = settings.small_chunks ? 4_KiB : 16_KiB;
  out.backend.buffer_budget_bytes = settings.small_chunks ? 8_KiB : 64_KiB;
  out.backend.aio_depth = 8;
  out.io_threads = 2;
  // Only a file is opened again. This one is standard output, too.
  out.access_log = std::string(script_.Has(Act::Kind::kHangup) ? "/proc/self/fd/1" : "-");
  out.metrics_path = "/metrics";
  out.rules.listing = settings.listing;
  if (!settings.keeps_files) out.cache.files_max = 0;
  if (settings.small_limits) {
    out.max_connections = 2;
    out.limits = {256, 3, 64};
    if (out.cache.files_max > 0) out.cache = {2, 4200, 4200};
    out.rules.ranges_max = 2;
    out.header_timeout = std::chrono::seconds(5);
    out.idle_timeout = std::chrono::seconds(6);
  }
  return out;
}

void ConversationStory::PrepareWorld() {
  AddFiles(kernel_);
  for (const ClientScript& client : script_.clients) {
    talkers_.push_back(std::make_unique<Talker>(kernel_, client));
  }
  for (int i = 0; i < options_.signals; ++i) {
    // Not before the server has said what to do with it: until then it ends the process.
    signals_.push_back(std::make_unique<Event>(
        kernel_, "SIGALRM comes", Footprint::Everything(),
        [this] { kernel_.signals().SendToProcess(SIGALRM); },
        [this] { return kernel_.listening() && kernel_.signals().Handles(SIGALRM); }));
  }
  signals_.push_back(std::make_unique<Event>(
      kernel_, "SIGTERM comes", Footprint::Everything(),
      [this] { kernel_.signals().SendToProcess(SIGTERM); },
      [this] { return Finished() && kernel_.signals().Handles(SIGTERM); }));
}

void ConversationStory::Serve() {
  Server server(troubled_, config_);
  std::optional<std::string> failure = server.Acquire();
  if (!failure) failure = server.Build();
  if (failure) {
    if (troubled_.failed() > 0) return;
    scheduler_.Report("exit", "the server does not start: " + *failure);
    return;
  }
  server.Announce();
  const Status end = server.Run();
  if (!end && troubled_.failed() == 0) {
    scheduler_.Report("exit", "the server ends with " + ToString(end.error()));
  }
}

bool ConversationStory::Finished() const {
  for (const auto& talker : talkers_) {
    if (!talker->finished()) return false;
  }
  return true;
}

// Of what a client has said so far, and of how it ended that.
Expectation ConversationStory::ExpectationOf(const Talker& talker) const {
  Expectation out = Expect(talker.sent(), Files(), rules_);
  if (out.at_end && talker.shut()) {
    out.answers.push_back(*std::exchange(out.at_end, std::nullopt));
  }
  return out;
}

// The server has not given all the answers, or not the end of the connection.
bool OwesMore(const Talker& talker, const Expectation& expectation) {
  const std::vector<Logged> came = WholeAnswers(talker.received(), expectation);
  if (came.size() < expectation.answers.size() || talker.shut()) return true;
  if (came.empty()) return false;
  const Expected& last = expectation.answers.back();
  return last.last || (last.ends_by_close && came.back().status == 200);
}

// Nothing could happen but this thread's time-out, and a client waits for an answer to something
// that it has asked, or for the end of its connection.
void ConversationStory::JudgeTimeout(const SimThread& thread) {
  if (!kernel_.disk().idle()) return;
  // After some failures a time-out is what tries again, and who stops has answered enough.
  if (troubled_.failed() > 0 || script_.Has(Act::Kind::kTerminate)) return;
  for (const auto& talker : talkers_) {
    if (!talker->waiting()) continue;
    const Expectation expectation = ExpectationOf(*talker);
    if (!OwesMore(*talker, expectation)) continue;
    // It may have to wait for others to leave.
    if (talkers_.size() > config_.max_connections) continue;
    scheduler_.Report("timeout rescue", "a client waited until the time-out of " +
                                            std::string(thread.operation) + " in thread " +
                                            thread.name);
    return;
  }
}

Leeway ConversationStory::LeewayFor(const Talker& talker) const {
  Leeway leeway;
  leeway.failed_calls = troubled_.failed() > 0;
  leeway.stopped = script_.Has(Act::Kind::kTerminate);
  // Time passes only when nothing else can happen, or by choice.
  leeway.timed_out = talker.script().Has(Act::Kind::kPause) || talker.script().stays ||
                     options_.early_timeouts > 0 || talkers_.size() > config_.max_connections;
  leeway.cut = kernel_.disk().faults() > 0 || leeway.failed_calls || talker.left() ||
               leeway.timed_out || leeway.stopped;
  return leeway;
}

// Lines of the access log about this client at most; nothing if its last answer was to end the
// connection and may have been another one, for then what follows is not foreseen.
std::optional<size_t> ConversationStory::LinesFor(const Talker& talker,
                                                  const Expectation& expectation,
                                                  const std::vector<Logged>& came) const {
  const auto& answers = expectation.answers;
  if (!answers.empty() && answers.back().ends_by_close &&
      (came.size() < answers.size() || came.back().status != 200)) {
    return std::nullopt;
  }
  // A 408, or what is said to who ends its side amidst its content.
  const bool another = expectation.at_end || LeewayFor(talker).cut;
  return answers.size() + (another ? 1 : 0);
}

void ConversationStory::JudgeAnswers(const Talker& talker, const Expectation& expectation) {
  const std::string wrong = Compare(talker.received(), expectation, rules_, LeewayFor(talker));
  if (!wrong.empty()) scheduler_.Report("bytes", wrong);
  if (talker.received().find(kSecret) != std::string::npos) {
    scheduler_.Report("outside", "a client got a file from outside of the root");
  }
}

void ConversationStory::JudgeEnd() {
  std::optional<size_t> most = 0;
  std::vector<Logged> whole;
  for (const auto& talker : talkers_) {
    const Expectation expectation = ExpectationOf(*talker);
    JudgeAnswers(*talker, expectation);
    std::vector<Logged> came = WholeAnswers(talker->received(), expectation);
    const auto lines = LinesFor(*talker, expectation, came);
    most = most && lines ? std::optional(*most + *lines) : std::nullopt;
    if (troubled_.failed() > 0) continue;  // the log may be what could not be written
    // What a worker has sent, and the loop has not heard of when the connection ends, is not
    // counted.
    if (!came.empty() && LeewayFor(*talker).cut) came.back().body_bytes.reset();
    whole.insert(whole.end(), came.begin(), came.end());
  }
  const std::string wrong = JudgeLog(kernel_.console(), whole, most);
  if (!wrong.empty()) scheduler_.Report("log", wrong);
  const std::string leaks = kernel_.Leaks();
  if (!leaks.empty()) scheduler_.Report("leak", leaks);
}

Outcome ConversationStory::Tell() {
  PrepareWorld();
  if (kernel_.Run([this] { Serve(); })) JudgeEnd();
  Outcome out;
  out.violation = scheduler_.violation();
  out.steps = scheduler_.steps();
  out.trace_hash = scheduler_.trace_hash();
  for (const auto& talker : talkers_) out.state = out.state * 31 + talker->received().size();
  return out;
}

}  // namespace

Outcome TellConversation(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener) {
  const std::string_view text =
      options.script.empty() ? std::string_view(kUsualScript) : std::string_view(options.script);
  ConversationStory story(options, ParseScript(text), chooser, resources, listener);
  return story.Tell();
}

}  // namespace pollux::sim
