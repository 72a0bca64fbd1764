#include "fakes/recording/arguments.h"

#include "fakes/recording/bytes_text.h"

namespace pollux::recorded {
namespace {

using nlohmann::json;

constexpr int kSignalMax = 64;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr unsigned kResfd = 1;  // IOCB_FLAG_RESFD

[[noreturn]] void Wrong(const char* name, const std::string& what) {
  throw WrongArgument{std::string("\"") + name + "\" " + what};
}

}  // namespace

const json& Arguments::At(const char* name) const {
  const auto found = object_.find(name);
  if (found == object_.end()) Wrong(name, "is missing");
  return *found;
}

const json& Arguments::List(const char* name) const {
  const json& list = At(name);
  if (!list.is_array()) Wrong(name, "is no list");
  if (list.size() > kEntriesMax) Wrong(name, "has too many entries");
  return list;
}

int64_t Arguments::Long(const char* name, int64_t least, int64_t most) const {
  const json& value = At(name);
  if (!value.is_number_integer()) Wrong(name, "is no whole number");
  // Above what an int64_t holds get() would wrap.
  const bool beyond = value.is_number_unsigned() && value.get<uint64_t>() > INT64_MAX;
  const auto number = value.get<int64_t>();
  if (beyond || number < least || number > most) Wrong(name, "is out of range");
  return number;
}

uint64_t Arguments::Address(const char* name) const {
  const json& value = At(name);
  if (!value.is_number_unsigned()) Wrong(name, "is no address");
  return value.get<uint64_t>();
}

std::string Arguments::Word(const char* name) const {
  const json& value = At(name);
  if (!value.is_string()) Wrong(name, "is no text");
  return value.get<std::string>();
}

std::string Arguments::Bytes(const char* name) const {
  auto bytes = BytesFromUtf8(Word(name));
  if (!bytes) Wrong(name, "has a character that stands for no byte");
  return *std::move(bytes);
}

std::optional<sigset_t> Arguments::Mask(const char* name) const {
  if (At(name).is_null()) return std::nullopt;
  sigset_t mask;
  sigemptyset(&mask);
  for (const json& one : List(name)) {
    const json signal = {{name, one}};
    sigaddset(&mask, Arguments(signal).Int(name, 1, kSignalMax));  // EINVAL: libc's own, 32 and 33
  }
  return mask;
}

std::optional<timespec> Arguments::Timeout(const char* name) const {
  if (At(name).is_null()) return std::nullopt;
  const int64_t nanoseconds = Long(name, 0, INT64_MAX);
  return timespec{nanoseconds / kNanosecondsPerSecond, nanoseconds % kNanosecondsPerSecond};
}

std::vector<pollfd> Arguments::Polls(const char* name) const {
  std::vector<pollfd> polls;
  for (const json& one : List(name)) {
    const Arguments entry(one);
    polls.push_back({entry.Int("fd"), static_cast<short>(entry.Int("events", 0, INT16_MAX)), 0});
  }
  return polls;
}

std::vector<std::pair<uint64_t, iocb>> Arguments::Requests(const char* name) const {
  std::vector<std::pair<uint64_t, iocb>> requests;
  for (const json& one : List(name)) {
    const Arguments entry(one);
    iocb request{};
    request.aio_fildes = entry.Int("fd");
    request.aio_lio_opcode = static_cast<short>(entry.Int("opcode", 0, INT16_MAX));
    request.aio_rw_flags = entry.Int("rw_flags");
    request.u.c.buf = reinterpret_cast<void*>(static_cast<uintptr_t>(entry.Address("buffer")));
    request.u.c.nbytes = entry.Size("bytes");
    request.u.c.offset = entry.Offset("offset");
    if (one.contains("eventfd")) io_set_eventfd(&request, entry.Int("eventfd"));
    requests.emplace_back(entry.Address("at"), request);
  }
  return requests;
}

json ToJson(const sigset_t* mask) {
  if (mask == nullptr) return nullptr;
  json signals = json::array();
  for (int signum = 1; signum <= kSignalMax; ++signum) {
    if (sigismember(mask, signum) == 1) signals.push_back(signum);
  }
  return signals;
}

json ToJson(const timespec* timeout) {
  if (timeout == nullptr) return nullptr;
  return timeout->tv_sec * kNanosecondsPerSecond + timeout->tv_nsec;
}

json ToJson(const pollfd* fds, nfds_t count) {
  json polls = json::array();
  for (nfds_t i = 0; i < count; ++i) {
    polls.push_back({{"fd", fds[i].fd}, {"events", fds[i].events}});
  }
  return polls;
}

json ToJson(iocb* const* requests, long count) {
  json out = json::array();
  for (long i = 0; i < count; ++i) {
    const iocb& request = *requests[i];
    json entry = {{"at", AddressOf(&request)},
                  {"fd", request.aio_fildes},
                  {"opcode", request.aio_lio_opcode},
                  {"rw_flags", request.aio_rw_flags},
                  {"buffer", AddressOf(request.u.c.buf)},
                  {"bytes", request.u.c.nbytes},
                  {"offset", request.u.c.offset}};
    if ((request.u.c.flags & kResfd) != 0) entry["eventfd"] = static_cast<int>(request.u.c.resfd);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace pollux::recorded
