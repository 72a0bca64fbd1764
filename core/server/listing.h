// Listings of folders (--listing): read, sorted and written by workers, sent as they are written.
//
// Who reads a sorted page needs all names before the first line, so a folder is read first, block
// by block (folder_names.h), in jobs of a few blocks each; its first failure still has a status of
// its own. Then each job looks at some hundred entries and writes them into a piece of kPieceBytes,
// and the next one begins when the client has taken that: neither the loop nor a worker is held for
// long, and who does not read costs nothing more.
//
// What it costs: eight bytes beside each name until it is sent, 3 to 4 MB for 100,000 names of
// usual length. --listing-memory is the bound for all listings together. Half of it is for names.
// One listing takes at most half of that; where no more can be had, what was read so far is merged
// and the rest follows in the folder's own order, block by block: longer folders cost no more
// memory, only their order ("sorted": false, and a note on the page). Rejected: refusing such
// folders (a mirror has them), sorting in temporary files (for pages that nobody reads to the end).
// The other half is for what every listing holds, kBaseBytes; when it is used up the answer is 503.
//
// Threads: loop thread only, but for ListingWork.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "core/event/worker_pool.h"
#include "core/http/listing.h"
#include "core/server/content.h"
#include "core/server/folder_reader.h"

namespace pollux {

// What all listings may hold, counted in advance.
class ListingMemory {
 public:
  // Names and their places of one read.
  static constexpr uint64_t kBlockBytes = FolderReader::kReadBytes + 8_KiB;
  // One that holds a small folder, sorted however short memory is, and the read that finds its end.
  static constexpr size_t kBaseBlocks = 2;
  // A piece as it is written and as it is sent, and kBaseBlocks.
  static constexpr uint64_t kBaseBytes = kBaseBlocks * kBlockBytes + 80_KiB;

  explicit ListingMemory(uint64_t bytes_max)
      : listings_left_(bytes_max / 2 / kBaseBytes),
        blocks_left_(bytes_max / 2 / kBlockBytes),
        blocks_of_one_max_(blocks_left_ / 2) {}

  // One listing's part; what is left of it goes back when it ends.
  class Share {
   public:
    explicit Share(ListingMemory& memory) : memory_(memory) {}
    ~Share();
    Share(const Share&) = delete;
    Share& operator=(const Share&) = delete;
    // As many blocks as there are, up to `wanted`.
    size_t TakeBlocks(size_t wanted);
    // Those that are no longer needed go back.
    void KeepBlocks(size_t count);

   private:
    ListingMemory& memory_;
    size_t blocks_ = 0;
  };
  // Null if no further listing can be held. Must not outlive this.
  std::unique_ptr<Share> TakeShare();

  uint64_t listings_left() const { return listings_left_; }
  uint64_t blocks_left() const { return blocks_left_; }

 private:
  uint64_t listings_left_;
  uint64_t blocks_left_;
  uint64_t blocks_of_one_max_;
};

// A listing's work and where it stands. Belongs to one thread at a time; ends on the loop thread.
class ListingWork {
 public:
  static constexpr size_t kPieceBytes = 32_KiB;
  // Entries that one job looks at, listed or not.
  static constexpr size_t kEntriesPerJob = 512;

  // `path` as the page shows it. `chunked`: the text is in the chunked coding (RFC 9112 §7.1).
  ListingWork(FolderReader reader, std::unique_ptr<http::ListingWriter> writer, std::string path,
              bool chunked);

  // Worker: adds at most so many blocks of names.
  Status Gather(Kernel& kernel, size_t blocks);
  // Worker: the next piece, into text(). It may be empty although there is more to come.
  Status Write(Kernel& kernel);

  bool gathered() const { return gathered_; }  // every name was read
  bool begun() const { return begun_; }        // something was written
  bool ended() const { return ended_; }        // everything was written
  size_t blocks() const { return names_.blocks(); }
  std::string TakeText() { return std::move(text_); }

 private:
  Status AddEntry(Kernel& kernel, std::string& page);

  FolderReader reader_;
  std::unique_ptr<http::ListingWriter> writer_;
  std::string path_;
  bool chunked_;
  NameMerge names_;
  bool gathered_ = false;
  bool begun_ = false;
  bool ended_ = false;
  std::string text_;
};

class Lister {
 public:
  // `root` must outlive it, and it every source it made and every job of `workers`.
  Lister(WorkerPool& workers, int root, Symlinks symlinks, uint64_t memory_max);

  // `folder` was opened as `opened_path`, relative to the root; `shown_path` is the request's. Null
  // if there is no memory for one more. Errors of the source's first piece are FolderReader's.
  std::unique_ptr<ContentSource> List(std::shared_ptr<OpenFile> folder, std::string opened_path,
                                      std::string shown_path, http::ListingFormat format,
                                      bool chunked);

  ListingMemory& memory() { return memory_; }

 private:
  WorkerPool& workers_;
  const int root_;
  const Symlinks symlinks_;
  ListingMemory memory_;
};

}  // namespace pollux
