#include "fakes/scenarios/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>

namespace pollux::sim {
namespace {

constexpr size_t kFileBytesMax = 128 << 20;

}  // namespace

bool OutputFile::Open() {
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  made_ = fd_ >= 0;
  // EEXIST: there already. O_CREAT again: it may be a symbolic link to a file that is not there.
  if (fd_ < 0 && errno == EEXIST) fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  return fd_ >= 0;
}

bool OutputFile::Write(std::string_view text) {
  // EINVAL: a pipe or a terminal, which has no length.
  if (ftruncate(fd_, 0) != 0 && errno != EINVAL) return false;
  while (!text.empty()) {
    const ssize_t put = write(fd_, text.data(), text.size());
    if (put < 0 && errno == EINTR) continue;  // Ctrl-C: said after this
    if (put <= 0) return false;
    text.remove_prefix(static_cast<size_t>(put));
  }
  return true;
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  struct stat info {};
  // Its length is asked for, not remembered: another process may have written it.
  if (made_ && fstat(fd_, &info) == 0 && info.st_size == 0) unlink(path_.c_str());
  close(fd_);
}

// In pieces through std::istream, which turns what its buffer throws (a folder: EISDIR) into a bit.
tl::expected<std::string, std::string> ReadText(const std::string& path, const char* what) {
  std::ifstream in(path);
  if (!in) return tl::unexpected("cannot open " + path);
  std::string text;
  std::array<char, 64 << 10> piece;
  while (in) {
    in.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > kFileBytesMax) {
      return tl::unexpected(path + " is no " + what + ": too large");
    }
  }
  if (in.bad()) return tl::unexpected("cannot read " + path);
  return text;
}

}  // namespace pollux::sim
