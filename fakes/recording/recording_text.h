// What came of a call, as text: the same for the recorded one and for the one that was made again.
#pragma once

#include <libaio.h>
#include <poll.h>
#include <sys/epoll.h>

#include <string>
#include <vector>

#include "core/base/result.h"
#include "fakes/recording/recording.h"

namespace pollux::recorded {

std::string Text(const Status& status);
template <typename Count>
std::string Text(const Result<Count>& result) {
  return result ? std::to_string(*result) : ErrnoName(result.error().code);
}
// Of a call that moved bytes to `data`: their digest.
std::string Text(const Result<size_t>& result, const void* data);
// Of a wait: what it reported, in no order.
std::string Text(const Result<int>& count, const epoll_event* events);
std::string Text(const Result<int>& count, const std::vector<pollfd>& fds);
// Requests by their place in the file, which is the same in either run.
std::string Text(const Result<int>& count, const io_event* events);

// A new descriptor: its number is each kernel's own affair. The second remembers it in the place of
// `recorded`.
std::string New(const Result<int>& made);
std::string New(Translation& to, int recorded, const Result<int>& made);

}  // namespace pollux::recorded
