#include "core/server/head_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/base/check.h"

namespace pollux {

InputBuffer::InputBuffer(size_t bytes_max)
    : bytes_max_(std::max(bytes_max, kInitialBytes)), data_(new char[kInitialBytes]) {}

void InputBuffer::Consume(size_t count) {
  CHECK(count <= end_ - begin_);
  begin_ += count;
  if (begin_ == end_) Clear();
}

size_t InputBuffer::MakeRoom() {
  const size_t room = capacity_ - end_;
  if (room >= capacity_ / 2 || (room > 0 && begin_ == 0)) return room;
  if (begin_ > 0) {
    std::memmove(data_.get(), data_.get() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  } else if (capacity_ < bytes_max_) {
    const size_t capacity = std::min(capacity_ * 2, bytes_max_);
    std::unique_ptr<char[]> data(new char[capacity]);
    std::memcpy(data.get(), data_.get(), end_);
    data_ = std::move(data);
    capacity_ = capacity;
  }
  return capacity_ - end_;
}

std::unique_ptr<HeadReader> HeadReaderPool::Take() {
  if (spares_.empty()) return std::make_unique<HeadReader>(limits_);
  std::unique_ptr<HeadReader> reader = std::move(spares_.back());
  spares_.pop_back();
  return reader;
}

void HeadReaderPool::GiveBack(std::unique_ptr<HeadReader> reader) {
  if (reader == nullptr || spares_.size() >= kSparesMax) return;
  reader->input.Clear();
  reader->parser.Reset();
  spares_.push_back(std::move(reader));
}

}  // namespace pollux
