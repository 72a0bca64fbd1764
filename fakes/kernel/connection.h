// A TCP connection between a descriptor of the simulated process and a peer outside of it.
//
// What is sent stands in a queue until the peer takes it: copied bytes (send, writev), references
// to frames of memory files or to the page cache (sendfile). References are read when the peer
// takes the bytes, so whatever happened to the page meanwhile is what the peer gets. It is compared
// with what was there when it was queued: a difference is reported.
//
// Not modelled: packets, loss, acknowledgement. Of a full queue the part that fits the peer's
// receive buffer counts as acknowledged, and an answer to what is sent (a reset, from a peer that
// is gone) is there when the call returns, as on loopback.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fakes/kernel/memory.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

// Bytes of a file that were zeroed in place, [from, to): the rest of the page that it ended in when
// it was cut off. Whoever refers to that page sees them.
struct ZeroedBytes {
  size_t from = 0;
  size_t to = 0;
};

class Connection {
 public:
  // `capacity` bytes fit between the two, of which `peer_buffer` in the peer's.
  Connection(Scheduler& scheduler, Frames& frames, size_t capacity, size_t peer_buffer);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  ObjectId object() const { return object_; }

  // --- The process's side. Results are bytes or, negative, an errno.
  long Send(const char* data, size_t length);
  // References to `length` bytes at `offset` of `file`, or of `content`.
  long SendPages(MemoryFile& file, size_t offset, size_t length);
  // `zeroed`: of that content, now and later.
  long SendCached(std::shared_ptr<const std::string> content,
                  std::shared_ptr<const std::vector<ZeroedBytes>> zeroed, size_t offset,
                  size_t length);
  long SendSymbols(const SymbolExtent& what);
  long Receive(char* data, size_t length, bool peek);
  void ShutdownWrite() {
    Writes();
    local_fin_ = true;
  }
  void ShutdownRead() {
    Writes();
    local_shut_read_ = true;
  }
  // `abort`: SO_LINGER 0. Unread input makes it an abort as well, as Linux does.
  void Close(bool abort);
  short Readiness() const;
  size_t unacknowledged() const {
    Reads();
    return queued_ > peer_buffer_ ? queued_ - peer_buffer_ : 0;
  }
  void set_linger_zero(bool on) {
    Writes();
    linger_zero_ = on;
  }
  bool linger_zero() const {
    Reads();
    return linger_zero_;
  }
  void set_capacity(size_t bytes) {
    Writes();
    capacity_ = bytes + peer_buffer_;
  }

  // --- The peer's side.
  void PeerSend(std::string_view bytes) {
    Writes();
    input_.append(bytes);
  }
  // Up to `count` bytes that have been sent.
  std::string PeerTake(size_t count);
  // The same where symbols are sent: appends bytes to `text` and the rest, joined, to `symbols`.
  // How many.
  size_t PeerTake(size_t count, std::string* text, std::vector<SymbolExtent>* symbols);
  size_t peer_available() const {
    Reads();
    return queued_;
  }
  // No more will come: the stream was ended or reset.
  bool peer_ended() const {
    Reads();
    return queued_ == 0 && (local_fin_ || local_closed_ || aborted_);
  }
  bool peer_sees_reset() const {
    Reads();
    return aborted_;
  }
  void PeerHalfClose() {
    Writes();
    peer_fin_ = true;
  }
  void PeerReset();
  // close(2): a reset if it has not taken all that was sent, else the end of its stream. What is
  // sent from then on is answered with a reset.
  void PeerClose();

  // Whether somebody's queue holds references to memory files: a peer that takes bytes looks at
  // their frames then.
  bool holds_frames() const { return frames_held_ > 0; }
  bool closed() const { return local_closed_; }

 private:
  struct Segment {
    size_t length = 0;
    Frame* frame = nullptr;                                  // where it is, or
    std::shared_ptr<const std::string> content;              // or, if neither, `copied`
    std::shared_ptr<const std::vector<ZeroedBytes>> zeroed;  // of `content`
    std::string copied;            // of a frame: what it held when it was queued
    size_t offset = 0;             // of its first byte in whichever it is
    std::optional<Symbol> symbol;  // instead of bytes: its page's start, or its own
    uint64_t queued_at_step = 0;
    std::shared_ptr<const StackTrace> sent_by;  // frame bytes; null if not kept
  };

  void Reads() const { scheduler_.access().Read(object_, "a connection"); }
  void Writes() const { scheduler_.access().Write(object_, "a connection"); }
  long Room(size_t length);
  void Append(Segment segment);
  long Queue(long taken, Segment segment);
  long Answered(long taken);
  void Break();
  void TakeFrom(const Segment& segment, size_t count, std::string* out);
  void TakeFrom(const Segment& segment, size_t count, std::vector<SymbolExtent>* out);
  void ReportChanged(const Segment& segment);
  void DropQueue();

  Scheduler& scheduler_;
  Frames& frames_;
  size_t capacity_;
  const size_t peer_buffer_;
  const ObjectId object_;
  std::deque<Segment> queue_;
  size_t queued_ = 0;  // bytes
  int frames_held_ = 0;
  std::string input_;
  size_t input_taken_ = 0;
  bool peer_fin_ = false;
  bool peer_closed_ = false;
  bool local_fin_ = false;
  bool local_shut_read_ = false;
  bool local_closed_ = false;
  bool linger_zero_ = false;
  bool reset_ = false;    // by the peer's side
  bool aborted_ = false;  // by the process
  int pending_error_ = 0;
};

}  // namespace pollux::sim
