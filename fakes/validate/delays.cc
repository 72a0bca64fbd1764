// Goal: how long a completion waits for its dispatch when nobody helps or hinders: direct reads of
// a real file, the socket side idle, so that only the coordination can wake the loop.
//
// Method: the completion itself is timed by an observer thread that watches the tail of the AIO
// ring, which the kernel shares with the process: entry n of the ring is the n-th completion, and
// the n-th to be dispatched. The observer needs a processor of its own; on two processors the loop,
// the helper and the interrupts share the other one, what the observer itself was late by is
// missing from the figures, and a read that was dispatched before the observer saw it has none.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>

#include "fakes/validate/measure.h"

namespace pollux::validate {
namespace {

constexpr size_t kReadBytes = 512 * 1024;
constexpr size_t kAlignment = 4096;
constexpr size_t kReadsMax = 1 << 20;  // of one measurement

// The head of the ring in the mapping that io_context_t points to (fs/aio.c; libaio and fio rely on
// it as well).
struct AioRing {
  unsigned id;
  unsigned nr;  // entries
  unsigned head;
  unsigned tail;
  unsigned magic;
};
constexpr unsigned kAioRingMagic = 0xa10a10a1;

class Observer {
 public:
  Observer(io_context_t context, Rig& rig) : rig_(rig), seen_(kReadsMax) {
    ring_ = reinterpret_cast<AioRing*>(context);
    if (ring_->magic != kAioRingMagic) Die("this kernel's AIO ring is not the known one");
    tail_ = Tail();
    partner_ = std::make_unique<Partner>([this] { Watch(); });
  }
  void Stop() {
    stop_ = true;
    partner_.reset();
  }
  // After Stop. The epoch if it was never seen.
  TimePoint seen(size_t n) const { return n < count_ ? seen_[n] : TimePoint{}; }

 private:
  unsigned Tail() const { return std::atomic_ref<unsigned>(ring_->tail).load(); }

  void Watch() {
    while (!stop_) {
      const unsigned tail = Tail();
      if (tail != tail_) {
        const TimePoint now = rig_.Now();
        for (; tail_ != tail && count_ < kReadsMax; tail_ = (tail_ + 1) % ring_->nr) {
          seen_[count_++] = now;
        }
      }
      ::sched_yield();
    }
  }

  Rig& rig_;
  AioRing* ring_ = nullptr;
  unsigned tail_ = 0;
  size_t count_ = 0;
  std::vector<TimePoint> seen_;
  std::atomic<bool> stop_{false};
  std::unique_ptr<Partner> partner_;
};

struct FreeBuffer {
  void operator()(void* buffer) const { std::free(buffer); }
};

class Reader {
 public:
  Reader(Rig& rig, const std::string& path, unsigned in_flight)
      : rig_(rig), requests_(in_flight), buffers_(in_flight) {
    fd_ = ::open(path.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd_ < 0) Die(path + ": cannot be opened for direct reads");
    struct stat st;
    if (::fstat(fd_, &st) != 0 || st.st_size < 16 * 1024 * 1024) Die(path + ": 16 MiB or more");
    blocks_ = static_cast<uint64_t>(st.st_size) / kReadBytes;
    for (auto& buffer : buffers_) buffer.reset(std::aligned_alloc(kAlignment, kReadBytes));
    dispatched_.reserve(kReadsMax);
    rig.set_on_completion([this](const Completion& completion) { Dispatched(completion); });
  }
  ~Reader() { ::close(fd_); }

  void Start(TimePoint deadline) {
    deadline_ = deadline;
    for (size_t i = 0; i < requests_.size(); ++i) Submit(i);
  }
  bool finished() const { return flying_ == 0; }
  const std::vector<TimePoint>& dispatched() const { return dispatched_; }

 private:
  void Submit(size_t i) {
    ::io_prep_pread(&requests_[i], fd_, buffers_[i].get(), kReadBytes,
                    static_cast<long long>(next_++ % blocks_ * kReadBytes));
    ++flying_;
    rig_.Submit(&requests_[i]);
  }
  void Dispatched(const Completion& completion) {
    const TimePoint now = rig_.Now();
    if (completion.event.res != kReadBytes) Die("a direct read failed");
    dispatched_.push_back(now);
    --flying_;
    if (now < deadline_ && dispatched_.size() + flying_ < kReadsMax) {
      Submit(static_cast<size_t>(completion.event.obj - requests_.data()));
    }
  }

  Rig& rig_;
  int fd_ = -1;
  uint64_t blocks_ = 0, next_ = 0;
  size_t flying_ = 0;
  TimePoint deadline_{};
  std::vector<iocb> requests_;
  std::vector<std::unique_ptr<void, FreeBuffer>> buffers_;
  std::vector<TimePoint> dispatched_;
};

class Ignore final : public FdeventCallback {
 public:
  void OnFdevent(uint32_t) override {}
};

Nanoseconds Quantile(const std::vector<Nanoseconds>& sorted, double q) {
  if (sorted.empty()) return Nanoseconds::zero();
  const auto rank = static_cast<size_t>(q * static_cast<double>(sorted.size()));
  return sorted[std::min(rank, sorted.size() - 1)];
}

}  // namespace

Delays MeasureDelays(const RigOptions& options, const std::string& path, unsigned in_flight,
                     Nanoseconds duration) {
  Delays result;
  Rig rig(options);
  Reader reader(rig, path, in_flight);
  const Pipe idle;  // the socket that nothing comes from
  Ignore ignore;
  const Registration registration = OrDie(rig.loop().Register(idle.reading_end(), POLLIN, &ignore));
  Observer observer(rig.context(), rig);
  const TimePoint start = rig.Now();
  reader.Start(start + duration);
  rig.TurnUntil([&] { return reader.finished(); }, start + duration + std::chrono::seconds(10));
  if (!reader.finished()) Die("reads are still out ten seconds after the end");
  observer.Stop();

  std::vector<Nanoseconds> delays;
  for (size_t n = 0; n < reader.dispatched().size(); ++n) {
    const TimePoint seen = observer.seen(n);
    const TimePoint dispatched = reader.dispatched()[n];
    if (seen == TimePoint{} || seen > dispatched) {
      ++result.unobserved;
    } else {
      delays.push_back(dispatched - seen);
    }
  }
  std::sort(delays.begin(), delays.end());
  result.in_flight = in_flight;
  result.seconds = Seconds(rig.Now() - start);
  result.reads = reader.dispatched().size();
  result.stalls =
      static_cast<uint64_t>(delays.end() - std::lower_bound(delays.begin(), delays.end(), kStall));
  result.timeout_rescues = rig.coordination().stats().timeout_rescues;
  result.p50 = Quantile(delays, 0.50);
  result.p99 = Quantile(delays, 0.99);
  if (!delays.empty()) result.longest = delays.back();
  return result;
}

}  // namespace pollux::validate
