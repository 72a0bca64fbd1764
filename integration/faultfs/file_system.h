// A folder, read-only, through FUSE (libfuse's fuse_lowlevel.h), with reads that go wrong by rule.
//
// One thread does everything: Run() sleeps in poll() until the kernel asks, a command comes on
// standard input, or a late answer is due. So a read that is held or delayed delays no other.
#pragma once

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "integration/faultfs/rules.h"

namespace pollux {

class FaultFileSystem final {
 public:
  // `folder`: an O_PATH descriptor, which stays the caller's.
  FaultFileSystem(int folder, std::vector<ReadRule> rules);
  ~FaultFileSystem();
  FaultFileSystem(const FaultFileSystem&) = delete;
  FaultFileSystem& operator=(const FaultFileSystem&) = delete;

  // Mounts it; what is wrong otherwise (libfuse has said more on standard error).
  std::optional<std::string> Mount(const std::string& where);
  // Serves until standard input ends, a signal comes (SIGINT, SIGTERM, SIGHUP) or it is unmounted.
  // Commands, a line each:
  //
  //   rule RULE   one rule more, in front of the others
  //   clear       no rules
  //   release     every read that is held is answered
  //
  // and for each read that was struck a line on standard output: "struck PATH OFFSET BYTES".
  void Run();

 private:
  using Clock = std::chrono::steady_clock;

  // A file or folder that the kernel has asked for; its number is its place here, from 1 on.
  struct Node {
    std::string path;                 // below the folder; "." for itself
    std::optional<uint64_t> cut_off;  // truncate= has struck: its length
  };
  struct Read {
    fuse_req_t request;
    fuse_ino_t node;
    int fd;
    size_t size;
    off_t offset;
  };
  struct LateRead {
    Read read;
    std::optional<Clock::time_point> due;  // nothing: held
  };

  static fuse_lowlevel_ops Operations();
  static FaultFileSystem& Of(fuse_req_t request);

  void Lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  void Getattr(fuse_req_t request, fuse_ino_t number);
  void Open(fuse_req_t request, fuse_ino_t number, fuse_file_info* info);
  void OnRead(const Read& read);
  void Answer(const Read& read, size_t size_max);
  void Readdir(fuse_req_t request, fuse_ino_t number, size_t size, off_t offset);

  fuse_ino_t NumberOf(const std::string& path);
  Node& NodeOf(fuse_ino_t number) { return nodes_[number - 1]; }
  // 0 or an errno.
  int Stat(fuse_ino_t number, struct stat* out);

  int SleepTime() const;  // milliseconds, -1 for ever
  void AnswerLateReads(bool held_too);
  bool TakeCommands();  // false at the end of standard input
  void Obey(const std::string& line);

  const int folder_;
  std::vector<ReadRule> rules_;
  std::vector<Node> nodes_;
  std::unordered_map<std::string, fuse_ino_t> numbers_;
  std::vector<LateRead> late_;
  std::string input_;
  fuse_session* session_ = nullptr;
  bool mounted_ = false;
};

}  // namespace pollux
