// multipart/byteranges (RFC 9110 §14.6): what stands between the parts of a file.
//
// Nothing is kept but the ranges, whose number --max-ranges bounds: each part's head is made when
// its turn comes, so an answer costs no more memory the more parts it has sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/http/range.h"

namespace pollux::http {

// A boundary of 32 hexadecimal digits that depends on every argument. That it is not in the content
// is not looked up but likely beyond doubt (RFC 2046 §5.1.1 asks for no more): the file's author
// would have to know the second in which somebody asks, and could mislead only who reads the file.
std::string MakeBoundary(std::string_view etag, int64_t now);

class MultipartRanges {
 public:
  // At least two ranges, each within `size`; `content_type` is each part's, and outlives nothing:
  // it is copied.
  MultipartRanges(std::vector<ByteRange> ranges, uint64_t size, std::string_view content_type,
                  std::string boundary);

  size_t parts() const { return ranges_.size(); }
  const ByteRange& range(size_t part) const { return ranges_[part]; }

  // "multipart/byteranges; boundary=..."
  std::string ContentType() const;

  // Of the whole content: heads, ranges and the end. No sum wraps: ranges that sum up to more than
  // the file are no ranges (ParseRange), and a file has at most 2^63 bytes.
  uint64_t ContentLength() const;

  // What precedes range(part): the delimiter and the part's head.
  std::string PartHead(size_t part) const;

  // What follows the last range.
  std::string End() const;

 private:
  const std::vector<ByteRange> ranges_;
  const uint64_t size_;
  const std::string content_type_;
  const std::string boundary_;
};

}  // namespace pollux::http
