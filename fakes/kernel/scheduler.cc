#include "fakes/kernel/scheduler.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "core/base/check.h"
#include "fakes/kernel/tsan.h"

namespace pollux::sim {
namespace {

constexpr pid_t kLeaderTid = 1000;
// The time-out of a thread's sleep is an actor beside the thread.
constexpr uint32_t kTimeoutActor = 0x8000'0000;

}  // namespace

Scheduler::Scheduler(Chooser& chooser, FiberPool& fibers, SchedulerOptions options)
    : chooser_(chooser),
      fibers_(fibers),
      options_(options),
      early_timeouts_left_(options.early_timeouts),
      now_(kStart) {
  auto leader = std::make_unique<SimThread>();
  leader->actor = next_actor_++;
  leader->tid = kLeaderTid;
  leader->name = "main";
  leader->signals_object = NewObject();
  current_ = leader.get();
  threads_.push_back(std::move(leader));
}

Scheduler::~Scheduler() = default;

ObjectId Scheduler::NewObject() {
  constexpr uint32_t kRound = 64 - kFirstFreeObject;
  return static_cast<ObjectId>(kFirstFreeObject + next_object_++ % kRound);
}

bool Scheduler::Run(const std::function<void()>& body) {
  CHECK(!running_);
  if (gave_up_) return false;
  leader_body_ = &body;
  running_ = true;
  SimThread& first = leader();
  first.fiber = &fibers_.Take();
  first.fiber->Start(&Scheduler::LeaderMain, this);
  current_ = &first;
  const uint64_t races = tsan::Reports();
  tsan::ReleaseOutside(&host_);
  Fiber::Switch(host_, *first.fiber);
  tsan::AcquireOutside(&host_);  // all that any thread did
  if (tsan::Reports() > races) Report("data race", "the thread sanitizer's report is above");
  running_ = false;
  access_.Release();
  if (gave_up_) {
    AbandonThreads();
    return false;
  }
  fibers_.Give(*std::exchange(first.fiber, nullptr));
  current_ = &first;
  for (const auto& thread : threads_) {
    if (thread.get() == &first || thread->state == SimThread::State::kDone) continue;
    Report("leak", "thread " + thread->name + " still runs at the end");
    gave_up_ = true;
    AbandonThreads();
    return false;
  }
  return true;
}

Fiber* Scheduler::LeaderMain(void* argument) {
  auto* self = static_cast<Scheduler*>(argument);
  tsan::AcquireOutside(&self->host_);
  (*self->leader_body_)();
  tsan::ReleaseOutside(&self->host_);
  return &self->host_;
}

Fiber* Scheduler::ThreadMain(void* argument) {
  auto* self = static_cast<Scheduler*>(argument);
  SimThread& thread = self->current();
  tsan::AcquireOutside(&thread);
  thread.body();
  const tsan::InModel inside(thread.in_model);
  tsan::Release(&thread);
  thread.body = nullptr;
  const Footprint receipt = self->signals_->ReceiptFootprint(thread);
  self->BeforeStep("ends", Footprint(receipt).Write(thread.signals_object));
  self->access_.Write(thread.signals_object, "a thread");
  thread.state = SimThread::State::kDone;
  self->Dispatch();
  // Nobody switches to it any more, and nobody takes its fiber before it is left.
  self->fibers_.Give(*std::exchange(thread.fiber, nullptr));
  return std::exchange(self->after_end_, nullptr);
}

SimThread& Scheduler::Spawn(std::string name, std::function<void()> body) {
  auto thread = std::make_unique<SimThread>();
  thread->actor = next_actor_++;
  thread->born = steps_;
  thread->tid = kLeaderTid + static_cast<pid_t>(threads_.size());
  thread->name = std::move(name);
  thread->body = std::move(body);
  thread->mask = current_->mask;
  thread->signals_object = NewObject();
  thread->operation = "starts";
  thread->footprint.Read(thread->signals_object).Read(kDescriptorTable);  // after pthread_create
  thread->footprint.Add(signals_->ReceiptFootprint(*thread));
  thread->fiber = &fibers_.Take();
  thread->fiber->Start(&Scheduler::ThreadMain, this);
  threads_.push_back(std::move(thread));
  return *threads_.back();
}

void Scheduler::BeforeStep(const char* operation, const Footprint& footprint,
                           const Condition* condition, TimePoint deadline) {
  SimThread& self = *current_;
  if (gave_up_) return;  // destructors of whoever told the story
  const tsan::InModel inside(self.in_model);
  const bool waits = condition != nullptr || deadline != kNever;
  if (!waits && footprint.empty()) {
    BeginStep(signals_->LookFootprint(self), operation);
    if (!signals_->Deliverable(self)) return;
  }
  self.operation = operation;
  self.footprint = footprint;
  self.condition = condition;
  self.deadline = deadline;
  self.timed_out = deadline <= now_;
  if (waits) self.state = SimThread::State::kAsleep;
  Dispatch();
  self.state = SimThread::State::kReady;
  self.condition = nullptr;
  self.deadline = kNever;
  self.timed_out = false;
}

void Scheduler::Sleep(const char* operation, const Footprint& footprint, const Condition* condition,
                      TimePoint deadline) {
  SimThread& self = *current_;
  const tsan::InModel inside(self.in_model);
  self.operation = operation;
  self.footprint = footprint;
  self.condition = condition;
  self.deadline = deadline;
  self.timed_out = deadline <= now_;
  self.state = SimThread::State::kAsleep;
  // What ends the sleep is there already: no time passes between the look and the sleep.
  if (!Enabled(self)) Dispatch();
  self.state = SimThread::State::kReady;
  self.condition = nullptr;
  self.deadline = kNever;
  self.timed_out = false;
}

void Scheduler::WaitFor(const char* operation, const Footprint& footprint,
                        const Condition& condition) {
  current_->uninterruptible = true;
  while (!condition.Holds() && !gave_up_) Sleep(operation, footprint, &condition, kNever);
  current_->uninterruptible = false;
}

void Scheduler::AddActor(Actor& actor) {
  actor.id_ = next_actor_++;
  actor.born_ = steps_;
  actors_.push_back(&actor);
}

void Scheduler::RemoveActor(Actor& actor) {
  actors_.erase(std::find(actors_.begin(), actors_.end(), &actor));
}

size_t Scheduler::PickValue(const char* label, size_t count) {
  if (count < 2) return 0;
  const tsan::InModel inside(current_->in_model);
  return chooser_.PickValue(label, count);
}

void Scheduler::Report(const char* oracle, std::string text) {
  if (!violation_) violation_ = Violation{oracle, std::move(text)};
}

bool Scheduler::Enabled(const SimThread& thread) const {
  if (thread.state == SimThread::State::kReady) return true;
  if (thread.state == SimThread::State::kDone) return false;
  return thread.timed_out || (thread.condition != nullptr && thread.condition->Holds()) ||
         (!thread.uninterruptible && signals_->Deliverable(thread));
}

void Scheduler::Offer(SimThread& thread) {
  if (thread.state == SimThread::State::kDone) return;
  // What it waits for, and whether a signal ends that, is part of what it declared.
  Footprint footprint = thread.footprint;
  footprint.Add(signals_->LookFootprint(thread));
  const AccessCheck::Scope look(access_, footprint, thread.operation);
  if (Enabled(thread)) {
    if (signals_->Deliverable(thread)) footprint.Add(signals_->DeliveryFootprint(thread));
    choices_.push_back({thread.actor, thread.operation, footprint, thread.born});
    targets_.push_back({.thread = &thread});
  } else {
    blocked_.push_back({thread.actor, thread.operation, footprint, thread.born});
  }
}

// All that can happen now. The running thread first.
void Scheduler::Collect() {
  choices_.clear();
  blocked_.clear();
  targets_.clear();
  Offer(*current_);
  for (const auto& thread : threads_) {
    if (thread.get() != current_) Offer(*thread);
  }
  bool any_needless = false;
  for (Actor* actor : actors_) {
    if (actor->not_before() > now_) continue;
    if (actor->needless()) {
      any_needless = true;
      continue;
    }
    const Option option{actor->id_, actor->label(), actor->footprint(), actor->born_};
    const AccessCheck::Scope look(access_, option.footprint, option.label);
    if (!actor->Enabled()) continue;
    choices_.push_back(option);
    targets_.push_back({.actor = actor});
  }
  // What need not happen at all. Where nothing else can it is told of as something that might have
  // come before what has happened.
  const bool beside = !choices_.empty();
  for (size_t i = 0; any_needless && i < actors_.size(); ++i) {
    Actor* actor = actors_[i];
    if (!actor->needless()) continue;
    const Option option{actor->id_, actor->label(), actor->footprint(), actor->born_};
    const AccessCheck::Scope look(access_, option.footprint, option.label);
    if (!actor->Enabled()) continue;
    (beside ? choices_ : blocked_).push_back(option);
    if (beside) targets_.push_back({.actor = actor});
  }
  if (early_timeouts_left_ == 0) return;
  // Where nothing else can happen they come anyway, and not early.
  for (const auto& thread : threads_) {
    if (thread->state != SimThread::State::kAsleep || thread->timed_out) continue;
    if (thread->deadline == kNever) continue;
    // It moves the clock, which the thread looks at when it wakes. Whatever else may wake it comes
    // before or after: there is no difference until it does.
    CHECK((thread->footprint.reads & Footprint().Read(kClock).reads) != 0);
    (beside ? choices_ : blocked_)
        .push_back({thread->actor | kTimeoutActor, "times out early", Footprint().Write(kClock),
                    thread->born});
    if (beside) targets_.push_back({.thread = thread.get(), .early_timeout = true});
  }
}

void Scheduler::Dispatch() {
  for (;;) {
    Collect();
    if (choices_.empty()) {
      chooser_.OnStuck(blocked_);
      if (AdvanceTime()) continue;
      GiveUp("deadlock", "nothing can happen any more: " + WhoWaits());
    }
    if (++steps_ > options_.steps_max) {
      GiveUp("spin",
             "no end after " + std::to_string(options_.steps_max) + " steps: " + WhoWaits());
    }
    if (listener_ != nullptr) TellOfWakes();
    const size_t pick = chooser_.PickStep(choices_, blocked_);
    CHECK(pick < choices_.size());
    const Target target = targets_[pick];
    Note(choices_[pick], target);
    if (on_step_) on_step_();
    BeginStep(choices_[pick].footprint, choices_[pick].label);
    if (target.actor != nullptr) {
      target.actor->Happen();
    } else if (target.early_timeout) {
      --early_timeouts_left_;
      now_ = std::max(now_, target.thread->deadline);
      target.thread->timed_out = true;
    } else {
      SwitchTo(*target.thread);
      return;
    }
  }
}

void Scheduler::BeginStep(const Footprint& declared, const char* operation) {
  if (running_) access_.Begin(declared, operation);
}

// Nothing can happen: time goes on to the next time-out or timed event.
bool Scheduler::AdvanceTime() {
  TimePoint next = kNever;
  for (const auto& thread : threads_) {
    if (thread->state == SimThread::State::kAsleep) next = std::min(next, thread->deadline);
  }
  const AccessCheck::Scope judges(access_, Footprint::Everything(), "");
  for (const Actor* actor : actors_) {
    if (!actor->needless() && actor->Enabled())
      next = std::min(next, std::max(actor->not_before(), now_));
  }
  if (next == kNever) return false;
  next = std::max(now_, next);
  idle_ += next - now_;
  now_ = next;
  for (const auto& thread : threads_) {
    if (thread->state == SimThread::State::kAsleep && thread->deadline <= now_) TimeOut(*thread);
  }
  return true;
}

void Scheduler::TimeOut(SimThread& thread) {
  if (thread.timed_out) return;
  thread.timed_out = true;
  if (on_timeout_) on_timeout_(thread);
}

// A hash of who did what when: equal for equal executions, in every build.
void Scheduler::Note(const Option& option, const Target& target) {
  const auto mix = [this](uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3u; };
  mix(option.actor);
  mix(static_cast<uint64_t>(now_.time_since_epoch().count()));
  for (const char* c = option.label; *c != '\0'; ++c) mix(static_cast<unsigned char>(*c));
  if (listener_ == nullptr) return;
  Step step;
  step.number = steps_;
  step.now = now_;
  step.what = option.label;
  if (target.thread != nullptr) {
    step.actor = target.thread->actor;
    step.who = target.thread->name;
    step.was_asleep = target.thread->state == SimThread::State::kAsleep && !target.early_timeout;
  } else {
    step.actor = option.actor;
    step.who = "actor " + std::to_string(option.actor);
    step.lane = target.actor->lane();
    step.spindle = target.actor->spindle();
  }
  listener_->OnStep(step);
}

// Who can go on now, and could not before the last step.
void Scheduler::TellOfWakes() {
  const AccessCheck::Scope look(access_, Footprint::Everything(), "");
  known_.resize(threads_.size());
  for (size_t i = 0; i < threads_.size(); ++i) {
    const SimThread& thread = *threads_[i];
    const Known now{Enabled(thread), signals_->Deliverable(thread)};
    const bool result = thread.condition != nullptr && thread.condition->Holds();
    if (now.deliverable && !known_[i].deliverable) {
      listener_->OnWake(thread, StepListener::Wake::kSignal);
    } else if (now.enabled && !known_[i].enabled && result) {
      listener_->OnWake(thread, StepListener::Wake::kResult);
    }
    known_[i] = now;
  }
}

Fiber& Scheduler::FiberOf(SimThread& thread) {
  return &thread == &leader() && !running_ ? host_ : *thread.fiber;
}

void Scheduler::SwitchTo(SimThread& thread) {
  if (&thread == current_) return;
  SimThread& from = *std::exchange(current_, &thread);
  tsan::Release(&host_);  // who goes on when all have ended, or none can
  if (from.state == SimThread::State::kDone) {
    after_end_ = &FiberOf(thread);
  } else {
    Fiber::Switch(FiberOf(from), FiberOf(thread));
  }
}

void Scheduler::GiveUp(const char* oracle, std::string text) {
  Report(oracle, std::move(text));
  gave_up_ = true;
  if (!running_) {
    std::fprintf(stderr, "simulated kernel: %s: %s\n", violation_->oracle.c_str(),
                 violation_->text.c_str());
    std::abort();
  }
  {
    const tsan::InModel inside(current_->in_model);
    tsan::Release(&host_);
  }
  Fiber::Switch(*current_->fiber, host_);
  CHECK(false);
}

void Scheduler::AbandonThreads() {
  for (const auto& thread : threads_) {
    if (thread->fiber == nullptr) continue;
    fibers_.Abandon(*std::exchange(thread->fiber, nullptr), std::exchange(thread->in_model, false));
  }
}

std::string Scheduler::WhoWaits() const {
  std::string text;
  for (const auto& thread : threads_) {
    if (thread->state == SimThread::State::kDone) continue;
    if (!text.empty()) text += ", ";
    text += thread->name + (thread->state == SimThread::State::kAsleep ? " sleeps in " : " is at ");
    text += thread->operation;
  }
  return text;
}

}  // namespace pollux::sim
