// A chunk: one buffer, one contiguous piece of one file, one stored state.
//
//   free -> reading -> ready -> sending -> retired -> free
//              |          \________________/   ^
//              |           (by copy: straight to free)
//              +--> retired (the read failed: nothing of it is ever sent) --> free
//
// The state is stored, never inferred from lengths or counters. A chunk leaves `reading` only by
// its read's completion, whoever has lost interest in the meantime: an iocb still aims at its
// memory.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/aio/aio_stats.h"
#include "core/base/result.h"

namespace pollux {

class ChunkUser;
class ChunkMemory;
class FileReads;

struct Chunk {
  uint32_t index = 0;
  ChunkState state = ChunkState::kFree;

  char* memory = nullptr;   // where the read goes
  int shm_fd = -1;          // where sendfile() takes it from (by reference)
  uint64_t shm_offset = 0;  // of memory[0] in shm_fd
  bool warm = false;        // its pages exist: a read into it need not allocate inside io_submit

  // What it holds: bytes [begin, end) of the file, where end is clipped to the file's size. The
  // read itself asks for whole blocks, [begin, read_end).
  std::shared_ptr<FileReads> file;
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t read_end = 0;
  uint64_t filled = 0;  // bytes from `begin` that reads have delivered
  Error error{};        // code != 0: the read failed

  std::vector<ChunkUser*> users;  // each once

  bool failed() const { return error.code != 0; }
  bool sendable() const { return state == ChunkState::kReady || state == ChunkState::kSending; }
};

// Whoever waits for a chunk or holds one.
class ChunkUser {
 public:
  virtual ~ChunkUser() = default;
  // The chunk's read has ended (sendable() or failed()).
  virtual void OnChunk(Chunk& chunk) = 0;
};

// The chunks of one backend and their memory: at most `count`, which is what bounds the memory.
// Threads: loop thread.
class ChunkPool {
 public:
  ChunkPool(std::unique_ptr<ChunkMemory> memory, uint64_t chunk_bytes, uint32_t count,
            AioStats& stats);
  ~ChunkPool();

  // A free chunk, now `reading` and with memory. ENOBUFS if all are in use: one will be freed.
  // ENOMEM if all are lost, else what providing the memory met.
  Result<Chunk*> Take();
  void SetReady(Chunk& chunk);  // its read delivered every byte
  void SetFailed(Chunk& chunk, Error error);
  void SetSending(Chunk& chunk);  // the first byte goes to a socket
  // Nobody uses it and no iocb aims at it: retires what went out by reference, frees it. An error
  // says that the memory could not be retired: the chunk is out of service for good.
  Status Free(Chunk& chunk);

  uint32_t free_count() const { return static_cast<uint32_t>(free_.size()) + untouched_; }
  uint32_t size() const { return count_ - lost_; }
  uint64_t chunk_bytes() const { return chunk_bytes_; }
  bool by_reference() const;

 private:
  void Move(Chunk& chunk, ChunkState to);

  std::unique_ptr<ChunkMemory> memory_;
  const uint64_t chunk_bytes_;
  const uint32_t count_;
  AioStats& stats_;
  std::vector<std::unique_ptr<Chunk>> chunks_;  // made as they are needed
  // Last freed, first taken: few chunks stay warm in the caches, the rest is never touched.
  std::vector<Chunk*> free_;
  uint32_t untouched_;  // of count_, not made yet
  uint32_t lost_ = 0;   // could not be retired
};

}  // namespace pollux
