// What came of a call, as text: the same for the recorded one and for the one that was made again.
#pragma once

#include <libaio.h>
#include <poll.h>
#include <sys/epoll.h>

#include <string>

#include "core/base/result.h"
#include "fakes/recording/recording.h"

namespace pollux::recorded {

// What is made has another name in each kernel.
inline constexpr const char *kDescriptor = "a descriptor", *kAddress = "an address",
                            *kContext = "a context", *kThread = "a thread";
// Handlers of signals.
inline constexpr const char *kIgnored = "ignored", *kDefault = "default", *kHandled = "handled";
// What happened outside of the process: the names of its calls.
inline constexpr const char *kPeerConnects = "peer connects", *kPeerSends = "peer sends",
                            *kPeerTakes = "peer takes";

std::string Text(const Status& status);
template <typename Count>
std::string Text(const Result<Count>& result) {
  return result ? std::to_string(*result) : ErrnoName(result.error().code);
}
// Of a call that moved bytes to `data`: their digest.
std::string Text(const Result<size_t>& result, const void* data);
// Of a wait: what it reported, in no order.
std::string Text(const Result<int>& count, const epoll_event* events);
std::string Text(const Result<int>& count, const pollfd* fds, nfds_t nfds);
// Requests by their place in the file, which is the same in either run.
std::string Text(const Result<int>& count, const io_event* events);

// Of a call that made something.
template <typename Made>
std::string New(const Result<Made>& made, const char* what) {
  return made ? what : ErrnoName(made.error().code);
}
// A descriptor: it is remembered in the place of `recorded`.
std::string New(Translation& to, int recorded, const Result<int>& made);

}  // namespace pollux::recorded
