// What a contract test needs beside a Kernel: something to run in, files to open, a peer to talk
// to.
//
// The contract suite (contract_*_test.cc) states what Pollux relies on Linux to do. It runs on
// every world that AllWorlds() names, so that a model of Linux is held to what Linux was seen to
// do.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "core/sys/kernel.h"
#include "core/sys/raii.h"

namespace pollux {

// The far end of a TCP connection. It does nothing that it is not told to, so that a test decides
// when bytes are consumed.
class Peer {
 public:
  virtual ~Peer() = default;
  virtual void Send(std::string_view bytes) = 0;
  // Waits for `count` bytes; fewer if the stream ends or is reset first.
  virtual std::string Receive(size_t count) = 0;
  virtual void HalfClose() = 0;  // shutdown(SHUT_WR)
  virtual void Reset() = 0;      // close with SO_LINGER 0: RST
  virtual void Close() = 0;      // close(2)
};

class KernelWorld {
 public:
  virtual ~KernelWorld() = default;
  virtual Kernel& kernel() = 0;

  // Runs `body` to its end as the first thread of the kernel's process (the thread-group leader).
  virtual void Run(const std::function<void()>& body) = 0;

  // A new file of FileByte(0), FileByte(1), ...; its path is openat(2)'s from AT_FDCWD.
  virtual std::string MakeFile(size_t size) = 0;
  // Cuts one off.
  virtual void Truncate(const std::string& path, size_t size) = 0;

  // Waits until that thread of the kernel's process sleeps.
  virtual void AwaitAsleep(pid_t tid) = 0;

  // Connects to an address that a socket of this kernel listens on.
  virtual std::unique_ptr<Peer> Connect(const sockaddr_storage& address) = 0;
};

// Contents that say where they belong: no two 4 KiB pages of a file are alike.
inline char FileByte(uint64_t offset) {
  return static_cast<char>((offset * 31 + (offset >> 12) * 7 + 11) % 251);
}
std::string FileBytes(uint64_t offset, size_t count);

struct WorldFactory {
  std::string name;
  std::function<std::unique_ptr<KernelWorld>()> make;
};
inline void PrintTo(const WorldFactory& world, std::ostream* out) { *out << world.name; }
std::vector<WorldFactory> AllWorlds();
inline std::string WorldName(const ::testing::TestParamInfo<WorldFactory>& info) {
  return info.param.name;
}

// Base of the contract suites. Each test puts its body into InWorld().
class ContractTest : public ::testing::TestWithParam<WorldFactory> {
 protected:
  ContractTest() : world_(GetParam().make()), kernel_(world_->kernel()) {}

  void InWorld(const std::function<void()>& body) { world_->Run(body); }

  // A file of `size` bytes opened O_DIRECT; empty where the file system cannot (the test skips).
  Fd OpenDirect(size_t size);
  // Page-aligned memory.
  Mapping Pages(size_t bytes);

  Thread Spawn(std::function<void()> body);

  // A connection: this side non-blocking, accepted through the seam.
  struct Connection {
    Fd fd;
    std::unique_ptr<Peer> peer;
  };
  Connection Connect();
  // Waits up to ten seconds (a stuck test should fail, not hang) for one descriptor.
  short Await(int fd, short events);

  std::unique_ptr<KernelWorld> world_;
  Kernel& kernel_;
};

}  // namespace pollux
