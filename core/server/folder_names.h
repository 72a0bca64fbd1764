// The names of a folder's entries, in few bytes and in order: folders first, then as
// http::NameBefore has it.
//
// A folder is read block by block, each block is sorted by itself, and the blocks are merged while
// the listing is written: no step works on more than a block, and a name costs its bytes and eight
// more until it was written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pollux {

struct FolderName {
  std::string_view name;
  bool folder = false;
};

// What one read of a folder gave.
class NameBlock {
 public:
  void Add(std::string_view name, bool folder);
  void Sort();

  size_t size() const { return offsets_.size(); }
  FolderName at(size_t i) const;  // valid until the next Add

 private:
  std::string bytes_;              // for each name: a byte 1 for a folder, two for its length, it
  std::vector<uint32_t> offsets_;  // into bytes_
};

class NameMerge {
 public:
  // Sorted already.
  void Add(NameBlock block);

  bool empty() const { return heap_.empty(); }
  size_t blocks() const { return heap_.size(); }  // that still have names
  FolderName top() const;                         // valid until Pop or Add
  void Pop();                                     // frees a block with its last name

 private:
  struct Cursor {
    NameBlock block;
    size_t next = 0;
  };
  bool After(size_t a, size_t b) const;

  std::vector<Cursor> cursors_;
  std::vector<size_t> heap_;  // of cursors_ that have names left, the first name's on top
};

}  // namespace pollux
