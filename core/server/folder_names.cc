#include "core/server/folder_names.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/http/name_order.h"

namespace pollux {
namespace {

constexpr size_t kPrefixBytes = 3;

FolderName NameAt(std::string_view bytes, uint32_t offset) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[offset + i]); };
  const size_t size = static_cast<size_t>(byte(1)) << 8 | byte(2);
  return {bytes.substr(offset + kPrefixBytes, size), byte(0) != 0};
}

bool Before(const FolderName& a, const FolderName& b) {
  if (a.folder != b.folder) return a.folder;
  return http::NameBefore(a.name, b.name);
}

}  // namespace

void NameBlock::Add(std::string_view name, bool folder) {
  CHECK(name.size() <= UINT16_MAX);  // d_reclen has 16 bits
  offsets_.push_back(static_cast<uint32_t>(bytes_.size()));
  bytes_ += static_cast<char>(folder);
  bytes_ += static_cast<char>(name.size() >> 8);
  bytes_ += static_cast<char>(name.size() & 0xff);
  bytes_ += name;
}

FolderName NameBlock::at(size_t i) const { return NameAt(bytes_, offsets_[i]); }

void NameBlock::Sort() {
  std::sort(offsets_.begin(), offsets_.end(), [this](uint32_t a, uint32_t b) {
    return Before(NameAt(bytes_, a), NameAt(bytes_, b));
  });
  bytes_.shrink_to_fit();
  offsets_.shrink_to_fit();
}

void NameMerge::Add(NameBlock block) {
  if (block.size() == 0) return;
  // A merge that is empty again has no use for its old cursors.
  if (heap_.empty()) cursors_.clear();
  cursors_.push_back({std::move(block), 0});
  heap_.push_back(cursors_.size() - 1);
  std::push_heap(heap_.begin(), heap_.end(), [this](size_t a, size_t b) { return After(a, b); });
}

bool NameMerge::After(size_t a, size_t b) const {
  return Before(cursors_[b].block.at(cursors_[b].next), cursors_[a].block.at(cursors_[a].next));
}

FolderName NameMerge::top() const {
  const Cursor& cursor = cursors_[heap_.front()];
  return cursor.block.at(cursor.next);
}

void NameMerge::Pop() {
  const auto after = [this](size_t a, size_t b) { return After(a, b); };
  std::pop_heap(heap_.begin(), heap_.end(), after);
  Cursor& cursor = cursors_[heap_.back()];
  if (++cursor.next == cursor.block.size()) {
    cursor.block = NameBlock();
    heap_.pop_back();
  } else {
    std::push_heap(heap_.begin(), heap_.end(), after);
  }
}

}  // namespace pollux
