// Kernel objects with an owner. Move-only, one clean-up each, no implicit bool.
//
// A descriptor remembers the Kernel it came from, so that the same code closes a real descriptor on
// Linux and a modelled one in the simulated kernel.
#pragma once

#include <utility>

#include "core/base/check.h"
#include "core/base/units.h"
#include "core/sys/kernel.h"

namespace pollux {

// A file descriptor. An empty Fd holds -1.
class Fd {
 public:
  Fd() = default;
  Fd(Kernel& kernel, int fd) : kernel_(&kernel), fd_(fd) {}
  Fd(Fd&& other) noexcept : kernel_(other.kernel_), fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      Reset();
      kernel_ = other.kernel_;
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~Fd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Its owner is the caller, or the end of the process.
  int Release() { return std::exchange(fd_, -1); }
  // close(2) is never retried, and its error has nobody to tell: the files are only read, and the
  // descriptor is gone in any case.
  void Reset() {
    if (fd_ >= 0) (void)kernel_->close(std::exchange(fd_, -1));
  }

 private:
  Kernel* kernel_ = nullptr;
  int fd_ = -1;
};

// Wraps a descriptor-returning call: OwnFd(kernel, kernel.eventfd(...)).
inline Result<Fd> OwnFd(Kernel& kernel, Result<int> fd) {
  if (!fd) return Err(fd.error());
  return Fd(kernel, *fd);
}

// A mapping made by mmap(2).
class Mapping {
 public:
  Mapping() = default;
  Mapping(Kernel& kernel, void* address, size_t length)
      : kernel_(&kernel), address_(static_cast<char*>(address)), length_(length) {}
  Mapping(Mapping&& other) noexcept
      : kernel_(other.kernel_),
        address_(std::exchange(other.address_, nullptr)),
        length_(std::exchange(other.length_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this != &other) {
      Reset();
      kernel_ = other.kernel_;
      address_ = std::exchange(other.address_, nullptr);
      length_ = std::exchange(other.length_, 0);
    }
    return *this;
  }
  ~Mapping() { Reset(); }

  char* data() const { return address_; }
  size_t size() const { return length_; }
  bool valid() const { return address_ != nullptr; }
  void Reset() {
    if (address_ != nullptr) (void)kernel_->munmap(std::exchange(address_, nullptr), length_);
    length_ = 0;
  }

 private:
  Kernel* kernel_ = nullptr;
  char* address_ = nullptr;
  size_t length_ = 0;
};

// A thread that is joined by its owner. Whoever makes it must be able to make `body` return.
class Thread {
 public:
  Thread() = default;
  Thread(Kernel& kernel, ThreadId id) : kernel_(&kernel), id_(id) {}
  Thread(Thread&& other) noexcept
      : kernel_(other.kernel_), id_(std::exchange(other.id_, ThreadId{})) {}
  Thread& operator=(Thread&& other) noexcept {
    if (this != &other) {
      Join();
      kernel_ = other.kernel_;
      id_ = std::exchange(other.id_, ThreadId{});
    }
    return *this;
  }
  ~Thread() { Join(); }

  bool joinable() const { return id_ != ThreadId{}; }
  void Join() {
    if (joinable()) kernel_->thread_join(std::exchange(id_, ThreadId{}));
  }

 private:
  Kernel* kernel_ = nullptr;
  ThreadId id_{};
};

inline TimePoint MonotonicNow(Kernel& kernel) {
  const timespec now = kernel.clock_gettime(CLOCK_MONOTONIC);
  return TimePoint(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace pollux
