// What the error log says about an errno beside its name.
//
// Threads: loop thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "core/base/result.h"
#include "core/base/units.h"

namespace pollux {

// What whoever runs the server can do about it, as the end of a log line: "; raise RLIMIT_NOFILE
// ...". Empty where nothing better than the errno's own text is known.
std::string WhatToDo(const Error& error);

// Keeps errors that requests can cause again and again from filling the disk with lines: one line a
// second for each errno, which says how many were held back since the last.
class RepeatedErrors {
 public:
  static constexpr std::chrono::seconds kInterval{1};

  // How many were held back, if this one is to be logged; nothing if it is not.
  std::optional<uint64_t> Admit(const Error& error, TimePoint now);

 private:
  struct Record {
    TimePoint logged;
    uint64_t held_back = 0;
  };
  std::map<int, Record> by_code_;  // as many as there are errnos
};

}  // namespace pollux
