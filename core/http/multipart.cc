#include "core/http/multipart.h"

#include <utility>

#include "core/base/check.h"

namespace pollux::http {
namespace {

constexpr size_t kBoundaryDigits = 32;

// FNV-1a with a finaliser (splitmix64's), so that neighbouring seconds share no digits.
uint64_t Mix(uint64_t hash, std::string_view text) {
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  }
  hash = (hash ^ hash >> 30) * 0xbf58476d1ce4e5b9u;
  hash = (hash ^ hash >> 27) * 0x94d049bb133111ebu;
  return hash ^ hash >> 31;
}

}  // namespace

std::string MakeBoundary(std::string_view etag, int64_t now) {
  static constexpr char kHex[] = "0123456789abcdef";
  const std::string text = std::to_string(now).append(etag);
  uint64_t halves[2];
  halves[0] = Mix(0xcbf29ce484222325u, text);
  halves[1] = Mix(halves[0], text);
  std::string boundary;
  boundary.reserve(kBoundaryDigits);
  for (const uint64_t half : halves) {
    for (int shift = 60; shift >= 0; shift -= 4) boundary.push_back(kHex[half >> shift & 15]);
  }
  return boundary;
}

MultipartRanges::MultipartRanges(std::vector<ByteRange> ranges, uint64_t size,
                                 std::string_view content_type, std::string boundary)
    : ranges_(std::move(ranges)),
      size_(size),
      content_type_(content_type),
      boundary_(std::move(boundary)) {
  CHECK(ranges_.size() >= 2);
}

std::string MultipartRanges::ContentType() const {
  return "multipart/byteranges; boundary=" + boundary_;
}

uint64_t MultipartRanges::ContentLength() const {
  uint64_t length = End().size();
  for (size_t part = 0; part < ranges_.size(); ++part) {
    length += PartHead(part).size() + ranges_[part].length;
  }
  return length;
}

std::string MultipartRanges::PartHead(size_t part) const {
  std::string head = part == 0 ? "--" : "\r\n--";
  head.append(boundary_).append("\r\nContent-Type: ").append(content_type_);
  head.append("\r\nContent-Range: ").append(ContentRange(ranges_[part], size_));
  return head.append("\r\n\r\n");
}

std::string MultipartRanges::End() const { return "\r\n--" + boundary_ + "--\r\n"; }

}  // namespace pollux::http
