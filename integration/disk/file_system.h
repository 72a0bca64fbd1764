// A FUSE file system (libfuse3, low level) of three files:
//
//   disk   what a block device is made of. Reads are answered when the model says; writes at once,
//          so that filling it is fast.
//   model  the model's words as of ParseShape (fakes/disk/shape.h), such as raid1-2006 or none:
//          write them to change it, at any time. `held` is a disk that answers no read until
//          another model is written: who waits for it waits, and who does not is seen not to.
//   reads  what the model has served since then: lines "pieces N", "reads N", "bytes N".
//
// Seeks are measured against the size of `disk`. The contents lie in a sparse file, and zeros are
// holes in it: files of zeros cost no space and no time.
//
// Threads: requests are taken by the thread that calls Serve, reads answered by the array's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "integration/disk/paced_array.h"

namespace pollux::disk {

class FileSystem {
 public:
  static constexpr std::string_view kHeld = "held";

  // `backing`: a descriptor of a file of `bytes` bytes, open for both. `words`: the model to begin
  // with; must be understood by ParseShape.
  FileSystem(int backing, uint64_t bytes, const std::string& words);

  // Mounts it on the folder `point`, calls `ready` once requests will be answered, and returns when
  // it was unmounted. False: it could not be mounted, libfuse has said why on standard error.
  bool Serve(const std::string& point, const std::function<void()>& ready);

  // What the operations need.
  int backing() const { return backing_; }
  uint64_t bytes() const { return bytes_; }
  PacedArray& array() { return array_; }
  const std::string& words() const { return words_; }
  // False: no such model, neither of ParseShape nor kHeld.
  bool SetModel(const std::string& words);

 private:
  const int backing_;
  const uint64_t bytes_;
  std::string words_;
  PacedArray array_;
};

}  // namespace pollux::disk
