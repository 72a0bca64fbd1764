#include "fakes/validate/rig.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace pollux::validate {

void Die(const std::string& message) {
  std::fprintf(stderr, "pollux-validate: %s\n", message.c_str());
  std::_Exit(2);
}

Rig::Rig(const RigOptions& options) {
  handler_ = options.epoll ? OrDie(MakeEpollHandler(kernel_)) : MakePollHandler(kernel_);
  coordination_ = OrDie(MakeCoordination(options.coordination, kernel_, *handler_, signals_));
  OrDie(coordination_->Start());
  context_ = OrDie(kernel_.io_setup(kDepth));
  coordination_->Attach(context_, kDepth);
  loop_ = std::make_unique<EventLoop>(kernel_, *handler_, *coordination_);
  loop_->SetCompletionHandler(this);
}

Rig::~Rig() {
  coordination_->Stop();
  OrDie(kernel_.io_destroy(context_));
  loop_.reset();
  coordination_.reset();
}

void Rig::Submit(iocb* request) {
  OrDie(coordination_->BeforeSubmit(std::span(&request, 1)));
  if (OrDie(kernel_.io_submit(context_, 1, &request)) != 1) Die("io_submit took nothing");
}

void Rig::TurnUntil(const std::function<bool()>& finished, TimePoint deadline) {
  while (!finished() && Now() < deadline) OrDie(loop_->RunOnce());
}

Pipe::Pipe() {
  if (::pipe2(ends_, O_CLOEXEC | O_NONBLOCK) != 0) Die("pipe2 failed");
}

Pipe::~Pipe() {
  ::close(ends_[0]);
  ::close(ends_[1]);
}

void Pipe::Write() const {
  if (::write(ends_[1], "x", 1) != 1) Die("write to a pipe failed");
}

void Pipe::Read() const {
  char byte;
  if (::read(ends_[0], &byte, 1) != 1) Die("read from a pipe failed");
}

ControlledRead::ControlledRead(Rig& rig) : rig_(rig) {
  rig.set_on_completion([this](const Completion& completion) {
    if (completion.event.obj != &request_) Die("a completion of nobody's");
    dispatched_at_ = rig_.Now();
    ++dispatched_;
    pipe_.Read();
  });
}

void ControlledRead::Arm() {
  request_ = {};
  ::io_prep_poll(&request_, pipe_.reading_end(), POLLIN);
  rig_.Submit(&request_);
}

void ControlledRead::Complete() {
  completed_at_ = rig_.Now();
  pipe_.Write();
}

bool IsAsleep(pid_t thread) {
  if (thread == 0) return false;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return false;
  char text[512] = {};
  const size_t length = std::fread(text, 1, sizeof text - 1, file);
  std::fclose(file);
  // "tid (name) STATE ...": the name may hold anything, so from its end.
  const std::string line(text, length);
  const size_t end = line.rfind(')');
  return end != std::string::npos && end + 2 < line.size() && line[end + 2] == 'S';
}

bool Await(const std::function<bool()>& condition, Nanoseconds limit) {
  LinuxKernel kernel;
  const TimePoint deadline = MonotonicNow(kernel) + limit;
  while (!condition()) {
    if (MonotonicNow(kernel) > deadline) return false;
    ::sched_yield();
  }
  ::sched_yield();  // what was sent by now has been delivered once this returns
  return true;
}

Partner::Partner(std::function<void()> body) {
  sigset_t all, before;
  sigfillset(&all);
  OrDie(linux_.pthread_sigmask(SIG_BLOCK, all, &before));
  thread_ = Thread(linux_, OrDie(linux_.thread_create("partner", std::move(body))));
  OrDie(linux_.pthread_sigmask(SIG_SETMASK, before, nullptr));
}

Partner::~Partner() = default;

}  // namespace pollux::validate
