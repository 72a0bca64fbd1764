// How calls are written down; files, memory and sockets.
#include "fakes/recording/recording_kernel.h"

#include <algorithm>
#include <utility>

#include "fakes/recording/recording_text.h"

namespace pollux {

using recorded::New;
using recorded::Text;

thread_local int RecordingKernel::thread_ = 0;

RecordingKernel::Entry::Entry(RecordingKernel& kernel, const char* name) : kernel_(kernel) {
  call_.thread = thread_;
  call_.name = name;
  call_.begin = kernel_.Stamp();
}

void RecordingKernel::Entry::End(std::string result, Again again, bool timed_out) {
  call_.result = std::move(result);
  call_.again = std::move(again);
  call_.timed_out = timed_out;
  call_.end = kernel_.Stamp();
  kernel_.Add(std::move(call_));
}

RecordingKernel::RecordingKernel(Kernel& to) : ForwardingKernel(to) {
  thread_ = 0;
  recording_.tids.push_back(to.gettid());
}

uint64_t RecordingKernel::Stamp() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return ++stamp_;
}

void RecordingKernel::Add(RecordedCall call) {
  const std::lock_guard<std::mutex> lock(mutex_);
  recording_.calls.push_back(std::move(call));
}

Recording RecordingKernel::Take() {
  const std::lock_guard<std::mutex> lock(mutex_);
  Recording out = std::exchange(recording_, {});
  std::sort(out.calls.begin(), out.calls.end(),
            [](const auto& one, const auto& other) { return one.begin < other.begin; });
  return out;
}

void RecordingKernel::Outside(const char* name, const std::function<std::string()>& act,
                              std::function<std::string(Translation&)> again) {
  Entry entry(*this, name);
  entry.End(act(), std::move(again));
}

// --- Files and memory

Result<int> RecordingKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  Entry entry(*this, "openat");
  const auto made = to().openat(dirfd, path, flags, mode);
  entry.End(New(made), [=, at = std::string(path), fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.openat(t.Fd(dirfd), at.c_str(), flags, mode));
  });
  return made;
}

Status RecordingKernel::close(int fd) {
  Entry entry(*this, "close");
  const Status done = to().close(fd);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.close(t.Fd(fd))); });
  return done;
}

Result<size_t> RecordingKernel::read(int fd, void* buf, size_t count) {
  Entry entry(*this, "read");
  const auto got = to().read(fd, buf, count);
  entry.End(Text(got, buf), [=](Translation& t) {
    std::vector<char> bytes(count);
    const auto again = t.kernel.read(t.Fd(fd), bytes.data(), count);
    return Text(again, bytes.data());
  });
  return got;
}

Result<size_t> RecordingKernel::write(int fd, const void* buf, size_t count) {
  Entry entry(*this, "write");
  std::string bytes(static_cast<const char*>(buf), count);
  const auto done = to().write(fd, buf, count);
  entry.End(Text(done), [=, bytes = std::move(bytes)](Translation& t) {
    return Text(t.kernel.write(t.Fd(fd), bytes.data(), bytes.size()));
  });
  return done;
}

Result<int> RecordingKernel::memfd_create(const char* name, unsigned flags) {
  Entry entry(*this, "memfd_create");
  const auto made = to().memfd_create(name, flags);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.memfd_create("", flags));
  });
  return made;
}

Status RecordingKernel::ftruncate(int fd, off_t length) {
  Entry entry(*this, "ftruncate");
  const Status done = to().ftruncate(fd, length);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.ftruncate(t.Fd(fd), length)); });
  return done;
}

Status RecordingKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  Entry entry(*this, "fallocate");
  const Status done = to().fallocate(fd, mode, offset, len);
  entry.End(Text(done),
            [=](Translation& t) { return Text(t.kernel.fallocate(t.Fd(fd), mode, offset, len)); });
  return done;
}

Result<void*> RecordingKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                    off_t offset) {
  Entry entry(*this, "mmap");
  const auto made = to().mmap(addr, length, prot, flags, fd, offset);
  const auto* recorded = static_cast<const char*>(made.value_or(nullptr));
  entry.End(made ? "an address" : ErrnoName(made.error().code), [=](Translation& t) {
    const auto again = t.kernel.mmap(addr, length, prot, flags, t.Fd(fd), offset);
    if (!again) return ErrnoName(again.error().code);
    t.areas.push_back({recorded, static_cast<char*>(*again), length});
    return std::string("an address");
  });
  return made;
}

Status RecordingKernel::munmap(void* addr, size_t length) {
  Entry entry(*this, "munmap");
  const Status done = to().munmap(addr, length);
  entry.End(Text(done), [=](Translation& t) {
    char* here = t.Address(addr);
    std::erase_if(t.areas, [&](const auto& area) { return area.here == here; });
    return Text(t.kernel.munmap(here, length));
  });
  return done;
}

// --- Sockets

Result<int> RecordingKernel::socket(int domain, int type, int protocol) {
  Entry entry(*this, "socket");
  const auto made = to().socket(domain, type, protocol);
  entry.End(New(made), [=, fd = made.value_or(-1)](Translation& t) {
    return New(t, fd, t.kernel.socket(domain, type, protocol));
  });
  return made;
}

Status RecordingKernel::listen(int fd, int backlog) {
  Entry entry(*this, "listen");
  const Status done = to().listen(fd, backlog);
  entry.End(Text(done), [=](Translation& t) { return Text(t.kernel.listen(t.Fd(fd), backlog)); });
  return done;
}

Result<int> RecordingKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  Entry entry(*this, "accept4");
  const auto made = to().accept4(fd, addr, len, flags);
  entry.End(New(made), [=, accepted = made.value_or(-1)](Translation& t) {
    return New(t, accepted, t.kernel.accept4(t.Fd(fd), nullptr, nullptr, flags));
  });
  return made;
}

Result<size_t> RecordingKernel::recv(int fd, void* buf, size_t len, int flags) {
  Entry entry(*this, "recv");
  const auto got = to().recv(fd, buf, len, flags);
  entry.End(Text(got, buf), [=](Translation& t) {
    std::vector<char> bytes(len);
    const auto again = t.kernel.recv(t.Fd(fd), bytes.data(), len, flags);
    return Text(again, bytes.data());
  });
  return got;
}

Result<size_t> RecordingKernel::send(int fd, const void* buf, size_t len, int flags) {
  Entry entry(*this, "send");
  std::string bytes(static_cast<const char*>(buf), len);
  const auto done = to().send(fd, buf, len, flags);
  entry.End(Text(done), [=, bytes = std::move(bytes)](Translation& t) {
    return Text(t.kernel.send(t.Fd(fd), bytes.data(), bytes.size(), flags));
  });
  return done;
}

Result<size_t> RecordingKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  Entry entry(*this, "sendfile");
  const off_t from = *offset;
  const auto done = to().sendfile(out_fd, in_fd, offset, count);
  entry.End(Text(done), [=](Translation& t) {
    off_t at = from;
    return Text(t.kernel.sendfile(t.Fd(out_fd), t.Fd(in_fd), &at, count));
  });
  return done;
}

}  // namespace pollux
