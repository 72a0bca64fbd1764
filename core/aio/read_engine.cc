#include "core/aio/read_engine.h"

#include <algorithm>
#include <cerrno>

#include "core/base/check.h"

namespace pollux {

ReadEngine::ReadEngine(EventLoop& loop, WorkerPool& workers, std::unique_ptr<AioQueue> queue,
                       std::unique_ptr<ChunkPool> chunks, AioStats& stats)
    : loop_(loop),
      workers_(workers),
      stats_(stats),
      chunks_(std::move(chunks)),
      queue_(std::move(queue)),
      trim_([this] { TrimBlocked(); }) {
  queue_->set_owner(this);
}

ReadEngine::~ReadEngine() {
  CHECK(hungry_.empty() && blocked_.empty() && trimmed_.empty());  // no transfer is left
}

std::shared_ptr<FileReads> ReadEngine::Open(const std::shared_ptr<OpenFile>& file) {
  std::weak_ptr<FileReads>& known = files_[file->key];
  if (auto reads = known.lock()) return reads;
  auto reads = std::make_shared<FileReads>(file, chunks_->chunk_bytes());
  known = reads;
  // What nobody has open any more is swept when it makes up half of the table.
  if (files_.size() > 64 && files_.size() > files_swept_ * 2) {
    std::erase_if(files_, [](const auto& entry) { return entry.second.expired(); });
    files_swept_ = files_.size();
  }
  return reads;
}

ReadEngine::Window ReadEngine::window() const {
  const auto blocked = static_cast<unsigned>(blocked_.size() + trimmed_.size());
  const unsigned active = std::max(1u, streams_ - std::min(streams_, blocked));
  const unsigned chunks = std::clamp(chunks_->size() / active, 1u, kChunksMax);
  if (active > kFewStreams) return {std::min(chunks, kReadsOfMany), chunks};
  const unsigned least = chunk_bytes() < 1_MiB ? kReadsOfMany : kReadsMin;
  const unsigned reads = std::clamp(kReads / active, least, kReadsMax);
  return {std::min(chunks, (reads - 1) | 1), chunks};
}

Result<Chunk*> ReadEngine::Request(const std::shared_ptr<FileReads>& reads, uint64_t position,
                                   uint64_t end, Reader& user, Need need) {
  CHECK(position < end && end <= reads->file().size());
  if (reads->direct() == FileReads::Direct::kUnsupported) return Err(EOPNOTSUPP, "O_DIRECT");
  const uint64_t size = chunks_->chunk_bytes();
  const uint64_t chunk_start = position / size * size;
  const uint64_t chunk_end = std::min(end, chunk_start + size);

  if (Chunk* shared = reads->Find(position, chunk_end); shared != nullptr) {
    ++stats_.reads_shared;
    shared->users.push_back(&user);
    return shared;
  }
  // Those in line were first.
  if (!hungry_.empty() && need != Need::kTurn) return Err(ENOBUFS, "chunk budget");
  auto taken = TakeMemory(user, need);
  if (!taken) return taken;
  Chunk& chunk = **taken;
  const uint64_t alignment = std::max<uint64_t>(reads->alignment(), 4096);
  chunk.file = reads;
  chunk.begin = AlignDown(position, alignment);
  chunk.read_end = std::min(AlignUp(chunk_end, alignment), chunk_start + size);
  chunk.end = std::min(chunk.read_end, reads->file().size());
  chunk.filled = 0;
  chunk.users.push_back(&user);
  reads->Insert(chunk);
  StartRead(chunk);
  return &chunk;
}

Result<Chunk*> ReadEngine::TakeMemory(const Reader& asking, Need need) {
  for (;;) {
    auto taken = chunks_->Take();
    if (taken || taken.error().code != ENOBUFS) return taken;
    Reader* victim = Victim(asking, need);
    if (victim == nullptr) return taken;
    Leave(*victim);
    victim->DropChunks(0);
  }
}

// Those who have not read for long first; only then those who merely pause. Never the one that
// asks: its socket may have moved a moment ago, and it is about to send what it would lose.
Reader* ReadEngine::Victim(const Reader& asking, Need need) const {
  const auto not_asking = [&](const Reader* reader) { return reader != &asking; };
  auto found = std::find_if(trimmed_.begin(), trimmed_.end(), not_asking);
  if (found != trimmed_.end()) return *found;
  if (need == Need::kAhead) return nullptr;
  found = std::find_if(blocked_.begin(), blocked_.end(), not_asking);
  return found != blocked_.end() ? *found : nullptr;
}

void ReadEngine::StartRead(Chunk& chunk) {
  switch (chunk.file->direct()) {
    case FileReads::Direct::kUnknown:
      chunk.file->OpenDirect(workers_, chunk.file,
                             [this, reads = chunk.file] { OnDirectOpened(reads); });
      break;
    case FileReads::Direct::kOpening:
      break;  // OnDirectOpened finds it among the file's chunks
    case FileReads::Direct::kReady:
      QueueRead(chunk);
      break;
    case FileReads::Direct::kUnsupported:
      CHECK(false);  // Request refuses
  }
}

void ReadEngine::OnDirectOpened(const std::shared_ptr<FileReads>& reads) {
  // Before the users hear of it: what they ask for then may begin another try.
  const bool ready = reads->direct() == FileReads::Direct::kReady;
  const Error refused = reads->direct_error();
  for (Chunk* chunk : reads->chunks()) {
    if (chunk->state != ChunkState::kReading) continue;
    if (chunk->users.empty()) {
      Finish(*chunk, Error{ECANCELED, "read"});  // everybody went away in the meantime
    } else if (!ready) {
      Finish(*chunk, refused);
    } else if (chunk->begin % reads->alignment() == 0 &&
               chunk->read_end % reads->alignment() == 0) {
      QueueRead(*chunk);
    } else {
      // The alignment is more than the 4 KiB that were assumed: the next one will fit.
      Finish(*chunk, Error{EOPNOTSUPP, "O_DIRECT"});
    }
  }
}

void ReadEngine::QueueRead(Chunk& chunk) {
  // A continuation begins with the whole block in which the last read ended.
  const uint64_t done = AlignDown(chunk.filled, chunk.file->alignment());
  const uint64_t position = chunk.begin + done;
  const FileReads& file = *chunk.file;
  queue_->Enqueue({.chunk = &chunk,
                   .fd = file.direct_fd(),
                   .buffer = chunk.memory + done,
                   .length = chunk.read_end - position,
                   .offset = position,
                   .may_block = !chunk.warm || !file.LookedUp(position) || file.nowait_unknown()});
}

bool ReadEngine::OnWouldBlock(Chunk& chunk, int error) {
  if (error == EOPNOTSUPP) chunk.file->SetNowaitUnknown();
  if (!chunk.users.empty()) return true;
  Finish(chunk, Error{ECANCELED, "read"});  // nobody is left who wants it
  return false;
}

void ReadEngine::OnRead(Chunk& chunk, Result<size_t> result) {
  if (!result) {
    ++stats_.failed_reads;
    Finish(chunk, result.error());
    return;
  }
  const uint64_t asked_from = AlignDown(chunk.filled, chunk.file->alignment());
  const uint64_t filled = asked_from + *result;
  chunk.file->SetLookedUp(chunk.begin + asked_from);
  if (chunk.begin + filled >= chunk.end) {
    chunk.filled = filled;
    Finish(chunk, {});
  } else if (chunk.users.empty()) {
    Finish(chunk, Error{ECANCELED, "read"});  // nobody is left who wants the rest
  } else if (filled > chunk.filled) {
    ++stats_.short_reads;
    chunk.filled = filled;
    QueueRead(chunk);
  } else {
    // No byte more than before: the file is shorter than it was when it was opened. The promised
    // length cannot be met.
    ++stats_.failed_reads;
    Finish(chunk, Error{ENODATA, "read"});
  }
}

void ReadEngine::Finish(Chunk& chunk, Error error) {
  if (error.code == 0) {
    chunks_->SetReady(chunk);
  } else {
    chunks_->SetFailed(chunk, error);
  }
  // A user may release its chunks, and others', from inside the call.
  const std::vector<ChunkUser*> users = chunk.users;
  for (ChunkUser* user : users) {
    if (std::find(chunk.users.begin(), chunk.users.end(), user) == chunk.users.end()) continue;
    user->OnChunk(chunk);
  }
  if (users.empty()) FreeIfUnused(chunk);
}

void ReadEngine::Release(Chunk& chunk, Reader& user) {
  auto it = std::find(chunk.users.begin(), chunk.users.end(), &user);
  CHECK(it != chunk.users.end());
  chunk.users.erase(it);
  FreeIfUnused(chunk);
}

void ReadEngine::FreeIfUnused(Chunk& chunk) {
  if (!chunk.users.empty() || chunk.state == ChunkState::kReading) return;
  chunk.file->Erase(chunk);
  if (!chunks_->Free(chunk)) ++stats_.chunks_lost;
  if (!hungry_.empty()) loop_.Post(*this);
}

void ReadEngine::WaitForMemory(Reader& user, Place place) {
  Enter(user, Reader::List::kHungry, hungry_);
  if (place == Place::kFirst) hungry_.splice(hungry_.begin(), hungry_, user.place_);
}

void ReadEngine::RunJob() {
  while (!hungry_.empty()) {
    const bool evictable = !blocked_.empty() || !trimmed_.empty();
    const bool hopeless = chunks_->size() == 0;  // all are lost: each is told when it asks
    if (chunks_->free_count() == 0 && !evictable && !hopeless) break;
    Reader* user = hungry_.front();
    Leave(*user);
    user->OnTurn();
  }
}

void ReadEngine::SetBlocked(Reader& user) {
  if (user.list_ == Reader::List::kBlocked || user.list_ == Reader::List::kTrimmed) return;
  if (user.chunks_held() == 0) return;  // nothing to take from it
  Enter(user, Reader::List::kBlocked, blocked_);
  user.blocked_since_ = loop_.now();
  if (!trim_.armed()) loop_.timers().Arm(trim_, loop_.now() + kBlockedGrace);
  if (!hungry_.empty()) loop_.Post(*this);
}

void ReadEngine::SetUnblocked(Reader& user) { Leave(user); }

void ReadEngine::TrimBlocked() {
  while (!blocked_.empty()) {
    Reader* user = blocked_.front();
    const TimePoint due = user->blocked_since_ + kBlockedGrace;
    if (due > loop_.now()) {
      loop_.timers().Arm(trim_, due);
      return;
    }
    Enter(*user, Reader::List::kTrimmed, trimmed_);
    user->DropChunks(1);
  }
}

std::list<Reader*>& ReadEngine::ListOf(Reader::List which) {
  switch (which) {
    case Reader::List::kHungry:
      return hungry_;
    case Reader::List::kBlocked:
      return blocked_;
    case Reader::List::kTrimmed:
      return trimmed_;
    case Reader::List::kNone:
      break;
  }
  CHECK(false);
}

void ReadEngine::Leave(Reader& user) {
  if (user.list_ == Reader::List::kNone) return;
  ListOf(user.list_).erase(user.place_);
  user.list_ = Reader::List::kNone;
}

void ReadEngine::Enter(Reader& user, Reader::List which, std::list<Reader*>& list) {
  Leave(user);
  list.push_back(&user);
  user.place_ = std::prev(list.end());
  user.list_ = which;
}

}  // namespace pollux
