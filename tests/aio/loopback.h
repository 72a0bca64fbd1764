// What the tests of core/aio send through: a TCP connection over loopback, and files whose every
// eight bytes say where they belong, so that a wrong byte is located and its origin named.
//
// The far end of the connection is a reader that reads when it is told to: late, slowly, never, or
// not at all but with a reset.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/aio/open_file.h"
#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

// --- Patterned contents. The aligned word at position p of the file with `seed` holds
// (seed << 48) | p, little-endian: the place of any eight bytes can be read off a hex dump.

std::string Pattern(uint64_t offset, uint64_t length, uint16_t seed = 0);

// EXPECT_TRUE(HoldsPattern(bytes, offset, seed)): `bytes` are what the file has at `offset`. Says
// where the first wrong byte is, and from which place of which file it seems to come.
::testing::AssertionResult HoldsPattern(std::span<const char> bytes, uint64_t offset = 0,
                                        uint16_t seed = 0);

// How many of `bytes` are not what the file has at `offset`.
uint64_t WrongBytes(std::span<const char> bytes, uint64_t offset = 0, uint16_t seed = 0);

// --- Files.

// A directory of its own under $TEST_TMPDIR or else beside the test program, removed with all in
// it. Not /tmp, which is tmpfs or overlayfs in many places: neither forgets pages when asked, and
// overlayfs cannot tell what is cached.
class TempDir {
 public:
  TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// A file of `size` patterned bytes, written through to the disk.
class PatternFile {
 public:
  PatternFile(const TempDir& dir, uint64_t size, uint16_t seed = 0,
              const std::string& name = "file");

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }

  // False on tmpfs and overlayfs, where MakeCold has no effect or none that can be seen.
  bool OnDisk() const;

  // As FileOpener would hand it out.
  std::shared_ptr<OpenFile> Open(Kernel& kernel) const;

  void Truncate(uint64_t size) const;
  // The page cache forgets the file (fdatasync, POSIX_FADV_DONTNEED), as far as nobody maps it.
  void MakeCold() const;
  // [offset, offset + length) is read into the page cache, and nothing by read-ahead. It stays
  // there, whatever else needs memory, until MakeCold (mlock(2); without root, 8 MiB of it).
  void MakeWarm(uint64_t offset, uint64_t length) const;

 private:
  // A locked mapping.
  struct Unmap {
    size_t length = 0;
    void operator()(void* address) const;
  };

  std::string path_;
  uint64_t size_;
  mutable std::vector<std::unique_ptr<void, Unmap>> warm_;  // of the page cache, not of the file
};

// --- Connections.

// Aborts the test program if the kernel refuses: there is nothing to test then.
class Loopback {
 public:
  struct Options {
    int send_buffer = 0;     // SO_SNDBUF of the near end, bytes; 0: the kernel's choice
    int receive_buffer = 0;  // SO_RCVBUF of the far end, likewise
  };
  explicit Loopback(Kernel& kernel) : Loopback(kernel, Options{}) {}
  Loopback(Kernel& kernel, Options options);

  // The near end, non-blocking: what a Transfer sends to.
  const std::shared_ptr<Fd>& socket() const { return socket_; }

  // The far end, for a loop to wait on.
  int peer_fd() const { return peer_.get(); }
  bool peer_ended() const { return peer_ended_; }  // ReadSome met the end of the stream, or a reset

  // Takes what has arrived, `max` bytes at most, without waiting; empty if there is
  // nothing.
  std::string ReadSome(uint64_t max = ~uint64_t{0});
  // Takes exactly `length` bytes, or fewer where the stream ends; waits for them. Fails the test
  // after ten seconds without a byte.
  std::string ReadExactly(uint64_t length);
  // Up to the end of the stream (the near end was closed).
  std::string ReadToEnd() { return ReadExactly(~uint64_t{0}); }
  // Closes the far end with a reset (SO_LINGER 0), unread bytes or not.
  void Reset();
  // Waits until the near end reports any of `events` (POLL* bits), ten seconds at most.
  bool WaitNear(short events) const;

  // Lets go of the near end; the stream ends when nobody else holds it.
  void CloseNear() { socket_.reset(); }

 private:
  std::shared_ptr<Fd> socket_;
  Fd peer_;
  bool peer_ended_ = false;
};

}  // namespace pollux
