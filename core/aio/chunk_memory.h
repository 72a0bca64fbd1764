// Where the bytes of chunks live, and what it takes to use a chunk's memory again.
//
// Two ways to hand bytes to a socket differ in one respect that decides everything:
//   by copy (send):          the kernel has its own copy when the call returns. Reuse is safe.
//   by reference (sendfile): the socket holds the *pages* until the peer has consumed them. Writing
//                            to them changes bytes that were "sent". Nothing that user space can
//                            ask (SIOCOUTQ, an ACK) says when that is over: measured on loopback
//                            and over veth, where the receiver's queue shares the same pages.
// So pages that went out by reference are single-use: the hole is punched (the file gets new pages,
// the socket keeps the old) or the whole file is replaced. MSG_ZEROCOPY, the kernel's only answer
// to "when may I reuse?", copies on loopback and does not serve sendfile(): rejected for now.
//
// Punching is exact only for whole folios: a partial one is zeroed in place, under the socket's
// nose. Chunks are therefore whole multiples of 4 KiB on a mapping with MADV_NOHUGEPAGE.
//
// No CPU ever stores into or loads from a shared-memory chunk, so that an exhausted /dev/shm shows
// as EFAULT of a read, not as SIGBUS. Threads: loop thread; the kernel's DMA in between.
#pragma once

#include <memory>
#include <string>

#include "core/aio/backend.h"
#include "core/aio/chunk.h"
#include "core/sys/kernel.h"

namespace pollux {

class ChunkMemory {
 public:
  virtual ~ChunkMemory() = default;

  // Gives the chunk memory to read into: sets memory, shm_fd and shm_offset. ENOMEM, ENOSPC,
  // EMFILE.
  virtual Status Provide(Chunk& chunk) = 0;

  // The chunk went out by reference and nothing aims at it any more. After success its memory may
  // be provided again; after an error it must never be used again.
  virtual Status Retire(Chunk& chunk) = 0;

  // Sent with sendfile() from shm_fd (true) or with send() from memory (false).
  virtual bool by_reference() const = 0;
};

// Anonymous memory for linux-aio-write: `count` chunks, reused, on huge pages where there are any.
Result<std::unique_ptr<ChunkMemory>> MakeCopyMemory(Kernel& kernel, uint64_t chunk_bytes,
                                                    uint32_t count);

// Shared memory for linux-aio-sendfile. An empty `shm_dir` means memfd_create(2); else an unlinked
// file in that directory (2006: /dev/shm, which a container limits to 64 MB).
Result<std::unique_ptr<ChunkMemory>> MakeShmMemory(Kernel& kernel, uint64_t chunk_bytes,
                                                   uint32_t count, Retire retire,
                                                   const std::string& shm_dir);

}  // namespace pollux
