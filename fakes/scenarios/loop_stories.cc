// Stories of the loop and its coordination: one connection, one or two chunks, foreign signals.
//
// The process reads chunks, each submitted when one before it was dispatched, and serves one byte
// of a client meanwhile. A timer of one second stands for the server's.
#include <fcntl.h>
#include <netinet/in.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/event/coordination.h"
#include "core/event/event_loop.h"
#include "core/event/fdevent_handler.h"
#include "core/event/signals.h"
#include "core/sys/raii.h"
#include "fakes/scenarios/scenario.h"
#include "fakes/scenarios/world_actors.h"

namespace pollux::sim {
namespace {

constexpr size_t kChunkBytes = 4096;
constexpr size_t kChunksMax = 2;
constexpr unsigned kDepth = 4;
constexpr const char* kPath = "/data/file";
constexpr Nanoseconds kTimer = std::chrono::seconds(1);

struct Plot {
  int chunks = 2;
  int at_once = 1;  // reads in flight
  bool client = true;
  int signals = 0;
  std::vector<Nanoseconds> signal_times;  // of more, from the start
  Nanoseconds read_time{0};
  bool foreign_turns_only = false;  // of `published`, judge turns that such a signal began
  bool stop_at_once = false;        // while the reads are out
  int timers = 0;                   // to be waited for, and judged
};

std::shared_ptr<const std::string> Contents() {
  static const auto contents = [] {
    auto made = std::make_shared<std::string>(kChunksMax * kChunkBytes, '\0');
    for (size_t i = 0; i < made->size(); ++i) (*made)[i] = static_cast<char>(i * 7 % 251);
    return made;
  }();
  return contents;
}

SimOptions KernelOptions(const StoryOptions& options, const Plot& plot) {
  SimOptions out = KernelOptions(options);
  out.disk.read_time = plot.read_time;
  return out;
}

class LoopStory final : public CompletionHandler, public FdeventCallback {
 public:
  LoopStory(const StoryOptions& options, const Plot& plot, Chooser& chooser, Resources& resources,
            StepListener* listener)
      : options_(options),
        plot_(plot),
        kernel_(chooser, resources, KernelOptions(options, plot)),
        scheduler_(kernel_.scheduler()),
        timer_([this] { OnTimer(); }) {
    scheduler_.set_listener(listener);
    scheduler_.set_on_timeout([this](const SimThread& thread) { JudgeTimeout(thread); });
    kernel_.AddFile(kPath, Contents());
  }

  Outcome Tell() {
    if (kernel_.Run([this] { Main(); })) JudgeEnd();
    Outcome out;
    out.violation = scheduler_.violation();
    out.steps = scheduler_.steps();
    out.trace_hash = scheduler_.trace_hash();
    out.state = state_;
    return out;
  }

  void OnCompletion(const Completion& completion) override;
  void OnFdevent(uint32_t revents) override;

 private:
  void Main();
  void Play();
  void PrepareWorld();
  void Stop();
  void Submit(int chunk);
  void ArmTimer();
  void OnTimer();
  bool Done() const {
    if (plot_.stop_at_once) return true;
    return read_ == plot_.chunks && timers_ >= plot_.timers && (!plot_.client || served_);
  }
  bool ResultWaits() const {
    return kernel_.disk().completed() > dispatched_ ||
           (sent_ != nullptr && sent_->happened() && !served_);
  }
  // After an early time-out the clock is ahead of what others saw: then it is not judged by, and
  // not looked at, which would be an access that no step declared.
  TimePoint JudgesClock() const {
    return options_.early_timeouts > 0 ? TimePoint() : scheduler_.now();
  }
  void JudgeTimeout(const SimThread& thread);
  void JudgeTurn();
  bool EndedByForeignSignal();
  void JudgeEnd();
  void Observe(uint64_t what) { state_ = (state_ ^ what) * 0x100000001b3u; }

  const StoryOptions options_;
  const Plot plot_;
  SimKernel kernel_;
  Scheduler& scheduler_;
  std::unique_ptr<EventLoop> loop_;
  Timer timer_;
  Fd file_;
  Fd socket_;
  std::shared_ptr<Connection> connection_;
  io_context_t context_ = nullptr;
  std::array<iocb, kChunksMax> requests_{};
  alignas(4096) std::array<std::array<char, kChunkBytes>, kChunksMax> buffers_{};
  std::unique_ptr<Event> sent_;
  std::unique_ptr<Event> alarms_;
  std::vector<std::unique_ptr<Event>> timed_alarms_;
  uint64_t dispatched_ = 0;   // completions
  uint64_t interrupted_ = 0;  // of the coordination's statistics, before the present turn
  uint64_t loop_kicks_ = 0;
  int submitted_ = 0;  // chunks, each once
  int read_ = 0;       // chunks
  int timers_ = 0;     // fired
  TimePoint timer_due_{};
  bool served_ = false;
  uint64_t state_ = 0xcbf29ce484222325u;
};

void LoopStory::PrepareWorld() {
  Fd listener(kernel_, kernel_.socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value());
  CHECK(kernel_.listen(listener.get(), 1));
  scheduler_.BeforeWorldStep("client connects");
  connection_ = kernel_.ConnectToListener();
  socket_ = Fd(kernel_, kernel_.accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK).value());
  file_ = Fd(kernel_, kernel_.openat(AT_FDCWD, kPath, O_RDONLY | O_DIRECT, 0).value());
}

void LoopStory::Main() {
  PrepareWorld();
  std::unique_ptr<FdeventHandler> handler = options_.coordination == CoordinationKind::kPublished
                                                ? MakePollHandler(kernel_)
                                                : std::move(MakeEpollHandler(kernel_).value());
  Signals signals(kernel_);
  const auto coordination =
      std::move(MakeCoordination(options_.coordination, kernel_, *handler, signals).value());
  CHECK(coordination->Start());
  context_ = kernel_.io_setup(kDepth).value();
  coordination->Attach(context_, kDepth);
  loop_ = std::make_unique<EventLoop>(kernel_, *handler, *coordination);
  loop_->SetCompletionHandler(this);
  Play();
  alarms_.reset();
  timed_alarms_.clear();
  sent_.reset();
  timer_.Disarm();
  Stop();
  CHECK(kernel_.io_destroy(context_));
  loop_.reset();
  socket_.Reset();
  file_.Reset();
}

void LoopStory::Play() {
  auto registration = std::move(loop_->Register(socket_.get(), POLLIN, this).value());
  ArmTimer();
  if (plot_.client) {
    sent_ = std::make_unique<Event>(
        kernel_, "client sends", Footprint().Write(connection_->object()),
        [this] { connection_->PeerSend("x"); }, nullptr, TimePoint::min(), 1, Lane::kPeer);
  }
  if (plot_.signals > 0) {
    alarms_ = std::make_unique<Event>(
        kernel_, "SIGALRM comes", kernel_.signals().SendFootprint(SIGALRM),
        [this] { kernel_.signals().SendToProcess(SIGALRM); }, nullptr, TimePoint::min(),
        plot_.signals);
  }
  for (const Nanoseconds time : plot_.signal_times) {
    timed_alarms_.push_back(std::make_unique<Event>(
        kernel_, "SIGALRM comes", kernel_.signals().SendFootprint(SIGALRM),
        [this] { kernel_.signals().SendToProcess(SIGALRM); }, nullptr, loop_->now() + time));
  }
  while (submitted_ < std::min(plot_.at_once, plot_.chunks)) Submit(submitted_++);
  while (!Done()) {
    CHECK(loop_->RunOnce());
    JudgeTurn();
  }
}

// The helper has nothing to wait for: no time passes until it has ended, whatever is out.
void LoopStory::Stop() {
  const TimePoint before = JudgesClock();
  loop_->coordination().Stop();
  const Nanoseconds length = JudgesClock() - before;
  if (length <= kDispatchBound) return;
  scheduler_.Report("slow stop", "it took " + std::to_string(length.count() / 1'000'000) +
                                     " ms to end the coordination");
}

void LoopStory::Submit(int chunk) {
  iocb* request = &requests_[chunk];
  io_prep_pread(request, file_.get(), buffers_[chunk].data(), kChunkBytes,
                chunk * static_cast<off_t>(kChunkBytes));
  CHECK(loop_->coordination().BeforeSubmit({&request, 1}));
  CHECK(kernel_.io_submit(context_, 1, &request).value() == 1);
}

void LoopStory::ArmTimer() {
  timer_due_ = loop_->now() + kTimer;
  loop_->timers().Arm(timer_, timer_due_);
}

void LoopStory::OnTimer() {
  const Nanoseconds late = JudgesClock() - timer_due_;
  if (plot_.timers > 0 && late > kDispatchBound) {
    scheduler_.Report("late timer",
                      "a timer fired " + std::to_string(late.count() / 1'000'000) + " ms late");
  }
  ++timers_;
  ArmTimer();
}

void LoopStory::OnCompletion(const Completion& completion) {
  ++dispatched_;
  const auto chunk = static_cast<int>(completion.event.obj - requests_.data());
  const auto got = static_cast<long>(completion.event.res);
  Observe(static_cast<uint64_t>(got));
  if (got != static_cast<long>(kChunkBytes)) {  // a failed or short read is made again
    Submit(chunk);
    return;
  }
  const char* wanted = Contents()->data() + static_cast<size_t>(chunk) * kChunkBytes;
  if (!std::equal(buffers_[chunk].begin(), buffers_[chunk].end(), wanted)) {
    scheduler_.Report("bytes", "a chunk that was read is not the file's");
  }
  ++read_;
  if (submitted_ < plot_.chunks) Submit(submitted_++);
}

void LoopStory::OnFdevent(uint32_t) {
  char byte = 0;
  const Result<size_t> got = kernel_.recv(socket_.get(), &byte, 1, 0);
  if (got && *got == 1) served_ = true;
  Observe(0x5e12'7ed0);
}

// Nothing could happen any more but this thread's time-out: what should have ended its sleep, or
// somebody's who would have, got lost.
void LoopStory::JudgeTimeout(const SimThread& thread) {
  if (!ResultWaits()) return;
  const bool completion = kernel_.disk().completed() > dispatched_;
  std::string text(completion ? "a completion" : "a readable socket");
  text += " waited until the time-out of ";
  text += thread.operation;
  text += " in thread ";
  text += thread.name;
  scheduler_.Report("timeout rescue", std::move(text));
}

// From the return of the loop's wait to the end of its turn no time should pass: nothing in a turn
// waits for anybody.
void LoopStory::JudgeTurn() {
  if (options_.early_timeouts > 0) return;  // they move the clock at any place
  // No turn of the other two may take time, whatever began it; and to ask them for their kicks is a
  // step.
  const bool specimen = options_.coordination == CoordinationKind::kPublished;
  const bool foreign = specimen && EndedByForeignSignal();
  if (specimen && plot_.foreign_turns_only && !foreign) return;
  const Nanoseconds length = scheduler_.now() - loop_->now();
  if (length <= kDispatchBound) return;
  scheduler_.Report(foreign ? "foreign EINTR" : "turn bound",
                    std::string(foreign ? "after a signal that was no kick, " : "") +
                        "a turn of the loop took " + std::to_string(length.count() / 1'000'000) +
                        " ms");
}

// Whether a signal that was no kick began the present turn.
bool LoopStory::EndedByForeignSignal() {
  const CoordinationStats& stats = loop_->coordination().stats();
  const bool foreign = stats.interrupted > interrupted_ && stats.loop_kicks == loop_kicks_;
  interrupted_ = stats.interrupted;
  loop_kicks_ = stats.loop_kicks;
  return foreign;
}

void LoopStory::JudgeEnd() {
  const std::string leaks = kernel_.Leaks();
  if (!leaks.empty()) scheduler_.Report("leak", leaks);
}

Outcome Tell(const StoryOptions& options, Plot plot, Chooser& chooser, Resources& resources,
             StepListener* listener) {
  plot.signals += options.signals;
  LoopStory story(options, plot, chooser, resources, listener);
  return story.Tell();
}

}  // namespace

Outcome TellOneChunk(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener) {
  Plot plot;
  plot.chunks = 1;
  plot.client = false;
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellTwoChunks(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener) {
  return Tell(options, Plot(), chooser, resources, listener);
}

Outcome TellTwoAtOnce(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener) {
  Plot plot;
  plot.at_once = 2;
  plot.client = false;
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellSlowReads(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener) {
  Plot plot;
  plot.client = false;
  plot.read_time = std::chrono::seconds(3);
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellStop(const StoryOptions& options, Chooser& chooser, Resources& resources,
                 StepListener* listener) {
  Plot plot;
  plot.chunks = 1;
  plot.client = false;
  plot.read_time = std::chrono::seconds(3);
  plot.stop_at_once = true;
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellTimer(const StoryOptions& options, Chooser& chooser, Resources& resources,
                  StepListener* listener) {
  Plot plot;
  plot.chunks = 0;
  plot.client = false;
  plot.signal_times = {std::chrono::milliseconds(400), std::chrono::milliseconds(800)};
  plot.timers = 1;
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellSlowRead(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener) {
  Plot plot;
  plot.chunks = 1;
  plot.read_time = std::chrono::seconds(3);
  return Tell(options, plot, chooser, resources, listener);
}

Outcome TellForeignSignal(const StoryOptions& options, Chooser& chooser, Resources& resources,
                          StepListener* listener) {
  Plot plot;
  plot.chunks = 1;
  plot.client = false;
  plot.signals = 1;
  plot.read_time = std::chrono::seconds(3);
  plot.foreign_turns_only = true;
  return Tell(options, plot, chooser, resources, listener);
}

}  // namespace pollux::sim
