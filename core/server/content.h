// The content of an answer, piece by piece, where it is more than one range of one file: the parts
// of multipart/byteranges, the entries of a folder.
//
// Only one piece exists at a time, and the next is made when the socket has taken the last one: an
// answer's memory does not grow with its length, and a client that does not read costs no work.
// Threads: loop thread only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/aio/backend.h"
#include "core/aio/open_file.h"

namespace pollux {

// `bytes`, then `length` bytes of `file` from `offset`.
struct ContentPiece {
  std::string bytes;
  std::shared_ptr<OpenFile> file;  // null: all is in `bytes`
  uint64_t offset = 0;             // bytes
  uint64_t length = 0;             // bytes
};

class ContentSource {
 public:
  enum class Outcome {
    kPiece,    // `piece` is filled
    kWaiting,  // call again after OnTransferReady
    kEnd,      // that was all
  };
  virtual ~ContentSource() = default;

  // An error means that the content cannot be completed: close the connection. `waiter` outlives
  // the source; destroying the source at any moment is safe, and it calls nobody after that.
  virtual Result<Outcome> Next(ContentPiece& piece, TransferWaiter& waiter) = 0;
};

}  // namespace pollux
