// Arguments of recorded calls, in and out of JSON.
#pragma once

#include <libaio.h>
#include <poll.h>
#include <signal.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace pollux::recorded {

// What a call was asked for, by name; throws WrongArgument for what is missing, of another type or
// out of range.
struct WrongArgument {
  std::string text;
};

class Arguments {
 public:
  // More is asked for by no call: a file that says so was mangled.
  static constexpr size_t kBytesMax = 64 << 20;
  static constexpr int kEntriesMax = 65'536;

  // `object` must outlive it.
  explicit Arguments(const nlohmann::json& object) : object_(object) {}

  int64_t Long(const char* name, int64_t least, int64_t most) const;
  int Int(const char* name, int least = std::numeric_limits<int>::min(),
          int most = std::numeric_limits<int>::max()) const {
    return static_cast<int>(Long(name, least, most));
  }
  unsigned Unsigned(const char* name) const {
    return static_cast<unsigned>(Long(name, 0, std::numeric_limits<unsigned>::max()));
  }
  size_t Size(const char* name) const { return static_cast<size_t>(Long(name, 0, kBytesMax)); }
  off_t Offset(const char* name) const {
    return Long(name, std::numeric_limits<off_t>::min(), std::numeric_limits<off_t>::max());
  }
  // An address of the run: of no use but to tell one from another.
  uint64_t Address(const char* name) const;
  std::string Bytes(const char* name) const;
  std::string Word(const char* name) const;
  // Null: none.
  std::optional<sigset_t> Mask(const char* name) const;
  std::optional<timespec> Timeout(const char* name) const;
  std::vector<pollfd> Polls(const char* name) const;
  std::vector<std::pair<uint64_t, iocb>> Requests(const char* name) const;

 private:
  const nlohmann::json& At(const char* name) const;
  // The elements of a list that is not too long.
  const nlohmann::json& List(const char* name) const;

  const nlohmann::json& object_;
};

// The same the other way.
nlohmann::json ToJson(const sigset_t* mask);
nlohmann::json ToJson(const timespec* timeout);
nlohmann::json ToJson(const pollfd* fds, nfds_t count);
nlohmann::json ToJson(iocb* const* requests, long count);
inline uint64_t AddressOf(const void* at) { return reinterpret_cast<uintptr_t>(at); }

}  // namespace pollux::recorded
