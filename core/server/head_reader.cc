#include "core/server/head_reader.h"

#include <utility>

#include "core/base/check.h"

namespace pollux {

void InputBuffer::Filled(size_t count) {
  CHECK(empty() && count <= kBytes);
  begin_ = 0;
  end_ = count;
}

void InputBuffer::Consume(size_t count) {
  CHECK(count <= end_ - begin_);
  begin_ += count;
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
