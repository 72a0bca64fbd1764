// Symbols in the place of bytes: they go the ways of bytes, and what would have changed bytes that
// a socket refers to is found out all the same.
#include "fakes/kernel/symbols.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <libaio.h>
#include <linux/falloc.h>
#include <netinet/in.h>
#include <sys/mman.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "core/base/units.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {
namespace {

constexpr size_t kChunk = 64_KiB;

bool Is(const std::optional<SymbolExtent>& extent, uint64_t file, uint64_t offset,
        uint64_t length) {
  return extent && extent->file == file && extent->offset == offset && extent->length == length;
}

TEST(SymbolMemoryTest, WhatIsStoredInTheMiddleLeavesBothSides) {
  std::array<char, 100> memory;
  SymbolMemory symbols;
  symbols.Store(memory.data(), {1, 1000, 100});
  symbols.Store(memory.data() + 40, {2, 0, 20});
  EXPECT_TRUE(Is(symbols.Find(memory.data() + 10), 1, 1010, 30));
  EXPECT_TRUE(Is(symbols.Find(memory.data() + 40), 2, 0, 20));
  EXPECT_TRUE(Is(symbols.Find(memory.data() + 60), 1, 1060, 40));
  EXPECT_FALSE(symbols.Find(memory.data() + 100));
}

TEST(SymbolMemoryTest, ForgetsAcrossExtents) {
  std::array<char, 100> memory;
  SymbolMemory symbols;
  for (uint64_t i = 0; i < 10; ++i) symbols.Store(memory.data() + i * 10, {i + 1, 0, 10});
  symbols.Forget(memory.data() + 5, 90);
  EXPECT_TRUE(Is(symbols.Find(memory.data()), 1, 0, 5));
  for (size_t at = 5; at < 95; ++at) EXPECT_FALSE(symbols.Find(memory.data() + at));
  EXPECT_TRUE(Is(symbols.Find(memory.data() + 95), 10, 5, 5));
}

class SymbolsTest : public ::testing::Test {
 protected:
  SymbolsTest() {
    SimOptions options;
    options.symbolic = true;
    kernel_ = std::make_unique<SimKernel>(chooser_, resources_, options);
    number_ = kernel_->AddSymbolicFile("/data/file", 1_GiB);
    file_ = kernel_->openat(AT_FDCWD, "/data/file", O_RDONLY | O_DIRECT, 0).value();
    const int listener = kernel_->socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0).value();
    EXPECT_TRUE(kernel_->listen(listener, 1));
    connection_ = kernel_->ConnectToListener();
    socket_ = kernel_->accept4(listener, nullptr, nullptr, SOCK_NONBLOCK).value();
    context_ = kernel_->io_setup(1).value();
    memory_fd_ = kernel_->memfd_create("chunks", MFD_CLOEXEC).value();
    EXPECT_TRUE(kernel_->ftruncate(memory_fd_, kChunk));
    memory_ = static_cast<char*>(
        kernel_->mmap(nullptr, kChunk, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd_, 0).value());
  }

  void ReadInto(char* memory, size_t offset) {
    iocb request{};
    iocb* one = &request;
    io_prep_pread(&request, file_, memory, kChunk, static_cast<long long>(offset));
    ASSERT_EQ(kernel_->io_submit(context_, 1, &one), 1);
    io_event event{};
    ASSERT_EQ(kernel_->io_getevents(context_, 1, 1, &event, nullptr), 1);
    ASSERT_EQ(event.res, kChunk);
  }
  void SendMemoryFile() {
    off_t from = 0;
    ASSERT_EQ(kernel_->sendfile(socket_, memory_fd_, &from, kChunk), kChunk);
  }
  void ExpectPeerGets(uint64_t offset) {
    std::string text;
    std::vector<SymbolExtent> symbols;
    EXPECT_EQ(connection_->PeerTake(1_GiB, &text, &symbols), kChunk);
    EXPECT_EQ(text, "");
    ASSERT_EQ(symbols.size(), 1U);
    EXPECT_TRUE(Is(symbols[0], number_, offset, kChunk));
  }
  const std::optional<Violation>& violation() { return kernel_->scheduler().violation(); }

  FirstChooser chooser_;
  Resources resources_;
  std::unique_ptr<SimKernel> kernel_;
  uint64_t number_ = 0;
  int file_ = -1, socket_ = -1, memory_fd_ = -1;
  std::shared_ptr<Connection> connection_;
  io_context_t context_ = nullptr;
  char* memory_ = nullptr;
};

TEST_F(SymbolsTest, GoFromTheDiskThroughAMemoryFileToThePeer) {
  ReadInto(memory_, 5 * kChunk);
  SendMemoryFile();
  ExpectPeerGets(5 * kChunk);
  EXPECT_FALSE(violation());
}

TEST_F(SymbolsTest, GoThroughPlainMemoryAndSend) {
  alignas(4096) static std::array<char, kChunk> buffer;
  ReadInto(buffer.data(), 7 * kChunk);
  ASSERT_EQ(kernel_->send(socket_, buffer.data(), kChunk, MSG_NOSIGNAL), kChunk);
  ExpectPeerGets(7 * kChunk);
}

TEST_F(SymbolsTest, GoFromThePageCacheToThePeer) {
  const int cached = kernel_->openat(AT_FDCWD, "/data/file", O_RDONLY, 0).value();
  off_t from = 3 * kChunk;
  ASSERT_EQ(kernel_->sendfile(socket_, cached, &from, kChunk), kChunk);
  ExpectPeerGets(3 * kChunk);
}

TEST_F(SymbolsTest, AReadIntoPagesThatASocketRefersToIsReported) {
  ReadInto(memory_, 0);
  SendMemoryFile();
  ReadInto(memory_, kChunk);
  ASSERT_TRUE(violation());
  EXPECT_EQ(violation()->oracle, "page references");
}

TEST_F(SymbolsTest, PunchedPagesLiveOnInTheSocket) {
  ReadInto(memory_, 0);
  SendMemoryFile();
  ASSERT_TRUE(
      kernel_->fallocate(memory_fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kChunk));
  ReadInto(memory_, kChunk);
  ExpectPeerGets(0);
  SendMemoryFile();
  ExpectPeerGets(kChunk);
  EXPECT_FALSE(violation());
}

TEST_F(SymbolsTest, APunchedPageHoldsZeroes) {
  ReadInto(memory_, 0);
  ASSERT_TRUE(
      kernel_->fallocate(memory_fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPageBytes));
  SendMemoryFile();
  std::string text;
  std::vector<SymbolExtent> symbols;
  (void)connection_->PeerTake(kPageBytes, &text, &symbols);
  ASSERT_EQ(symbols.size(), 1U);
  EXPECT_EQ(symbols[0].file, 0U);
}

}  // namespace
}  // namespace pollux::sim
