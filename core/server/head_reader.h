// What a connection needs while it reads requests: a buffer and a parser. Lent from a pool
// at the first byte and given back when no further one is there, so that idle connections cost
// neither.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "core/http/request.h"

namespace pollux {

// What the last recv brought, until it is parsed. It need not grow: parsers keep for themselves
// what they want of it, and have consumed all of it before they want more.
class InputBuffer {
 public:
  static constexpr size_t kBytes = 4096;

  std::string_view bytes() const { return {data_.data() + begin_, end_ - begin_}; }
  bool empty() const { return begin_ == end_; }
  void Consume(size_t count);
  void Clear() { begin_ = end_ = 0; }

  // Where kBytes may be received to, which Filled() then tells. Only while it is empty.
  char* room() { return data_.data(); }
  void Filled(size_t count);

 private:
  size_t begin_ = 0;
  size_t end_ = 0;
  std::array<char, kBytes> data_;
};

struct HeadReader {
  explicit HeadReader(const http::Limits& limits) : parser(limits) {}

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
