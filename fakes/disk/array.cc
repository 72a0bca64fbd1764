#include "fakes/disk/array.h"

#include <algorithm>
#include <utility>

namespace pollux::disk {
namespace {

uint64_t Distance(uint64_t a, uint64_t b) { return a > b ? a - b : b - a; }

}  // namespace

Array::Array(const Shape& shape) : shape_(shape), spindles_(shape.spindles) {}

uint64_t Array::Submit(uint64_t offset, uint64_t length, TimePoint arrival) {
  Spindle& spindle = Choose(offset);
  const uint64_t number = next_number_++;
  spindle.queue.push_back({number, offset, length, arrival});
  if (!spindle.current) StartNext(spindle, arrival);
  return number;
}

Array::Spindle& Array::Choose(uint64_t offset) {
  Spindle* best = nullptr;
  for (Spindle& spindle : spindles_) {
    if (spindle.head == offset) return spindle;
    if (best == nullptr || spindle.load() < best->load() ||
        (spindle.load() == best->load() &&
         Distance(spindle.head, offset) < Distance(best->head, offset))) {
      best = &spindle;
    }
  }
  return *best;
}

size_t Array::NextInOrder(Spindle& spindle, TimePoint now) {
  const auto& queue = spindle.queue;
  if (spindle.in_batch >= kBatchReads) {
    spindle.in_batch = 0;
    if (now - queue.front().arrival >= kReadExpires) return 0;
  }
  size_t best = queue.size();
  for (size_t i = 0; i < queue.size(); ++i) {
    if (queue[i].offset < spindle.head) continue;
    if (best == queue.size() || queue[i].offset < queue[best].offset) best = i;
  }
  if (best < queue.size()) return best;
  spindle.in_batch = 0;
  return 0;
}

void Array::StartNext(Spindle& spindle, TimePoint now) {
  if (spindle.queue.empty()) return;
  const size_t next = NextInOrder(spindle, now);
  ++spindle.in_batch;
  const Read read = spindle.queue[next];
  spindle.queue.erase(spindle.queue.begin() + static_cast<ptrdiff_t>(next));
  // Where nobody asked in time what is done, the read may have come after the last one's end.
  const TimePoint start = std::max(now, read.arrival);
  spindle.done_at = start + ServiceTime(shape_, spindle.head, read.offset, read.length, start);
  spindle.current = read;
}

const Array::Spindle* Array::FirstDone() const {
  const Spindle* first = nullptr;
  for (const Spindle& spindle : spindles_) {
    if (!spindle.current) continue;
    if (first == nullptr || spindle.done_at < first->done_at) first = &spindle;
  }
  return first;
}

std::optional<TimePoint> Array::NextCompletion() const {
  const Spindle* first = FirstDone();
  return first != nullptr ? std::optional(first->done_at) : std::nullopt;
}

std::optional<unsigned> Array::NextSpindle() const {
  const Spindle* first = FirstDone();
  if (first == nullptr) return std::nullopt;
  return static_cast<unsigned>(first - spindles_.data());
}

std::optional<Array::Done> Array::Take(TimePoint now) {
  const std::optional<unsigned> index = NextSpindle();
  if (!index || spindles_[*index].done_at > now) return std::nullopt;
  Spindle& spindle = spindles_[*index];
  const Done done{spindle.current->number, spindle.done_at, *index};
  spindle.head = spindle.current->offset + spindle.current->length;
  spindle.current.reset();
  StartNext(spindle, done.at);
  return done;
}

}  // namespace pollux::disk
