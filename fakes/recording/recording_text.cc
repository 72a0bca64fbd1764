#include "fakes/recording/recording_text.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace pollux::recorded {
namespace {

// Bytes as a number: enough to tell them apart, short enough to read.
std::string Digest(const void* data, size_t count) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < count; ++i) {
    hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3u;
  }
  return std::to_string(count) + " bytes of digest " + std::to_string(hash % 1'000'000);
}

std::string Joined(std::vector<std::string> parts) {
  std::sort(parts.begin(), parts.end());
  std::string text = std::to_string(parts.size());
  for (const std::string& part : parts) text += ", " + part;
  return text;
}

}  // namespace

std::string Text(const Status& status) { return status ? "0" : ErrnoName(status.error().code); }

std::string Text(const Result<size_t>& result, const void* data) {
  return result ? Digest(data, *result) : ErrnoName(result.error().code);
}

std::string New(Translation& to, int recorded, const Result<int>& made) {
  if (made) to.fds[recorded] = *made;
  return New(made, kDescriptor);
}

std::string Text(const Result<int>& count, const epoll_event* events) {
  if (!count) return ErrnoName(count.error().code);
  std::vector<std::string> parts;
  for (int i = 0; i < *count; ++i) {
    parts.push_back(std::to_string(events[i].data.u64) + ":" + std::to_string(events[i].events));
  }
  return Joined(std::move(parts));
}

std::string Text(const Result<int>& count, const pollfd* fds, nfds_t nfds) {
  if (!count) return ErrnoName(count.error().code);
  std::vector<std::string> parts;
  for (nfds_t i = 0; i < nfds; ++i) {
    if (fds[i].revents != 0) {
      parts.push_back("entry " + std::to_string(i) + ":" + std::to_string(fds[i].revents));
    }
  }
  return Joined(std::move(parts));
}

std::string Text(const Result<int>& count, const io_event* events) {
  if (!count) return ErrnoName(count.error().code);
  std::vector<std::string> parts;
  for (int i = 0; i < *count; ++i) {
    const auto res = static_cast<long>(events[i].res);
    std::string part = "request at " + std::to_string(events[i].obj->u.c.offset) + ": ";
    part +=
        res < 0 ? std::to_string(res) : Digest(events[i].obj->u.c.buf, static_cast<size_t>(res));
    parts.push_back(std::move(part));
  }
  return Joined(std::move(parts));
}

}  // namespace pollux::recorded
