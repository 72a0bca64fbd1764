#include "core/server/listing.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"

namespace pollux {
namespace {

// Blocks that one job reads before it goes to the end of the workers' queue.
constexpr size_t kBlocksPerJob = 4;

class ListingContent;

// What a job and its content know of each other; either may be gone first.
struct Link {
  ListingContent* content = nullptr;
};

// Ends on the loop thread, as jobs do whether they are done or dropped: share and folder go back to
// what only the loop may count in. The share not before a worker's memory did.
struct Listing {
  std::unique_ptr<ListingMemory::Share> share;
  ListingWork work;
};

class ListingJob final : public WorkerJob {
 public:
  // Reads up to `blocks` more, then writes if that was the rest or `write` says that it has to do.
  ListingJob(std::unique_ptr<Listing> listing, size_t blocks, bool write,
             std::shared_ptr<Link> link)
      : listing_(std::move(listing)), blocks_(blocks), write_(write), link_(std::move(link)) {}

  void RunOnWorker(Kernel& kernel) override {
    ListingWork& work = listing_->work;
    status_ = work.Gather(kernel, blocks_);
    if (status_ && (write_ || work.gathered())) status_ = work.Write(kernel);
  }
  void Done() override;

 private:
  std::unique_ptr<Listing> listing_;
  const size_t blocks_;
  const bool write_;
  const std::shared_ptr<Link> link_;
  Status status_;
};

class ListingContent final : public ContentSource {
 public:
  ListingContent(WorkerPool& workers, std::unique_ptr<Listing> listing)
      : workers_(workers), listing_(std::move(listing)), link_(std::make_shared<Link>()) {
    link_->content = this;
  }
  ~ListingContent() override { link_->content = nullptr; }

  Result<Outcome> Next(ContentPiece& piece, TransferWaiter& waiter) override {
    if (!status_) return Err(status_.error());
    if (!text_.empty()) {
      piece = {std::exchange(text_, std::string()), nullptr, 0, 0};
      return Outcome::kPiece;
    }
    // While a job runs the listing is with it.
    if (listing_ != nullptr && listing_->work.ended()) return Outcome::kEnd;
    waiter_ = &waiter;
    if (listing_ != nullptr) StartJob();
    return Outcome::kWaiting;
  }

  void OnJobDone(std::unique_ptr<Listing> listing, Status status) {
    listing_ = std::move(listing);
    status_ = status;
    ListingWork& work = listing_->work;
    listing_->share->KeepBlocks(work.blocks());
    text_ = work.TakeText();
    if (status_ && text_.empty() && !work.ended()) {
      StartJob();
      return;
    }
    waiter_->OnTransferReady();
  }

 private:
  void StartJob() {
    size_t blocks = 0;
    bool write = true;
    if (!listing_->work.begun()) {
      blocks = listing_->share->TakeBlocks(kBlocksPerJob);
      write = blocks == 0;
      if (write && first_job_) blocks = ListingMemory::kBaseBlocks;
    }
    first_job_ = false;
    workers_.Run(std::make_unique<ListingJob>(std::move(listing_), blocks, write, link_),
                 JobLength::kLong);
  }

  WorkerPool& workers_;
  std::unique_ptr<Listing> listing_;  // null while a job has it
  const std::shared_ptr<Link> link_;
  TransferWaiter* waiter_ = nullptr;
  Status status_;
  std::string text_;
  bool first_job_ = true;
};

void ListingJob::Done() {
  if (link_->content != nullptr) link_->content->OnJobDone(std::move(listing_), status_);
}

}  // namespace

std::unique_ptr<ListingMemory::Share> ListingMemory::TakeShare() {
  if (listings_left_ == 0) return nullptr;
  --listings_left_;
  return std::make_unique<Share>(*this);
}

ListingMemory::Share::~Share() {
  KeepBlocks(0);
  ++memory_.listings_left_;
}

size_t ListingMemory::Share::TakeBlocks(size_t wanted) {
  const uint64_t own_left = memory_.blocks_of_one_max_ - blocks_;
  const size_t taken = std::min<uint64_t>({wanted, own_left, memory_.blocks_left_});
  memory_.blocks_left_ -= taken;
  blocks_ += taken;
  return taken;
}

void ListingMemory::Share::KeepBlocks(size_t count) {
  if (count >= blocks_) return;  // those of the base are not counted
  memory_.blocks_left_ += blocks_ - count;
  blocks_ = count;
}

Lister::Lister(WorkerPool& workers, int root, Symlinks symlinks, uint64_t memory_max)
    : workers_(workers), root_(root), symlinks_(symlinks), memory_(memory_max) {}

std::unique_ptr<ContentSource> Lister::List(std::shared_ptr<OpenFile> folder,
                                            std::string opened_path, std::string shown_path,
                                            http::ListingFormat format, bool chunked) {
  std::unique_ptr<ListingMemory::Share> share = memory_.TakeShare();
  if (share == nullptr) return nullptr;
  FolderReader reader(std::move(folder), root_, std::move(opened_path), symlinks_);
  ListingWork work(std::move(reader), http::MakeListing(format), std::move(shown_path), chunked);
  return std::make_unique<ListingContent>(
      workers_, std::unique_ptr<Listing>(new Listing{std::move(share), std::move(work)}));
}

}  // namespace pollux
