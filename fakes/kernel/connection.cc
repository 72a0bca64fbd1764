#include "fakes/kernel/connection.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace pollux::sim {

Connection::Connection(Scheduler& scheduler, Frames& frames, size_t capacity, size_t peer_buffer)
    : scheduler_(scheduler),
      frames_(frames),
      capacity_(capacity),
      peer_buffer_(std::min(peer_buffer, capacity)),
      object_(scheduler.NewObject()) {}

Connection::~Connection() { DropQueue(); }

// How many of `length` bytes there is room for; or, negative, an errno. An error is told once.
long Connection::Room(size_t length) {
  Writes();
  if (pending_error_ != 0) return -std::exchange(pending_error_, 0);
  if (reset_ || local_fin_) return -EPIPE;
  if (length == 0) return 0;
  if (queued_ >= capacity_) return -EAGAIN;
  return static_cast<long>(std::min(length, capacity_ - queued_));
}

void Connection::Append(Segment segment) {
  queued_ += segment.length;
  queue_.push_back(std::move(segment));
}

// `taken`: what Room said.
long Connection::Queue(long taken, Segment segment) {
  if (taken <= 0) return taken;
  segment.length = static_cast<size_t>(taken);
  Append(std::move(segment));
  return Answered(taken);
}

long Connection::Answered(long taken) {
  if (peer_closed_) Break();
  return taken;
}

long Connection::Send(const char* data, size_t length) {
  const long taken = Room(length);
  Segment segment;
  if (taken > 0) segment.copied.assign(data, static_cast<size_t>(taken));
  return Queue(taken, std::move(segment));
}

long Connection::SendPages(MemoryFile& file, size_t offset, size_t length) {
  const long taken = Room(length);
  if (taken <= 0) return taken;
  const std::shared_ptr<const StackTrace> stack = scheduler_.StackHere();
  for (size_t left = static_cast<size_t>(taken); left > 0;) {
    Segment segment;
    segment.offset = offset % kPageBytes;
    segment.length = std::min(left, kPageBytes - segment.offset);
    segment.frame = file.FrameOf(offset / kPageBytes);
    ++segment.frame->sockets;
    ++frames_held_;
    if (file.symbolic()) {
      segment.symbol = segment.frame->symbolic_data();
    } else {
      segment.copied.assign(segment.frame->data() + segment.offset, segment.length);
    }
    segment.queued_at_step = scheduler_.steps();
    segment.frame->sent_by = segment.sent_by = stack;
    offset += segment.length;
    left -= segment.length;
    Append(std::move(segment));
  }
  return Answered(taken);
}

long Connection::SendCached(std::shared_ptr<const std::string> content,
                            std::shared_ptr<const std::vector<ZeroedBytes>> zeroed, size_t offset,
                            size_t length) {
  Segment segment;
  segment.content = std::move(content);
  segment.zeroed = std::move(zeroed);
  segment.offset = offset;
  return Queue(Room(length), std::move(segment));
}

long Connection::SendSymbols(const SymbolExtent& what) {
  Segment segment;
  segment.symbol = Symbol{what.file, what.offset};
  return Queue(Room(what.length), std::move(segment));
}

long Connection::Receive(char* data, size_t length, bool peek) {
  Writes();
  const size_t there = input_.size() - input_taken_;
  if (there > 0) {
    const size_t taken = std::min(length, there);
    std::copy_n(input_.data() + input_taken_, taken, data);
    if (!peek) input_taken_ += taken;
    if (input_taken_ == input_.size()) {
      input_.clear();
      input_taken_ = 0;
    }
    return static_cast<long>(taken);
  }
  if (peer_fin_) return 0;  // SOCK_DONE, whatever came after the end (tcp_recvmsg)
  if (pending_error_ != 0) return -std::exchange(pending_error_, 0);
  if (reset_ || local_shut_read_) return 0;
  return -EAGAIN;
}

void Connection::Close(bool abort) {
  Writes();
  if (local_closed_) return;
  local_closed_ = true;
  local_fin_ = true;
  if (abort || input_taken_ < input_.size()) {
    aborted_ = true;
    DropQueue();
  }
}

short Connection::Readiness() const {
  Reads();
  short events = 0;
  const bool input = input_taken_ < input_.size();
  const bool ended = peer_fin_ || reset_ || local_shut_read_;
  if (input || ended || pending_error_ != 0) events |= POLLIN | POLLRDNORM;
  if (ended) events |= POLLRDHUP;
  if (reset_ || (peer_fin_ && local_fin_)) events |= POLLHUP;
  if (pending_error_ != 0) events |= POLLERR;
  // As sk_stream_is_writeable(): with a third of the queue free.
  if (reset_ || local_fin_ || capacity_ - std::min(queued_, capacity_) >= capacity_ / 3) {
    events |= POLLOUT | POLLWRNORM;
  }
  return events;
}

std::string Connection::PeerTake(size_t count) {
  std::string out;
  out.reserve(std::min(count, queued_));
  PeerTake(count, &out, nullptr);
  return out;
}

size_t Connection::PeerTake(size_t count, std::string* text, std::vector<SymbolExtent>* symbols) {
  Writes();
  size_t taken = 0;
  while (taken < count && !queue_.empty()) {
    Segment& segment = queue_.front();
    const size_t part = std::min(count - taken, segment.length);
    if (segment.symbol) {
      TakeFrom(segment, part, symbols);
    } else {
      TakeFrom(segment, part, text);
    }
    segment.offset += part;
    segment.length -= part;
    taken += part;
    queued_ -= part;
    if (segment.length > 0) continue;
    if (segment.frame != nullptr) {
      --segment.frame->sockets;
      --frames_held_;
      frames_.Drop(segment.frame);
    }
    queue_.pop_front();
  }
  return taken;
}

void Connection::ReportChanged(const Segment& segment) {
  scheduler_.Report("page references",
                    "bytes that were sent at step " + std::to_string(segment.queued_at_step) +
                        " were changed before the peer took them" +
                        StackTrace::Tell("they were sent by", segment.sent_by.get()));
}

void Connection::TakeFrom(const Segment& segment, size_t count, std::vector<SymbolExtent>* out) {
  if (segment.frame != nullptr) frames_.Reads();
  if (segment.frame != nullptr && segment.frame->symbolic_data() != *segment.symbol) {
    ReportChanged(segment);
  }
  const uint64_t offset = segment.symbol->offset + segment.offset;
  if (!out->empty() && out->back().file == segment.symbol->file &&
      out->back().offset + out->back().length == offset) {
    out->back().length += count;
  } else {
    out->push_back({segment.symbol->file, offset, count});
  }
}

void Connection::TakeFrom(const Segment& segment, size_t count, std::string* out) {
  const std::string& bytes = segment.content != nullptr ? *segment.content : segment.copied;
  if (segment.frame == nullptr) {
    const size_t before = out->size(), end = segment.offset + count;
    out->append(bytes, segment.offset, count);
    if (segment.zeroed == nullptr) return;
    for (const ZeroedBytes& zeroes : *segment.zeroed) {
      const size_t from = std::max(zeroes.from, segment.offset), to = std::min(zeroes.to, end);
      if (from < to) out->replace(before + from - segment.offset, to - from, to - from, '\0');
    }
  } else {
    frames_.Reads();
    const std::string_view now(segment.frame->data() + segment.offset, count);
    if (now != std::string_view(bytes).substr(bytes.size() - segment.length, count)) {
      ReportChanged(segment);
    }
    out->append(now);
  }
}

void Connection::PeerReset() {
  Writes();
  Break();
}

void Connection::PeerClose() {
  Writes();
  if (queued_ > 0) {
    Break();
  } else {
    peer_fin_ = peer_closed_ = true;
  }
}

// A reset comes. After the end of the peer's stream its errno is another (tcp_reset: CLOSE_WAIT).
void Connection::Break() {
  reset_ = true;
  pending_error_ = peer_fin_ && !local_fin_ ? EPIPE : ECONNRESET;
  DropQueue();
}

void Connection::DropQueue() {
  for (Segment& segment : queue_) {
    if (segment.frame == nullptr) continue;
    --segment.frame->sockets;
    --frames_held_;
    frames_.Drop(segment.frame);
  }
  queue_.clear();
  queued_ = 0;
}

}  // namespace pollux::sim
