// Turns for bulk work: who has much to send gets a slice a turn, so that what is small and new is
// dispatched in between (a hot 1 kB request does not wait behind ten downloads).
//
// Round robin: an entry is served once a turn at most, at most kSliceBytes; all entries together
// kTurnBytes, and the next turn goes on behind the last one served. At memory speed a turn of
// kTurnBytes takes about 0.4 ms.
//
// Threads: loop thread only.
#pragma once

#include <cstdint>

#include "core/base/units.h"
#include "core/event/event_loop.h"

namespace pollux {

inline constexpr uint64_t kSliceBytes = 1_MiB;
inline constexpr uint64_t kTurnBytes = 2_MiB;

class SendQueue final : public Job {
 public:
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;

    // Sends at most about `bytes_max`; returns how many bytes it sent. May Add itself again, and
    // may destroy any entry, itself included.
    virtual uint64_t RunSlice(uint64_t bytes_max) = 0;

    bool queued() const { return queue_ != nullptr; }

   protected:
    virtual ~Entry();  // leaves the queue

   private:
    friend class SendQueue;
    SendQueue* queue_ = nullptr;
    Entry* prev_ = nullptr;
    Entry* next_ = nullptr;
  };

  explicit SendQueue(EventLoop& loop) : loop_(loop) {}
  ~SendQueue() override;

  void Add(Entry& entry);     // at the end; no effect if it is queued already
  void Remove(Entry& entry);  // no effect if it is not queued
  bool empty() const { return first_ == nullptr; }

  void RunJob() override;

 private:
  EventLoop& loop_;
  Entry* first_ = nullptr;
  Entry* last_ = nullptr;
  Entry* turn_end_ = nullptr;  // the last entry of the present turn while it runs
};

}  // namespace pollux
