#include "tests/aio/loopback.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace pollux {
namespace {

constexpr int kPatienceMs = 10'000;
constexpr uint64_t kPiece = 1 << 20;

// The kernel refused something that a test stands on.
void Require(bool condition, const char* what) {
  if (condition) return;
  std::perror(what);
  std::abort();
}

uint64_t WordAt(uint64_t position, uint16_t seed) {
  return (uint64_t{seed} << 48) | (position & 0xffff'ffff'ffff);
}

char ByteAt(uint64_t position, uint16_t seed) {
  return static_cast<char>(WordAt(position & ~uint64_t{7}, seed) >> (8 * (position & 7)));
}

// What the aligned word around `at` of `bytes` looks like, if it is all there.
std::string Origin(std::span<const char> bytes, uint64_t offset, uint64_t at) {
  const uint64_t position = offset + at;
  const uint64_t word_start = position & ~uint64_t{7};
  if (word_start < offset || word_start + 8 - offset > bytes.size()) return "";
  uint64_t word = 0;
  std::memcpy(&word, bytes.data() + (word_start - offset), 8);
  if (word == 0) return "; the word is all zero";
  return "; the word reads as position " + std::to_string(word & 0xffff'ffff'ffff) + " of seed " +
         std::to_string(word >> 48);
}

int OpenOrAbort(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  Require(fd >= 0, path.c_str());
  return fd;
}

}  // namespace

std::string Pattern(uint64_t offset, uint64_t length, uint16_t seed) {
  std::string out(length, '\0');
  uint64_t i = 0;
  for (; i < length && ((offset + i) & 7) != 0; ++i) out[i] = ByteAt(offset + i, seed);
  for (; i + 8 <= length; i += 8) {
    const uint64_t word = WordAt(offset + i, seed);
    std::memcpy(out.data() + i, &word, 8);
  }
  for (; i < length; ++i) out[i] = ByteAt(offset + i, seed);
  return out;
}

::testing::AssertionResult HoldsPattern(std::span<const char> bytes, uint64_t offset,
                                        uint16_t seed) {
  // Piece by piece, since most pieces are right; then the byte in the one that is not.
  uint64_t start = 0;
  for (; start < bytes.size(); start += kPiece) {
    const auto piece = bytes.subspan(start, std::min(kPiece, bytes.size() - start));
    const std::string right = Pattern(offset + start, piece.size(), seed);
    if (std::memcmp(piece.data(), right.data(), piece.size()) != 0) break;
  }
  for (uint64_t i = start; i < bytes.size(); ++i) {
    if (bytes[i] == ByteAt(offset + i, seed)) continue;
    return ::testing::AssertionFailure()
           << "byte " << i << " of " << bytes.size() << " (position " << offset + i
           << " of the file) is wrong, as are " << WrongBytes(bytes, offset, seed) << " in all"
           << Origin(bytes, offset, i);
  }
  return ::testing::AssertionSuccess();
}

uint64_t WrongBytes(std::span<const char> bytes, uint64_t offset, uint16_t seed) {
  uint64_t wrong = 0;
  for (uint64_t i = 0; i < bytes.size(); ++i) wrong += bytes[i] != ByteAt(offset + i, seed);
  return wrong;
}

TempDir::TempDir() {
  const char* given = std::getenv("TEST_TMPDIR");
  const auto parent = given != nullptr
                          ? std::filesystem::path(given)
                          : std::filesystem::read_symlink("/proc/self/exe").parent_path();
  std::string name = parent / "test-XXXXXX";
  Require(::mkdtemp(name.data()) != nullptr, name.c_str());
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

PatternFile::PatternFile(const TempDir& dir, uint64_t size, uint16_t seed, const std::string& name)
    : path_(dir.path() + "/" + name), size_(size) {
  const int fd = OpenOrAbort(path_, O_WRONLY | O_CREAT | O_TRUNC);
  for (uint64_t at = 0; at < size; at += kPiece) {
    const std::string piece = Pattern(at, std::min(kPiece, size - at), seed);
    Require(::write(fd, piece.data(), piece.size()) == static_cast<ssize_t>(piece.size()), "write");
  }
  Require(::fdatasync(fd) == 0, "fdatasync");
  ::close(fd);
}

bool PatternFile::OnDisk() const {
  struct statfs fs {};
  Require(::statfs(path_.c_str(), &fs) == 0, "statfs");
  return fs.f_type != TMPFS_MAGIC && fs.f_type != OVERLAYFS_SUPER_MAGIC;
}

std::shared_ptr<OpenFile> PatternFile::Open(Kernel& kernel) const {
  auto file = std::make_shared<OpenFile>();
  file->fd = Fd(kernel, OpenOrAbort(path_, O_RDONLY));
  struct stat st {};
  Require(::fstat(file->fd.get(), &st) == 0, "fstat");
  file->mode = st.st_mode;
  file->key = KeyOf(st);
  file->mtime_s = st.st_mtim.tv_sec;
  return file;
}

void PatternFile::Truncate(uint64_t size) const {
  Require(::truncate(path_.c_str(), static_cast<off_t>(size)) == 0, "truncate");
}

void PatternFile::Unmap::operator()(void* address) const { ::munmap(address, length); }

void PatternFile::MakeCold() const {
  warm_.clear();
  const int fd = OpenOrAbort(path_, O_RDONLY);
  Require(::fdatasync(fd) == 0, "fdatasync");
  Require(::posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0, "posix_fadvise");
  ::close(fd);
}

void PatternFile::MakeWarm(uint64_t offset, uint64_t length) const {
  const int fd = OpenOrAbort(path_, O_RDONLY);
  Require(::posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM) == 0, "posix_fadvise");
  std::string page(4096, '\0');
  for (uint64_t at = offset & ~uint64_t{4095}; at < offset + length; at += page.size()) {
    Require(::pread(fd, page.data(), page.size(), static_cast<off_t>(at)) >= 0, "pread");
  }
  // What was read once is the first to go when memory is short.
  const uint64_t start = offset & ~uint64_t{4095};
  const size_t mapped = offset + length - start;
  void* address = ::mmap(nullptr, mapped, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(start));
  Require(address != MAP_FAILED, "mmap");
  warm_.emplace_back(address, Unmap{mapped});
  Require(::madvise(address, mapped, MADV_RANDOM) == 0, "madvise");
  // ENOMEM, EPERM: more than this user may lock.
  Require(::mlock(address, mapped) == 0 || ::geteuid() != 0, "mlock");
  ::close(fd);
}

Loopback::Loopback(Kernel& kernel, Options options) {
  // As the server does: sendfile(2) has no MSG_NOSIGNAL.
  ::signal(SIGPIPE, SIG_IGN);
  const Fd listener(kernel, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  Require(listener.valid(), "socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  Require(::bind(listener.get(), generic, size) == 0, "bind");
  Require(::listen(listener.get(), 1) == 0, "listen");
  Require(::getsockname(listener.get(), generic, &size) == 0, "getsockname");

  peer_ = Fd(kernel, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (options.receive_buffer > 0) {
    ::setsockopt(peer_.get(), SOL_SOCKET, SO_RCVBUF, &options.receive_buffer, sizeof(int));
  }
  Require(::connect(peer_.get(), generic, size) == 0, "connect");
  socket_ = std::make_shared<Fd>(
      kernel, ::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  Require(socket_->valid(), "accept4");
  if (options.send_buffer > 0) {
    ::setsockopt(socket_->get(), SOL_SOCKET, SO_SNDBUF, &options.send_buffer, sizeof(int));
  }
}

std::string Loopback::ReadSome(uint64_t max) {
  std::string out;
  char piece[65536];
  while (out.size() < max) {
    const size_t want = std::min<uint64_t>(sizeof piece, max - out.size());
    const ssize_t got = ::recv(peer_.get(), piece, want, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) peer_ended_ = true;
    if (got <= 0) break;
    out.append(piece, static_cast<size_t>(got));
  }
  return out;
}

std::string Loopback::ReadExactly(uint64_t length) {
  std::string out;
  while (out.size() < length) {
    pollfd ready{peer_.get(), POLLIN, 0};
    if (::poll(&ready, 1, kPatienceMs) <= 0) {
      ADD_FAILURE() << "the reader has waited ten seconds after " << out.size() << " bytes";
      break;
    }
    const std::string more = ReadSome(length - out.size());
    if (more.empty()) break;  // the end of the stream, or a reset
    out += more;
  }
  return out;
}

void Loopback::Reset() {
  const linger hard{1, 0};
  ::setsockopt(peer_.get(), SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  peer_.Reset();
}

bool Loopback::WaitNear(short events) const {
  pollfd ready{socket_->get(), events, 0};
  return ::poll(&ready, 1, kPatienceMs) == 1;
}

}  // namespace pollux
