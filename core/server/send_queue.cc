#include "core/server/send_queue.h"

#include <algorithm>

namespace pollux {

SendQueue::Entry::~Entry() {
  if (queue_ != nullptr) queue_->Remove(*this);
}

SendQueue::~SendQueue() {
  while (first_ != nullptr) Remove(*first_);
}

void SendQueue::Add(Entry& entry) {
  if (entry.queue_ != nullptr) return;
  entry.queue_ = this;
  entry.prev_ = last_;
  entry.next_ = nullptr;
  (last_ != nullptr ? last_->next_ : first_) = &entry;
  last_ = &entry;
  loop_.Post(*this);
}

void SendQueue::Remove(Entry& entry) {
  if (entry.queue_ != this) return;
  // The turn then ends one earlier; nothing is left of it if this was its only entry.
  if (turn_end_ == &entry) turn_end_ = entry.prev_;
  (entry.prev_ != nullptr ? entry.prev_->next_ : first_) = entry.next_;
  (entry.next_ != nullptr ? entry.next_->prev_ : last_) = entry.prev_;
  entry.queue_ = nullptr;
  entry.prev_ = entry.next_ = nullptr;
}

void SendQueue::RunJob() {
  uint64_t left = kTurnBytes;
  turn_end_ = last_;
  while (turn_end_ != nullptr && left > 0) {
    Entry& entry = *first_;
    Remove(entry);  // it may add itself again, behind turn_end_
    left -= std::min(left, entry.RunSlice(std::min(left, kSliceBytes)));
  }
  turn_end_ = nullptr;
  if (first_ != nullptr) loop_.Post(*this);
}

}  // namespace pollux
