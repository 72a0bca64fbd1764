// What a connection needs while it reads requests: a bounded buffer and a parser. Lent from a pool
// at the first byte and given back when no further one is there, so that idle connections cost
// neither.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "core/http/request.h"

namespace pollux {

// Bytes between `begin` and `end` wait to be parsed; grows by doubling up to its limit.
class InputBuffer {
 public:
  static constexpr size_t kInitialBytes = 4096;

  explicit InputBuffer(size_t bytes_max);

  std::string_view bytes() const { return {data_.get() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  void Consume(size_t count);
  void Clear() { begin_ = end_ = 0; }

  // Room behind the bytes, at least half of what there is while that can be had by moving. Makes
  // some by moving or growing; none is left only at the limit.
  size_t MakeRoom();
  char* room() { return data_.get() + end_; }
  void Filled(size_t count) { end_ += count; }

 private:
  size_t bytes_max_;
  size_t capacity_ = kInitialBytes;
  size_t begin_ = 0;
  size_t end_ = 0;
  std::unique_ptr<char[]> data_;
};

struct HeadReader {
  explicit HeadReader(const http::Limits& limits)
      : input(limits.head_bytes_max + InputBuffer::kInitialBytes), parser(limits) {}

  InputBuffer input;
  http::RequestParser parser;
};

class HeadReaderPool {
 public:
  explicit HeadReaderPool(const http::Limits& limits) : limits_(limits) {}

  std::unique_ptr<HeadReader> Take();
  void GiveBack(std::unique_ptr<HeadReader> reader);  // a null one is ignored

 private:
  static constexpr size_t kSparesMax = 64;

  http::Limits limits_;
  std::vector<std::unique_ptr<HeadReader>> spares_;
};

}  // namespace pollux
