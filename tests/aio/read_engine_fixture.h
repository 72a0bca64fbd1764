// What the tests of the read engine share: readers that do as they are told, on real files and real
// memory, and an io_context that the test plays.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/aio/chunk_memory.h"
#include "core/aio/read_engine.h"
#include "tests/aio/loopback.h"
#include "tests/aio/scripted_aio.h"

namespace pollux {

using Need = ReadEngine::Need;
using Place = ReadEngine::Place;

inline constexpr uint64_t kChunk = 64_KiB;

// Asks for what it is told to ask for, and keeps a record of what it is told.
class TestReader final : public Reader {
 public:
  TestReader(ReadEngine& engine, std::shared_ptr<FileReads> reads)
      : engine_(engine), reads_(std::move(reads)) {
    engine_.AddStream();
  }
  ~TestReader() override {
    engine_.SetUnblocked(*this);
    DropChunks(0);
    engine_.RemoveStream();
  }
  TestReader(const TestReader&) = delete;
  TestReader& operator=(const TestReader&) = delete;

  // The errno, or 0 with the chunk at the end of `held`.
  int Ask(uint64_t position, uint64_t end, Need need = Need::kNow) {
    auto chunk = engine_.Request(reads_, position, end, *this, need);
    if (!chunk) return chunk.error().code;
    held.push_back(*chunk);
    return 0;
  }
  int AskChunk(uint64_t index, Need need = Need::kNow) {
    return Ask(index * kChunk, std::min((index + 1) * kChunk, reads_->file().size()), need);
  }
  // Asks for the chunk, and stands in line if there is no memory.
  void WantChunk(uint64_t index) {
    wanted_ = index;
    error = AskChunk(index);
    if (error == ENOBUFS) engine_.WaitForMemory(*this);
  }
  void Release() {
    engine_.Release(*held.front(), *this);
    held.pop_front();
  }

  void OnChunk(Chunk& chunk) override {
    told.push_back(&chunk);
    if (on_chunk) on_chunk();
  }
  void OnTurn() override {
    ++turns;
    error = AskChunk(wanted_, Need::kTurn);
    if (error == ENOBUFS) engine_.WaitForMemory(*this, Place::kFirst);
    if (on_turn) on_turn();
  }
  void DropChunks(size_t keep) override {
    while (held.size() > keep) {
      engine_.Release(*held.back(), *this);
      held.pop_back();
    }
  }
  size_t chunks_held() const override { return held.size(); }

  std::deque<Chunk*> held;
  std::vector<Chunk*> told;
  int turns = 0;
  int error = 0;  // of the last WantChunk or turn
  std::function<void()> on_chunk;
  std::function<void()> on_turn;

 private:
  ReadEngine& engine_;
  std::shared_ptr<FileReads> reads_;
  uint64_t wanted_ = 0;
};

class ReadEngineTest : public ::testing::Test {
 protected:
  ~ReadEngineTest() override { aio_.workers().Stop(); }

  void MakeEngine(uint32_t chunks, unsigned depth = 32, bool shm = false,
                  uint64_t chunk_bytes = kChunk) {
    auto queue = AioQueue::Create(aio_.kernel(), aio_.loop(), aio_.workers(), depth, aio_.stats());
    auto memory = shm ? MakeShmMemory(aio_.kernel(), chunk_bytes, chunks, Retire::kPunch, "")
                      : MakeCopyMemory(aio_.kernel(), chunk_bytes, chunks);
    ASSERT_TRUE(queue && memory);
    auto pool = std::make_unique<ChunkPool>(std::move(*memory), chunk_bytes, chunks, aio_.stats());
    engine_ = std::make_unique<ReadEngine>(aio_.loop(), aio_.workers(), std::move(*queue),
                                           std::move(pool), aio_.stats());
  }
  std::shared_ptr<FileReads> OpenFileOf(uint64_t size, uint16_t seed = 0,
                                        const std::string& name = "file") {
    const PatternFile file(dir_, size, seed, name);
    return engine_->Open(file.Open(aio_.kernel()));
  }
  std::unique_ptr<TestReader> MakeReader(const std::shared_ptr<FileReads>& reads) {
    return std::make_unique<TestReader>(*engine_, reads);
  }
  uint64_t Count(ChunkState state) { return aio_.stats().chunks[static_cast<int>(state)]; }
  // From the moment a reader asks until its read is in the kernel: the file is opened by a worker,
  // and the first read submitted by one.
  void Settle() { aio_.Turn(4); }

  void CompleteReads() {
    Settle();
    aio_.CompleteAll();
  }

  static ::testing::AssertionResult Holds(const Chunk& chunk, uint16_t seed = 0) {
    if (!chunk.sendable()) return ::testing::AssertionFailure() << ToString(chunk.state);
    return HoldsPattern(std::span(chunk.memory, chunk.end - chunk.begin), chunk.begin, seed);
  }

  const TempDir dir_;
  ScriptedAio aio_;
  std::unique_ptr<ReadEngine> engine_;
};

}  // namespace pollux
