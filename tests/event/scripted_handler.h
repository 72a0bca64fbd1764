// A handler that says what the test tells it to and records what it was asked.
#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/event/fdevent_handler.h"

namespace pollux {

class ScriptedHandler final : public FdeventHandler {
 public:
  const char* name() const override { return name_.c_str(); }
  Status Add(int fd, uint32_t events, uint64_t token) override {
    if (add_error != 0) return Err(add_error, "epoll_ctl");
    added.push_back({fd, events, token});
    return {};
  }
  Status Modify(int, uint32_t, uint64_t) override { return {}; }
  void Remove(int fd) override { removed.push_back(fd); }
  Result<size_t> Wait(std::span<FdReady> ready, std::optional<Nanoseconds> timeout,
                      const sigset_t* sigmask) override {
    last_timeout = timeout;
    last_mask = sigmask;
    if (wait_error != 0) return Err(wait_error, "epoll_pwait");
    std::copy(reports.begin(), reports.end(), ready.begin());
    return reports.size();
  }

  struct Added {
    int fd;
    uint32_t events;
    uint64_t token;
  };
  std::string name_ = "epoll";
  int add_error = 0;
  int wait_error = 0;
  std::vector<FdReady> reports;
  std::vector<Added> added;
  std::vector<int> removed;
  std::optional<Nanoseconds> last_timeout;
  const sigset_t* last_mask = nullptr;
};

}  // namespace pollux
