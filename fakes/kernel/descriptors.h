// What descriptors of the simulated process refer to. Internal to fakes/kernel.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fakes/kernel/connection.h"
#include "fakes/kernel/memory.h"
#include "fakes/kernel/page_cache.h"

namespace pollux::sim {

// A file: on disk (contents given, read-only), in memory, or a directory.
struct Inode {
  enum class Kind { kRegular, kMemory, kDirectory };
  Kind kind = Kind::kRegular;
  ObjectId object = 0;  // its contents, and what is cached of them; not those of a file in memory
  ino_t number = 0;
  std::string path;
  std::shared_ptr<const std::string> content;  // kRegular
  // Of pages that were in the page cache; null: none yet, and nobody refers to them.
  std::shared_ptr<std::vector<ZeroedBytes>> zeroed;
  uint64_t symbolic_bytes = 0;         // kRegular, if there is no content: its length
  std::unique_ptr<MemoryFile> memory;  // kMemory
  bool cached = false;                 // kRegular: its pages are in the page cache
  std::unique_ptr<PageCache> pages;    // kRegular, on a modelled disk: which of them
  time_t mtime = 0;

  const std::shared_ptr<std::vector<ZeroedBytes>>& Zeroed() {
    if (zeroed == nullptr) zeroed = std::make_shared<std::vector<ZeroedBytes>>();
    return zeroed;
  }
  size_t size() const {
    if (kind == Kind::kRegular) return content != nullptr ? content->size() : symbolic_bytes;
    return kind == Kind::kMemory ? memory->size() : 0;
  }
};

// An open file description: open(2) tells it from the descriptor that refers to it.
struct Description {
  enum class Kind { kFile, kConsole, kEventfd, kEpoll, kSocket, kListener, kConnection };
  Kind kind = Kind::kFile;
  ObjectId object = 0;
  int flags = 0;  // O_NONBLOCK, O_DIRECT, O_PATH, O_RDWR

  std::shared_ptr<Inode> inode;  // kFile
  size_t offset = 0;
  ReadAhead ahead;

  uint64_t counter = 0;  // kEventfd

  struct Watch {  // kEpoll
    int fd = -1;
    std::weak_ptr<Description> target;
    epoll_event event{};
  };
  std::vector<Watch> watches;
  size_t next_watch = 0;  // where the next scan starts

  sockaddr_storage address{};  // kSocket, kListener
  socklen_t address_length = 0;
  size_t send_capacity = 0;  // SO_SNDBUF; 0: the default
  size_t backlog_max = 0;
  std::deque<std::shared_ptr<Connection>> backlog;  // kListener

  std::shared_ptr<Connection> connection;  // kConnection

  // What it is as far as independence of steps goes.
  ObjectId object_touched() const { return connection != nullptr ? connection->object() : object; }
  bool nonblocking() const;
  short Readiness() const;
};

}  // namespace pollux::sim
