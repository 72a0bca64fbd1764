#include "integration/disk/paced_array.h"

#include <sys/prctl.h>
#include <time.h>

#include <iterator>
#include <utility>

namespace pollux::disk {
namespace {

void AppendTo(std::vector<PacedArray::Answer>* out, std::vector<PacedArray::Answer> answers) {
  out->insert(out->end(), std::make_move_iterator(answers.begin()),
              std::make_move_iterator(answers.end()));
}

}  // namespace

PacedArray::PacedArray() : thread_([this] { Run(); }) {}

PacedArray::~PacedArray() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

TimePoint PacedArray::Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + Nanoseconds(now.tv_nsec));
}

void PacedArray::SetShape(std::optional<Shape> shape) { Replace(std::move(shape), false); }

void PacedArray::Hold() { Replace(std::nullopt, true); }

void PacedArray::Replace(std::optional<Shape> shape, bool holding) {
  std::vector<Answer> left;
  {
    const std::lock_guard lock(mutex_);
    TakeAll(&left);
    array_.reset();
    if (shape) array_.emplace(*shape);
    holding_ = holding;
    counts_ = {};
  }
  for (const Answer& answer : left) answer();
}

void PacedArray::Read(uint64_t offset, uint64_t length, Answer answer) {
  {
    const std::lock_guard lock(mutex_);
    ++counts_.pieces;
    counts_.bytes += length;
    if (array_ || holding_) {
      if (!Join(offset, length, answer)) {
        ++counts_.reads;
        // Under the lock: never before a time that the model has seen.
        Held& held = held_.emplace_back(Held{offset, length, Now(), {}});
        held.answers.push_back(std::move(answer));
        changed_.notify_one();
      }
      return;
    }
    ++counts_.reads;
  }
  answer();
}

PacedArray::Counts PacedArray::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

bool PacedArray::Join(uint64_t offset, uint64_t length, Answer& answer) {
  for (Held& held : held_) {
    if (held.offset + held.length != offset) continue;
    if (held.length + length > kMergedBytesMax) continue;
    held.length += length;
    held.answers.push_back(std::move(answer));
    return true;
  }
  return false;
}

void PacedArray::SubmitFirst() {
  Held& held = held_.front();
  const uint64_t number = array_->Submit(held.offset, held.length, held.arrival);
  under_way_.emplace(number, std::move(held.answers));
  held_.pop_front();
}

std::optional<TimePoint> PacedArray::NextDue() const {
  if (!array_) return std::nullopt;
  std::optional<TimePoint> due = array_->NextCompletion();
  if (!held_.empty()) {
    const TimePoint released = held_.front().arrival + array_->shape().command;
    if (!due || released < *due) due = released;
  }
  return due;
}

// All that happens until `now`, in order of its time, for the model's never goes back: a read that
// came before another one's end is submitted before that end is looked at.
void PacedArray::Advance(TimePoint now, std::vector<Answer>* due) {
  for (;;) {
    const std::optional<TimePoint> next = NextDue();
    if (!next || *next > now) return;
    if (!held_.empty() && held_.front().arrival <= *next) {
      SubmitFirst();
      continue;
    }
    if (const auto done = array_->Take(now)) {
      AppendTo(due, std::move(under_way_.extract(done->read).mapped()));
    }
  }
}

void PacedArray::TakeAll(std::vector<Answer>* out) {
  for (auto& [number, answers] : under_way_) AppendTo(out, std::move(answers));
  for (Held& held : held_) AppendTo(out, std::move(held.answers));
  under_way_.clear();
  held_.clear();
}

void PacedArray::Run() {
  prctl(PR_SET_TIMERSLACK, 1UL);  // the default, 50 us, is a quarter of a command
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    std::vector<Answer> due;
    if (array_) Advance(Now(), &due);
    if (!due.empty()) {
      lock.unlock();
      for (const Answer& answer : due) answer();
      lock.lock();
      continue;
    }
    if (const auto next = NextDue()) {
      changed_.wait_for(lock, *next - Now());
    } else {
      changed_.wait(lock);
    }
  }
  std::vector<Answer> left;
  TakeAll(&left);
  lock.unlock();
  for (const Answer& answer : left) answer();
}

}  // namespace pollux::disk
