#include "core/aio/chunk.h"

#include <algorithm>
#include <cerrno>

#include "core/aio/chunk_memory.h"
#include "core/base/check.h"

namespace pollux {

ChunkPool::ChunkPool(std::unique_ptr<ChunkMemory> memory, uint64_t chunk_bytes, uint32_t count,
                     AioStats& stats)
    : memory_(std::move(memory)),
      chunk_bytes_(chunk_bytes),
      count_(count),
      stats_(stats),
      untouched_(count) {
  stats_.chunks[static_cast<int>(ChunkState::kFree)] += count_;
}

ChunkPool::~ChunkPool() = default;

bool ChunkPool::by_reference() const { return memory_->by_reference(); }

Result<Chunk*> ChunkPool::Take() {
  Chunk* chunk = nullptr;
  if (!free_.empty()) {
    chunk = free_.back();
  } else if (untouched_ > 0) {
    chunks_.push_back(std::make_unique<Chunk>());
    chunk = chunks_.back().get();
    chunk->index = static_cast<uint32_t>(chunks_.size() - 1);
    --untouched_;
    free_.push_back(chunk);
  } else if (size() == 0) {
    return Err(ENOMEM, "chunk budget");  // all are lost: none will ever be free
  } else {
    return Err(ENOBUFS, "chunk budget");
  }
  if (auto provided = memory_->Provide(*chunk); !provided) return Err(provided.error());
  free_.pop_back();
  Move(*chunk, ChunkState::kReading);
  stats_.chunk_bytes += chunk_bytes_;
  stats_.chunk_bytes_max = std::max(stats_.chunk_bytes_max, stats_.chunk_bytes);
  return chunk;
}

void ChunkPool::SetReady(Chunk& chunk) {
  CHECK(chunk.state == ChunkState::kReading);
  CHECK(chunk.begin + chunk.filled >= chunk.end);
  chunk.warm = true;
  Move(chunk, ChunkState::kReady);
}

void ChunkPool::SetFailed(Chunk& chunk, Error error) {
  CHECK(chunk.state == ChunkState::kReading);
  CHECK(error.code != 0);
  chunk.error = error;
  Move(chunk, ChunkState::kRetired);
}

void ChunkPool::SetSending(Chunk& chunk) {
  if (chunk.state == ChunkState::kSending) return;  // another sharer was first
  CHECK(chunk.state == ChunkState::kReady);
  Move(chunk, ChunkState::kSending);
}

Status ChunkPool::Free(Chunk& chunk) {
  CHECK(chunk.users.empty());
  CHECK(chunk.state != ChunkState::kFree && chunk.state != ChunkState::kReading);
  chunk.file.reset();
  chunk.begin = chunk.end = chunk.read_end = chunk.filled = 0;
  chunk.error = {};
  if (memory_->by_reference() && chunk.state == ChunkState::kSending) {
    Move(chunk, ChunkState::kRetired);
    if (auto retired = memory_->Retire(chunk); !retired) {
      // Pages that a socket may still hold, and that nothing can replace: never again. Their memory
      // stays counted.
      ++lost_;
      return retired;
    }
  }
  stats_.chunk_bytes -= chunk_bytes_;
  Move(chunk, ChunkState::kFree);
  free_.push_back(&chunk);
  return {};
}

void ChunkPool::Move(Chunk& chunk, ChunkState to) {
  --stats_.chunks[static_cast<int>(chunk.state)];
  ++stats_.chunks[static_cast<int>(to)];
  chunk.state = to;
}

}  // namespace pollux
