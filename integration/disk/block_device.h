// What stands on the modelled disk: a loop device with direct I/O, and ext4.
//
// Nothing here outlives its users: the loop device clears itself when nobody has it open
// (LO_FLAGS_AUTOCLEAR, loop(4)), and mounts are made in a namespace of their own
// (mount_namespace.h).
#pragma once

#include <cstdint>
#include <string>

#include "core/base/result.h"

namespace pollux::disk {

class LoopDevice {
 public:
  // Over the file at `path`, with blocks of 4 KiB, read ahead `read_ahead_bytes` at most.
  static Result<LoopDevice> Attach(const std::string& path, uint64_t read_ahead_bytes);
  LoopDevice(LoopDevice&& other) noexcept;
  LoopDevice& operator=(LoopDevice&&) = delete;
  ~LoopDevice();

  const std::string& path() const { return path_; }

 private:
  LoopDevice(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;
};

// mkfs.ext4 (e2fsprogs), laid out so that large files lie in one piece each.
Status MakeExt4(const std::string& device);
Status MountExt4(const std::string& device, const std::string& point);
// At once if nobody uses it, else when the last one has left.
void Unmount(const std::string& point);

}  // namespace pollux::disk
