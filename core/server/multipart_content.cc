#include "core/server/multipart_content.h"

#include <utility>

namespace pollux {

MultipartContent::MultipartContent(http::MultipartRanges ranges, std::shared_ptr<OpenFile> file)
    : ranges_(std::move(ranges)), file_(std::move(file)) {}

Result<ContentSource::Outcome> MultipartContent::Next(ContentPiece& piece, TransferWaiter&) {
  if (next_ > ranges_.parts()) return Outcome::kEnd;
  const size_t part = next_++;
  if (part == ranges_.parts()) {
    piece = {ranges_.End(), nullptr, 0, 0};
  } else {
    const http::ByteRange& range = ranges_.range(part);
    piece = {ranges_.PartHead(part), file_, range.offset, range.length};
  }
  return Outcome::kPiece;
}

}  // namespace pollux
