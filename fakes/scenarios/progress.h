// Tells how far a search is, on stderr: a line that is written over on a terminal, a line every few
// seconds elsewhere.
#pragma once

#include <cstdint>

#include "fakes/explore/exhaustive.h"

namespace pollux::sim {

class Progress {
 public:
  // Null: a search without an end of its own.
  explicit Progress(const ExhaustiveStrategy* exhaustive);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `seconds` since the search began. Does nothing if it has just told.
  void Tell(uint64_t executions, double seconds);

 private:
  const ExhaustiveStrategy* exhaustive_;
  const bool terminal_;
  double told_ = 0;
  bool line_stands_ = false;
};

}  // namespace pollux::sim
