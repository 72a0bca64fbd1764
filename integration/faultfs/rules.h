// What pollux-faultfs does wrong on purpose, and when.
//
//   GLOB:FAULT[:from=BYTE][:to=BYTE][:first=N][:last=N][:every=N]
//
// GLOB is matched against the file's path below the served folder (fnmatch(3)). A rule looks at the
// reads that touch a byte of [from, to) of such a file; of these, numbered from 1, it strikes
// first, first+every, ... up to last. The first rule that strikes decides. FAULT is one of
//
//   short=BYTES     the answer has at most so many bytes
//   ENAME           the read fails with this errno: EIO
//   delay=MS        the answer comes so many milliseconds later
//   truncate=BYTES  from this read on the file is only so long
//   hold            the answer comes when it is released, or never
//
// A short answer means "the file ends here" to the page cache (libfuse's fuse_lowlevel.h, read), so
// files that a rule with short= names are opened past it (FOPEN_DIRECT_IO).
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace pollux {

struct ReadRule {
  enum class Fault { kShort, kError, kDelay, kTruncate, kHold };

  std::string glob;
  Fault fault{};
  uint64_t value = 0;  // bytes, an errno, or milliseconds; of no meaning for kHold
  uint64_t from = 0;
  uint64_t to = std::numeric_limits<uint64_t>::max();
  uint64_t first = 1;
  uint64_t last = std::numeric_limits<uint64_t>::max();
  uint64_t every = 1;

  uint64_t seen = 0;  // reads that it looked at

  bool Names(const std::string& path) const;
  // Counts the read of [offset, offset + size) if it is one to look at; true if it strikes.
  bool Strikes(const std::string& path, uint64_t offset, uint64_t size);
};

// The rule, or one line that says what is wrong with the text.
tl::expected<ReadRule, std::string> ParseReadRule(std::string_view text);

}  // namespace pollux
