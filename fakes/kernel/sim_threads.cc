// Threads, mutexes, condition variables and shared words.
#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "fakes/kernel/sim_call.h"

namespace pollux::sim {
namespace {

class HasEnded final : public Condition {
 public:
  HasEnded(const AccessCheck& access, const SimThread& thread) : access_(access), thread_(thread) {}
  bool Holds() const override {
    access_.Read(thread_.signals_object, "a thread");
    return thread_.state == SimThread::State::kDone;
  }

 private:
  const AccessCheck& access_;
  const SimThread& thread_;
};

}  // namespace

class SimMutex final : public Mutex, private Condition {
 public:
  explicit SimMutex(SimKernel& kernel) : kernel_(kernel), object_(kernel.scheduler_.NewObject()) {}
  ~SimMutex() override = default;

  // A signal that comes while it is waited for runs its handler; the wait goes on (futex(2)).
  void lock() override {
    const SimKernel::Call call(kernel_, "mutex lock", Footprint().Lock(object_), this);
    CHECK(!held_);
    Set(true);
    tsan::Acquire(this);
  }
  void unlock() override {
    const SimKernel::Call call(kernel_, "mutex unlock", Footprint().Unlock(object_));
    CHECK(held_);
    tsan::Release(this);
    Set(false);
  }

 private:
  friend class SimCondVar;
  bool Holds() const override { return free(); }
  bool free() const {
    kernel_.scheduler_.access().Read(object_, "a mutex");
    return !held_;
  }
  void Set(bool held) {
    kernel_.scheduler_.access().Write(object_, "a mutex");
    held_ = held;
  }

  SimKernel& kernel_;
  const ObjectId object_;
  bool held_ = false;
};

class SimCondVar final : public CondVar {
 public:
  explicit SimCondVar(SimKernel& kernel)
      : kernel_(kernel), object_(kernel.scheduler_.NewObject()) {}

  void wait(Mutex& held) override {
    auto& mutex = static_cast<SimMutex&>(held);
    Waiter waiter(*this, mutex);
    {
      const Footprint footprint = Footprint().Write(object_).Unlock(mutex.object_);
      const SimKernel::Call call(kernel_, "condvar wait", footprint);
      CHECK(mutex.held_);
      tsan::Release(&mutex);
      mutex.Set(false);
      Writes();
      waiters_.push_back(&waiter);
      if (MayWakeForNothing()) kernel_.scheduler_.AddActor(waiter);
    }
    const Footprint footprint = Footprint().Write(object_).Lock(mutex.object_);
    const SimKernel::Call call(kernel_, "condvar wakes", footprint, &waiter);
    if (MayWakeForNothing()) kernel_.scheduler_.RemoveActor(waiter);
    mutex.Set(true);
    tsan::Acquire(&mutex);
  }

  void signal() override {
    const SimKernel::Call call(kernel_, "condvar signal", Footprint().Write(object_));
    Writes();
    if (waiters_.empty()) return;
    // POSIX leaves open which one.
    const size_t which = kernel_.scheduler_.PickValue("which waiter", waiters_.size());
    waiters_[which]->woken = true;
    waiters_.erase(waiters_.begin() + static_cast<ptrdiff_t>(which));
  }

  void broadcast() override {
    const SimKernel::Call call(kernel_, "condvar broadcast", Footprint().Write(object_));
    Writes();
    for (Waiter* waiter : waiters_) waiter->woken = true;
    waiters_.clear();
  }

 private:
  // As an actor: its wait ends although nobody signalled, as POSIX allows.
  struct Waiter final : public Condition, public Actor {
    Waiter(SimCondVar& of, const SimMutex& with) : condvar(of), mutex(with) {}
    bool Holds() const override { return woken && mutex.free(); }

    bool needless() const override { return true; }
    bool Enabled() const override { return !woken && condvar.kernel_.spurious_wakeups_left_ > 0; }
    // Any step may be the last but this one: after it nobody is woken for nothing any more, so that
    // to go before it or not at all is a difference.
    Footprint footprint() const override { return Footprint::Everything(); }
    const char* label() const override { return "condvar wakes somebody for nothing"; }
    void Happen() override {
      --condvar.kernel_.spurious_wakeups_left_;
      condvar.Writes();
      woken = true;
      std::erase(condvar.waiters_, this);
    }

    SimCondVar& condvar;
    const SimMutex& mutex;
    bool woken = false;
  };

  bool MayWakeForNothing() const { return kernel_.options_.spurious_wakeups > 0; }
  void Writes() const { kernel_.scheduler_.access().Write(object_, "a condition variable"); }

  SimKernel& kernel_;
  const ObjectId object_;
  std::vector<Waiter*> waiters_;
};

class SimWord final : public SharedWord {
 public:
  SimWord(SimKernel& kernel, uint64_t initial)
      : kernel_(kernel), object_(kernel.scheduler_.NewObject()), value_(initial) {}

  uint64_t load() override {
    const SimKernel::Call call(kernel_, "word load", Footprint().Read(object_));
    kernel_.scheduler_.access().Read(object_, "a shared word");
    tsan::Acquire(this);
    return value_;
  }
  void store(uint64_t value) override { Update("word store", value); }
  uint64_t exchange(uint64_t value) override { return Update("word exchange", value); }
  uint64_t fetch_add(uint64_t value) override {
    const SimKernel::Call call(kernel_, "word fetch_add", Footprint().Write(object_));
    return Set(value_ + value);
  }

 private:
  uint64_t Update(const char* operation, uint64_t value) {
    const SimKernel::Call call(kernel_, operation, Footprint().Write(object_));
    return Set(value);
  }
  uint64_t Set(uint64_t value) {
    kernel_.scheduler_.access().Write(object_, "a shared word");
    tsan::Acquire(this);
    tsan::Release(this);
    return std::exchange(value_, value);
  }

  SimKernel& kernel_;
  const ObjectId object_;
  uint64_t value_;
};

Result<ThreadId> SimKernel::thread_create(const char* name, std::function<void()> body) {
  Call call(*this, "pthread_create", Opening());  // threads are numbered as descriptors are
  SimThread& made = scheduler_.Spawn(name, std::move(body));
  tsan::Release(&made);
  return static_cast<ThreadId>(made.tid);
}

void SimKernel::thread_join(ThreadId id) {
  SimThread* thread = FindThread(static_cast<pid_t>(id));
  CHECK(thread != nullptr && !thread->joined);
  const HasEnded ended(scheduler_.access(), *thread);
  Call call(*this, "pthread_join", Footprint().Read(thread->signals_object), &ended);
  thread->joined = true;
  tsan::Acquire(thread);
}

std::unique_ptr<Mutex> SimKernel::mutex_create() { return std::make_unique<SimMutex>(*this); }
std::unique_ptr<CondVar> SimKernel::condvar_create() { return std::make_unique<SimCondVar>(*this); }
std::unique_ptr<SharedWord> SimKernel::word_create(uint64_t initial) {
  return std::make_unique<SimWord>(*this, initial);
}

}  // namespace pollux::sim
