// How descriptors (RLIMIT_NOFILE) are shared out between connections and open files.
//
// A connection holds one for its socket, an open file up to two (its own, and that of its direct
// reads or a folder's listing). Both draw on one pool, but a reserve is kept for files: connections
// that only wait could otherwise take every descriptor, and those that are served be told 503. Who
// gets no file now waits for one (FileOpener), as who gets no connection waits in the backlog.
//
// A file whose answer a client can draw out is "lasting". A part is kept for those that are not:
// clients that hardly read hold up those who want what is large, never the small files.
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
  // Of the reserve a quarter, and this at most, is for files that do not last.
  static constexpr size_t kBriefMax = 16 * kPerFile;

  // `descriptors`: what connections and files may hold, all together.
  explicit DescriptorBudget(size_t descriptors)
      : total_(std::max(descriptors, kPerFile + 1)),
        reserve_(std::max(kPerFile,
                          std::min(total_ / 2, std::max(total_ / kReserveShare, kReserveMin)))),
        brief_(std::min(reserve_ / 4, kBriefMax)) {}
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

  // For a file that was taken: false if it may not last now, likewise.
  bool RoomForLasting() const {
    return connections_ + (lasting_ + 1) * kPerFile <= total_ - brief_ || lasting_ == 0;
  }
  void AddLasting() { ++lasting_; }
  void RemoveLasting() { --lasting_; }

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
  const size_t brief_;
  size_t connections_ = 0;
  size_t files_ = 0;
  size_t lasting_ = 0;  // of them
  std::function<void()> for_files_;
  std::function<void()> for_connections_;
};

// The place of one open file in the budget, from before its open() to after its close().
class FilePermit {
 public:
  FilePermit() = default;
  explicit FilePermit(DescriptorBudget& taken_from) : budget_(&taken_from) {}
  FilePermit(FilePermit&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)),
        lasting_(std::exchange(other.lasting_, false)) {}
  FilePermit& operator=(FilePermit&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(lasting_, other.lasting_);
    return *this;
  }
  ~FilePermit() {
    if (budget_ == nullptr) return;
    if (lasting_) budget_->RemoveLasting();
    budget_->ReturnFile();
  }

  // False if the file may not last now.
  bool MakeLasting() {
    if (lasting_ || budget_ == nullptr) return true;
    if (!budget_->RoomForLasting()) return false;
    budget_->AddLasting();
    lasting_ = true;
    return true;
  }
  bool lasting() const { return lasting_; }

 private:
  DescriptorBudget* budget_ = nullptr;
  bool lasting_ = false;
};

}  // namespace pollux
