// How descriptors (RLIMIT_NOFILE) are shared out between connections and open files.
//
// A connection holds one for its socket, an open file up to two (its own, and that of its direct
// reads or a folder's listing). Both draw on one pool, but a reserve is kept for files: connections
// that only wait could otherwise take every descriptor, and those that are served be told 503. Who
// gets no file now waits for one (FileOpener), as who gets no connection waits in the backlog.
//
// Loop thread only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace pollux {

class DescriptorBudget {
 public:
  static constexpr size_t kPerFile = 2;
  // Of the pool, for files alone; but never more than half of a small one.
  static constexpr size_t kReserveShare = 16;
  static constexpr size_t kReserveMin = 4 * kPerFile;

  // `descriptors`: what connections and files may hold, all together.
  explicit DescriptorBudget(size_t descriptors)
      : total_(std::max(descriptors, kPerFile + 1)),
        reserve_(std::max(kPerFile,
                          std::min(total_ / 2, std::max(total_ / kReserveShare, kReserveMin)))) {}
  DescriptorBudget(const DescriptorBudget&) = delete;
  DescriptorBudget& operator=(const DescriptorBudget&) = delete;

  // Descriptors for that many connections and their reserve.
  static uint64_t NeededFor(uint64_t connections) {
    return connections + std::max<uint64_t>(connections / (kReserveShare - 1) + 1, kReserveMin);
  }
  // While no file is open.
  size_t connections_max() const { return total_ - reserve_; }
  bool RoomForConnection() const { return connections_ + files_ * kPerFile < total_ - reserve_; }
  void AddConnection() { ++connections_; }  // also beyond the budget: it was accepted already
  void RemoveConnection() {
    --connections_;
    Freed();
  }

  // False: to be tried again when something was freed.
  bool TakeFile() {
    if (connections_ + (files_ + 1) * kPerFile > total_ && files_ > 0) return false;
    ++files_;
    return true;
  }
  void ReturnFile() {
    --files_;
    Freed();
  }
  size_t files() const { return files_; }

  // Called after each return, from deep within whatever returned it: may post, not act. One for
  // files, one for connections.
  void SetOnFreed(std::function<void()> for_files, std::function<void()> for_connections) {
    for_files_ = std::move(for_files);
    for_connections_ = std::move(for_connections);
  }

 private:
  void Freed() {
    if (for_files_) for_files_();
    if (for_connections_) for_connections_();
  }

  const size_t total_;
  const size_t reserve_;
  size_t connections_ = 0;
  size_t files_ = 0;
  std::function<void()> for_files_;
  std::function<void()> for_connections_;
};

// The place of one open file in the budget, from before its open() to after its close().
class FilePermit {
 public:
  FilePermit() = default;
  explicit FilePermit(DescriptorBudget& taken_from) : budget_(&taken_from) {}
  FilePermit(FilePermit&& other) noexcept : budget_(std::exchange(other.budget_, nullptr)) {}
  FilePermit& operator=(FilePermit&& other) noexcept {
    std::swap(budget_, other.budget_);
    return *this;
  }
  ~FilePermit() {
    if (budget_ != nullptr) budget_->ReturnFile();
  }

 private:
  DescriptorBudget* budget_ = nullptr;
};

}  // namespace pollux
