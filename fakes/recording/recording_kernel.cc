// How calls are written down; files, memory and sockets.
#include "fakes/recording/recording_kernel.h"

#include <algorithm>
#include <utility>

#include "fakes/recording/bytes_text.h"
#include "fakes/recording/calls.h"
#include "fakes/recording/recording_text.h"

namespace pollux {

using recorded::AddressOf;
using recorded::New;
using recorded::Text;

namespace {

std::string BytesText(const void* bytes, size_t count) {
  return BytesToUtf8({static_cast<const char*>(bytes), count});
}

}  // namespace

thread_local int RecordingKernel::thread_ = 0;

RecordingKernel::Entry::Entry(RecordingKernel& kernel, const char* name) : kernel_(kernel) {
  call_.thread = thread_;
  call_.name = name;
  call_.begin = kernel_.Stamp();
}

void RecordingKernel::Entry::End(std::string result, nlohmann::json arguments, bool timed_out) {
  call_.result = std::move(result);
  call_.arguments = std::move(arguments);
  call_.timed_out = timed_out;
  call_.end = kernel_.Stamp();
  kernel_.Add(std::move(call_));
}

RecordingKernel::RecordingKernel(Kernel& to) : ForwardingKernel(to) {
  thread_ = 0;
  by_tid_[to.gettid()] = 0;
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
  for (RecordedCall& call : out.calls) {
    call.again = recorded::Make(call.name, recorded::Arguments(call.arguments), out.threads);
  }
  std::sort(out.calls.begin(), out.calls.end(),
            [](const auto& one, const auto& other) { return one.begin < other.begin; });
  return out;
}

Status RecordingKernel::PeerConnects(const std::function<Status()>& connect) {
  Entry entry(*this, recorded::kPeerConnects);
  const Status done = connect();
  entry.End(Text(done), nlohmann::json::object());
  return done;
}

Result<size_t> RecordingKernel::PeerSends(
    const std::string& bytes, const std::function<Result<size_t>(const std::string&)>& send) {
  Entry entry(*this, recorded::kPeerSends);
  const auto sent = send(bytes);
  entry.End(Text(sent), {{"bytes", BytesToUtf8(bytes)}});
  return sent;
}

Result<size_t> RecordingKernel::PeerTakes(size_t count,
                                          const std::function<Result<size_t>(std::string&)>& take) {
  Entry entry(*this, recorded::kPeerTakes);
  std::string bytes(count, '\0');
  const auto taken = take(bytes);
  entry.End(Text(taken, bytes.data()), {{"count", count}});
  return taken;
}

// --- Files and memory

Result<int> RecordingKernel::openat(int dirfd, const char* path, int flags, mode_t mode) {
  Entry entry(*this, "openat");
  const auto made = to().openat(dirfd, path, flags, mode);
  entry.End(New(made, recorded::kDescriptor), {{"dirfd", dirfd},
                                               {"path", BytesToUtf8(path)},
                                               {"flags", flags},
                                               {"mode", mode},
                                               {"made", made.value_or(-1)}});
  return made;
}

Status RecordingKernel::close(int fd) {
  Entry entry(*this, "close");
  const Status done = to().close(fd);
  entry.End(Text(done), {{"fd", fd}});
  return done;
}

Result<size_t> RecordingKernel::read(int fd, void* buf, size_t count) {
  Entry entry(*this, "read");
  const auto got = to().read(fd, buf, count);
  entry.End(Text(got, buf), {{"fd", fd}, {"count", count}});
  return got;
}

Result<size_t> RecordingKernel::write(int fd, const void* buf, size_t count) {
  Entry entry(*this, "write");
  const auto done = to().write(fd, buf, count);
  entry.End(Text(done), {{"fd", fd}, {"bytes", BytesText(buf, count)}});
  return done;
}

Result<int> RecordingKernel::memfd_create(const char* name, unsigned flags) {
  Entry entry(*this, "memfd_create");
  const auto made = to().memfd_create(name, flags);
  entry.End(New(made, recorded::kDescriptor), {{"flags", flags}, {"made", made.value_or(-1)}});
  return made;
}

Status RecordingKernel::ftruncate(int fd, off_t length) {
  Entry entry(*this, "ftruncate");
  const Status done = to().ftruncate(fd, length);
  entry.End(Text(done), {{"fd", fd}, {"length", length}});
  return done;
}

Status RecordingKernel::fallocate(int fd, int mode, off_t offset, off_t len) {
  Entry entry(*this, "fallocate");
  const Status done = to().fallocate(fd, mode, offset, len);
  entry.End(Text(done), {{"fd", fd}, {"mode", mode}, {"offset", offset}, {"length", len}});
  return done;
}

Result<void*> RecordingKernel::mmap(void* addr, size_t length, int prot, int flags, int fd,
                                    off_t offset) {
  Entry entry(*this, "mmap");
  const auto made = to().mmap(addr, length, prot, flags, fd, offset);
  entry.End(New(made, recorded::kAddress), {{"length", length},
                                            {"prot", prot},
                                            {"flags", flags},
                                            {"fd", fd},
                                            {"offset", offset},
                                            {"made", AddressOf(made.value_or(nullptr))}});
  return made;
}

Status RecordingKernel::munmap(void* addr, size_t length) {
  Entry entry(*this, "munmap");
  const Status done = to().munmap(addr, length);
  entry.End(Text(done), {{"address", AddressOf(addr)}, {"length", length}});
  return done;
}

// --- Sockets

Result<int> RecordingKernel::socket(int domain, int type, int protocol) {
  Entry entry(*this, "socket");
  const auto made = to().socket(domain, type, protocol);
  entry.End(
      New(made, recorded::kDescriptor),
      {{"domain", domain}, {"type", type}, {"protocol", protocol}, {"made", made.value_or(-1)}});
  return made;
}

Status RecordingKernel::listen(int fd, int backlog) {
  Entry entry(*this, "listen");
  const Status done = to().listen(fd, backlog);
  entry.End(Text(done), {{"fd", fd}, {"backlog", backlog}});
  return done;
}

Result<int> RecordingKernel::accept4(int fd, sockaddr* addr, socklen_t* len, int flags) {
  Entry entry(*this, "accept4");
  const auto made = to().accept4(fd, addr, len, flags);
  entry.End(New(made, recorded::kDescriptor),
            {{"fd", fd}, {"flags", flags}, {"made", made.value_or(-1)}});
  return made;
}

Result<size_t> RecordingKernel::recv(int fd, void* buf, size_t len, int flags) {
  Entry entry(*this, "recv");
  const auto got = to().recv(fd, buf, len, flags);
  entry.End(Text(got, buf), {{"fd", fd}, {"count", len}, {"flags", flags}});
  return got;
}

Result<size_t> RecordingKernel::send(int fd, const void* buf, size_t len, int flags) {
  Entry entry(*this, "send");
  const auto done = to().send(fd, buf, len, flags);
  entry.End(Text(done), {{"fd", fd}, {"bytes", BytesText(buf, len)}, {"flags", flags}});
  return done;
}

Result<size_t> RecordingKernel::sendfile(int out_fd, int in_fd, off_t* offset, size_t count) {
  Entry entry(*this, "sendfile");
  const off_t from = *offset;
  const auto done = to().sendfile(out_fd, in_fd, offset, count);
  entry.End(Text(done), {{"out_fd", out_fd}, {"in_fd", in_fd}, {"offset", from}, {"count", count}});
  return done;
}

}  // namespace pollux
