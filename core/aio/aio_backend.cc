#include "core/aio/aio_backend.h"

#include <algorithm>
#include <cerrno>
#include <deque>

#include "core/aio/send_step.h"
#include "core/base/check.h"

namespace pollux {
namespace {

// How far ahead `auto` asks whether pages are cached: the pages of one answer can be evicted before
// they are sent, so not far.
constexpr uint64_t kResidencyWindow = 1_MiB;

// Of what was read, at most so much in a Pump. A disk does not become faster by larger slices, but
// a hot request waits for the one that is being sent: of 1 MiB, behind ten downloads from two
// spindles, its p99 is twice as long (ci/bench 2006).
constexpr uint64_t kChunkSlice = 256_KiB;

// What all transfers of one backend use.
struct Parts {
  Kernel& kernel;
  std::unique_ptr<ReadEngine> engine;
  std::unique_ptr<Backend> fallback;
  std::optional<AutoSending> automatic;
  AioStats& stats;
  std::function<void(const Error&)> on_fallback;
};

class AioTransfer final : public Transfer, private Reader {
 public:
  AioTransfer(Parts& parts, TransferRequest request);
  ~AioTransfer() override;
  AioTransfer(const AioTransfer&) = delete;
  AioTransfer& operator=(const AioTransfer&) = delete;

  Result<Outcome> Pump(uint64_t bytes_max) override;
  uint64_t sent() const override;

 private:
  enum class Step { kSent, kStop };  // kStop: outcome_ says why

  void OnChunk(Chunk& chunk) override;
  void OnTurn() override;
  void DropChunks(size_t keep) override;
  size_t chunks_held() const override { return window_.size(); }

  Result<Step> PumpCached(uint64_t* budget);
  Result<Step> PumpChunk(uint64_t* budget);
  Result<Step> FirstChunk();
  void ReadAhead();
  Result<Chunk*> RequestNext(ReadEngine::Need need);
  SendStep SendFrom(Chunk& chunk, uint64_t bytes);
  Result<Step> Sent(const SendStep& step, uint64_t* budget);
  Step Stop(Outcome outcome) {
    outcome_ = outcome;
    return Step::kStop;
  }
  Result<Step> FallBack(const Error& why);
  Result<Step> HandOver();
  void LeaveEngine();

  Parts& parts_;
  ReadEngine& engine_;
  TransferRequest request_;
  uint64_t position_;  // of the next byte to send, in the file
  const uint64_t end_;
  uint64_t cached_until_ = 0;         // `auto`: up to here the page cache was seen to have it
  uint64_t requested_;                // up to here chunks were asked for; while window_ holds any
  std::shared_ptr<FileReads> reads_;  // once something was cold
  std::deque<Chunk*> window_;         // in the file's order, the first holds position_
  unsigned opening_ = 2;              // how far the window is open; see ReadAhead
  Error turn_error_{};                // met when the line for memory was over
  Outcome outcome_ = Outcome::kYield;
  std::unique_ptr<Transfer> fallback_;
};

class AioBackend final : public Backend {
 public:
  explicit AioBackend(Parts parts) : parts_(std::move(parts)) {}
  std::unique_ptr<Transfer> Start(TransferRequest request) override {
    return std::make_unique<AioTransfer>(parts_, std::move(request));
  }

 private:
  Parts parts_;
};

AioTransfer::AioTransfer(Parts& parts, TransferRequest request)
    : parts_(parts),
      engine_(*parts.engine),
      request_(std::move(request)),
      position_(request_.offset),
      end_(request_.offset + request_.length),
      requested_(position_) {
  CHECK(end_ >= position_ && end_ <= request_.file->size());
}

AioTransfer::~AioTransfer() { LeaveEngine(); }

uint64_t AioTransfer::sent() const {
  return position_ - request_.offset + (fallback_ ? fallback_->sent() : 0);
}

Result<Transfer::Outcome> AioTransfer::Pump(uint64_t bytes_max) {
  uint64_t budget = bytes_max;
  while (fallback_ == nullptr && position_ < end_) {
    if (engine_.waiting(*this)) return Outcome::kWaiting;
    if (budget == 0) return Outcome::kYield;
    auto step = PumpCached(&budget);
    if (!step) return Err(step.error());
    if (*step == Step::kStop) return outcome_;
  }
  if (fallback_ != nullptr) return fallback_->Pump(budget);
  return Outcome::kDone;
}

// One step by the page cache if `auto` finds the next bytes there, else one from the chunks.
Result<AioTransfer::Step> AioTransfer::PumpCached(uint64_t* budget) {
  if (!parts_.automatic || !window_.empty()) return PumpChunk(budget);
  if (position_ >= cached_until_) {
    const uint64_t cached = parts_.automatic->residency->CachedPrefix(
        *request_.file, position_, std::min(end_ - position_, kResidencyWindow));
    if (cached == 0) {
      if (request_.file->size() < parts_.automatic->populate_below) return HandOver();
      return PumpChunk(budget);
    }
    cached_until_ = position_ + cached;
  }
  const SendStep step = SendfileStep(parts_.kernel, request_.socket->get(), request_.file->fd.get(),
                                     position_, std::min(cached_until_ - position_, *budget));
  parts_.stats.bytes_sent_cached += step.bytes;
  return Sent(step, budget);
}

Result<AioTransfer::Step> AioTransfer::PumpChunk(uint64_t* budget) {
  if (window_.empty()) {
    auto step = FirstChunk();
    if (!step || *step == Step::kStop || window_.empty()) return step;
  }
  ReadAhead();
  Chunk& chunk = *window_.front();
  if (chunk.failed()) {
    switch (chunk.error.code) {
      case EINVAL:  // no asynchronous direct I/O here after all, or another alignment
      case EOPNOTSUPP:
      case EFAULT:  // /dev/shm is exhausted: the kernel could not get a page to read into
      case ENOMEM:
      case EAGAIN:  // no thread for the helper
      case EMFILE:  // no descriptor for reading directly
      case ENFILE:
        return FallBack(chunk.error);
      default:  // EIO, ENODATA, ESTALE: of this file nothing more can be promised
        return Err(chunk.error);
    }
  }
  if (!chunk.sendable()) return Stop(Outcome::kWaiting);
  const uint64_t until = std::min(chunk.end, end_);
  engine_.MarkSending(chunk);
  *budget = std::min(*budget, kChunkSlice);
  auto step = Sent(SendFrom(chunk, std::min(until - position_, *budget)), budget);
  if (step && position_ == until) {
    window_.pop_front();
    ++opening_;
    engine_.Release(chunk, *this);
  }
  return step;
}

Result<AioTransfer::Step> AioTransfer::FirstChunk() {
  if (turn_error_.code != 0) return FallBack(turn_error_);
  if (reads_ == nullptr) {
    reads_ = engine_.Open(request_.file);
    engine_.AddStream();
  }
  requested_ = position_;  // whatever was dropped is read again
  auto chunk = RequestNext(ReadEngine::Need::kNow);
  if (chunk) return Step::kSent;
  if (chunk.error().code == ENOBUFS) {
    engine_.WaitForMemory(*this);
    return Stop(Outcome::kWaiting);
  }
  return FallBack(chunk.error());  // ENOMEM, ENOSPC, EMFILE of the memory; EOPNOTSUPP of the file
}

// Keeps the window full (read_engine.h says why at once).
//
// The window opens by a chunk for each that was sent, and closes when the engine takes chunks back:
// a reader so slow that its window does not last would have each chunk read many times over.
void AioTransfer::ReadAhead() {
  const ReadEngine::Window window = engine_.window();
  const unsigned chunks = std::min(window.chunks, std::max(opening_, 1u));
  auto reading = std::count_if(window_.begin(), window_.end(), [](const Chunk* chunk) {
    return chunk->state == ChunkState::kReading;
  });
  for (; reading < window.reads && window_.size() < chunks && requested_ < end_; ++reading) {
    if (parts_.automatic &&
        parts_.automatic->residency->CachedPrefix(*request_.file, requested_, 1) != 0) {
      return;  // cached from here on: seen to when its turn comes
    }
    // ENOBUFS: then less far ahead. Other errors come back when the chunk is really needed.
    if (!RequestNext(ReadEngine::Need::kAhead)) return;
  }
}

Result<Chunk*> AioTransfer::RequestNext(ReadEngine::Need need) {
  auto chunk = engine_.Request(reads_, requested_, end_, *this, need);
  if (chunk) {
    window_.push_back(*chunk);
    requested_ = std::min((*chunk)->end, end_);
  }
  return chunk;
}

SendStep AioTransfer::SendFrom(Chunk& chunk, uint64_t bytes) {
  CHECK(position_ >= chunk.begin);
  const uint64_t at = position_ - chunk.begin;
  CHECK(at + bytes <= chunk.filled);  // what was not read is never sent
  if (engine_.by_reference()) {
    return SendfileStep(parts_.kernel, request_.socket->get(), chunk.shm_fd, chunk.shm_offset + at,
                        bytes);
  }
  return SendBytes(parts_.kernel, request_.socket->get(), {chunk.memory + at, bytes});
}

Result<AioTransfer::Step> AioTransfer::Sent(const SendStep& step, uint64_t* budget) {
  if (step.bytes > 0) {
    engine_.SetUnblocked(*this);
    position_ += step.bytes;
    *budget -= std::min(*budget, step.bytes);
    parts_.stats.bytes_sent += step.bytes;
  }
  switch (step.end) {
    case SendStep::End::kAll:
      return Step::kSent;
    case SendStep::End::kSocketFull:
      cached_until_ = 0;  // nobody knows when it goes on
      engine_.SetBlocked(*this);
      return Stop(Outcome::kSocketFull);
    case SendStep::End::kFailed:
      break;  // EPIPE, ECONNRESET, ETIMEDOUT: the peer is gone; ENODATA: the file became shorter
  }
  return Err(step.error);
}

Result<AioTransfer::Step> AioTransfer::FallBack(const Error& why) {
  ++parts_.stats.fallbacks;
  if (parts_.on_fallback) parts_.on_fallback(why);
  return HandOver();
}

// The rest of the transfer goes out by the other backend.
Result<AioTransfer::Step> AioTransfer::HandOver() {
  LeaveEngine();
  TransferRequest rest = request_;
  rest.offset = position_;
  rest.length = end_ - position_;
  fallback_ = parts_.fallback->Start(std::move(rest));
  return Step::kSent;
}

void AioTransfer::LeaveEngine() {
  engine_.SetUnblocked(*this);
  DropChunks(0);
  if (reads_ == nullptr) return;
  reads_.reset();
  engine_.RemoveStream();
}

void AioTransfer::DropChunks(size_t keep) {
  opening_ = 0;
  while (window_.size() > keep) {
    Chunk* chunk = window_.back();
    window_.pop_back();
    if (chunk->sendable() && chunk->users.size() == 1) ++parts_.stats.reads_dropped;
    requested_ = std::max(position_, chunk->begin);
    engine_.Release(*chunk, *this);
  }
}

void AioTransfer::OnChunk(Chunk& chunk) {
  if (window_.empty()) return;
  // Also for one behind a first one that is late: the next read can go out.
  const Chunk* first = window_.front();
  if (first == &chunk || !first->sendable()) request_.waiter->OnTransferReady();
}

void AioTransfer::OnTurn() {
  auto chunk = RequestNext(ReadEngine::Need::kTurn);
  if (!chunk) {
    if (chunk.error().code == ENOBUFS) {
      engine_.WaitForMemory(*this, ReadEngine::Place::kFirst);
      return;
    }
    turn_error_ = chunk.error();
  } else if (!(*chunk)->sendable()) {
    return;  // OnChunk will tell
  }
  request_.waiter->OnTransferReady();
}

}  // namespace

std::unique_ptr<Backend> MakeAioBackend(Kernel& kernel, std::unique_ptr<ReadEngine> engine,
                                        std::unique_ptr<Backend> fallback,
                                        std::optional<AutoSending> automatic, AioStats& stats,
                                        std::function<void(const Error&)> on_fallback) {
  return std::make_unique<AioBackend>(Parts{kernel, std::move(engine), std::move(fallback),
                                            std::move(automatic), stats, std::move(on_fallback)});
}

}  // namespace pollux
