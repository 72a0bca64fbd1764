// The part of a listing that runs on workers.
#include <charconv>
#include <utility>

#include "core/server/listing.h"

namespace pollux {
namespace {

// RFC 9112 §7.1. Not for empty data: that would be the last chunk.
void AppendChunk(std::string_view data, std::string& out) {
  char digits[16];
  const auto end = std::to_chars(digits, digits + sizeof digits, data.size(), 16).ptr;
  out.append(digits, end).append("\r\n").append(data).append("\r\n");
}

}  // namespace

ListingWork::ListingWork(FolderReader reader, std::unique_ptr<http::ListingWriter> writer,
                         std::string path, bool chunked)
    : reader_(std::move(reader)),
      writer_(std::move(writer)),
      path_(std::move(path)),
      chunked_(chunked) {}

Status ListingWork::Gather(Kernel& kernel, size_t blocks) {
  for (size_t i = 0; i < blocks && !gathered_; ++i) {
    NameBlock block;
    const Result<bool> more = reader_.ReadBlock(kernel, block);
    if (!more) return Err(more.error());
    gathered_ = !*more;
    names_.Add(std::move(block));
  }
  return {};
}

Status ListingWork::Write(Kernel& kernel) {
  std::string page;
  if (!std::exchange(begun_, true)) writer_->Begin(path_, /*sorted=*/gathered_, page);
  for (size_t i = 0; i < kEntriesPerJob && page.size() < kPieceBytes && !ended_; ++i) {
    if (!names_.empty()) {
      if (const Status s = AddEntry(kernel, page); !s) return s;
    } else if (!gathered_) {
      // Too many to sort: one block at a time, and as many of them as a job has entries at most.
      if (const Status s = Gather(kernel, 1); !s) return s;
    } else {
      writer_->End(page);
      ended_ = true;
    }
  }
  if (!chunked_) {
    text_ = std::move(page);
    return {};
  }
  text_.clear();
  if (!page.empty()) AppendChunk(page, text_);
  if (ended_) text_ += "0\r\n\r\n";
  return {};
}

Status ListingWork::AddEntry(Kernel& kernel, std::string& page) {
  const std::string_view name = names_.top().name;
  const auto details = reader_.Look(kernel, name);
  if (!details) return Err(details.error());
  if (*details) {
    writer_->Add({name, (*details)->folder, (*details)->size, (*details)->modified}, page);
  }
  names_.Pop();
  return {};
}

}  // namespace pollux
