// Who reads what, when, and into which memory.
//
// - Reads are shared: connections at the same place of the same file (same FileKey) use one chunk.
// - Memory is bounded by the chunk budget. When it is used up, those that wait stand in one line,
//   first come, first served; but nothing is kept for the benefit of those who do not read:
//     * a transfer whose socket has not been writable for kBlockedGrace keeps at most one chunk;
//     * under pressure the chunks of blocked transfers are dropped, longest blocked first, to be
//       read again when their socket moves.
// - Seeks are what costs: a disk that serves S streams should stay with each for long. So each
//   keeps several contiguous reads in flight, and asks for the next one as soon as one has ended:
//   of two spindles that which has just delivered gets it, for its queue is the shorter one. A
//   window refilled in one go would be dealt out to both in turn. Reads end in any order: what has
//   come before what it comes behind is kept, and takes nobody's place in flight.
//
// Threads: loop thread.
#pragma once

#include <list>
#include <memory>
#include <unordered_map>

#include "core/aio/aio_queue.h"
#include "core/aio/chunk.h"
#include "core/aio/file_reads.h"
#include "core/event/event_loop.h"
#include "core/event/worker_pool.h"

namespace pollux {

// A transfer as the engine sees it.
class Reader : public ChunkUser {
 public:
  // Memory was used up and the reader's turn has come: it may Request one chunk with Need::kTurn.
  virtual void OnTurn() = 0;
  // Release all but the first `keep` chunks: others need the memory more, or the socket stands
  // still. Calls nobody back.
  virtual void DropChunks(size_t keep) = 0;
  virtual size_t chunks_held() const = 0;

 private:
  friend class ReadEngine;
  std::list<Reader*>::iterator place_{};
  enum class List { kNone, kHungry, kBlocked, kTrimmed } list_ = List::kNone;
  TimePoint blocked_since_{};
};

class ReadEngine final : private ReadOwner, private Job {
 public:
  // Reads in flight of one stream, where there are few: kReads among all, but an odd number from
  // kReadsMin to kReadsMax, or as many as memory has chunks for. Of an odd number two spindles have
  // different queues, so that the next read goes where the last one ended; of an even one it is
  // tossed (five streams in pollux-sim table: 102 MB/s with 8, 109 with 3).
  static constexpr unsigned kFewStreams = 6;
  static constexpr unsigned kReads = 14;
  static constexpr unsigned kReadsMin = 3;
  static constexpr unsigned kReadsMax = 7;
  // Of small chunks or many streams: with fewer, more of the time goes to seeks.
  static constexpr unsigned kReadsOfMany = 5;
  // Chunks of one stream, read and in flight. (Ten streams with 3 reads each in flight: 102 MB/s
  // with 12, 106 with 18, 105 with 24.)
  static constexpr unsigned kChunksMax = 18;
  static constexpr Nanoseconds kBlockedGrace = std::chrono::milliseconds(100);

  ReadEngine(EventLoop& loop, WorkerPool& workers, std::unique_ptr<AioQueue> queue,
             std::unique_ptr<ChunkPool> chunks, AioStats& stats);
  ~ReadEngine() override;
  ReadEngine(const ReadEngine&) = delete;
  ReadEngine& operator=(const ReadEngine&) = delete;

  // The reads of this state of this file; shared with whoever else has it.
  std::shared_ptr<FileReads> Open(const std::shared_ptr<OpenFile>& file);

  // A chunk that holds file bytes from `position` on, up to `end` or its own end, with `user` among
  // its users: shared if one is there, else a new read. ENOBUFS if memory is used up; any other
  // error is that of providing memory.
  enum class Need {
    kNow,    // nothing to send without it: may take memory from any blocked transfer
    kAhead,  // read-ahead: takes only what is free, or held by those blocked for long
    kTurn,   // as kNow, by the one whose turn it is: once, from OnTurn, past those in line
  };
  Result<Chunk*> Request(const std::shared_ptr<FileReads>& reads, uint64_t position, uint64_t end,
                         Reader& user, Need need);
  void MarkSending(Chunk& chunk) { chunks_->SetSending(chunk); }
  void Release(Chunk& chunk, Reader& user);

  // After ENOBUFS with kNow: stand in line until OnTurn. Whose turn was in vain stays first.
  enum class Place { kLast, kFirst };
  void WaitForMemory(Reader& user, Place place = Place::kLast);
  // The socket is full; or it is not any more, or the transfer ends.
  void SetBlocked(Reader& user);
  void SetUnblocked(Reader& user);

  // Active transfers, blocked ones excepted.
  void AddStream() { ++streams_; }
  void RemoveStream() { --streams_; }
  // How far one stream should be ahead, at present.
  struct Window {
    unsigned reads;   // in flight
    unsigned chunks;  // read, being sent, and in flight
  };
  Window window() const;

  uint64_t chunk_bytes() const { return chunks_->chunk_bytes(); }
  bool by_reference() const { return chunks_->by_reference(); }
  bool waiting(const Reader& user) const { return user.list_ == Reader::List::kHungry; }

 private:
  void OnRead(Chunk& chunk, Result<size_t> result) override;
  bool OnWouldBlock(Chunk& chunk, int error) override;
  void RunJob() override;  // serves the line
  Result<Chunk*> TakeMemory(const Reader& asking, Need need);
  Reader* Victim(const Reader& asking, Need need) const;
  void StartRead(Chunk& chunk);
  void QueueRead(Chunk& chunk);
  void OnDirectOpened(const std::shared_ptr<FileReads>& reads);
  void Finish(Chunk& chunk, Error error);
  void FreeIfUnused(Chunk& chunk);
  void Leave(Reader& user);  // whatever list it stands in
  void Enter(Reader& user, Reader::List which, std::list<Reader*>& list);
  std::list<Reader*>& ListOf(Reader::List which);
  void TrimBlocked();

  EventLoop& loop_;
  WorkerPool& workers_;
  AioStats& stats_;
  // The chunks outlive the queue, whose destructor waits for the reads that aim at them.
  std::unique_ptr<ChunkPool> chunks_;
  std::unique_ptr<AioQueue> queue_;
  std::unordered_map<FileKey, std::weak_ptr<FileReads>, FileKeyHash> files_;
  std::list<Reader*> hungry_;
  std::list<Reader*> blocked_;  // longest first
  std::list<Reader*> trimmed_;  // blocked for longer than kBlockedGrace; longest first
  Timer trim_;
  size_t files_swept_ = 0;  // entries that were left by the last sweep
  unsigned streams_ = 0;
};

}  // namespace pollux
