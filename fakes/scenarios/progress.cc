#include "fakes/scenarios/progress.h"

#include <unistd.h>

#include <cstdio>

namespace pollux::sim {
namespace {

constexpr double kSecondsOnTerminal = 0.2, kSecondsElsewhere = 5;
constexpr const char* kClearLine = "\r\033[K";

}  // namespace

Progress::Progress(const ExhaustiveStrategy* exhaustive)
    : exhaustive_(exhaustive), terminal_(::isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() {
  if (line_stands_) std::fputs(kClearLine, stderr);
}

void Progress::Tell(uint64_t executions, double seconds) {
  if (seconds - told_ < (terminal_ ? kSecondsOnTerminal : kSecondsElsewhere)) return;
  told_ = seconds;
  std::fprintf(stderr, "%spollux-sim: %llu executions, %.0f a second", terminal_ ? kClearLine : "",
               static_cast<unsigned long long>(executions), executions / seconds);
  if (exhaustive_ != nullptr) {
    std::fprintf(stderr, ", about %.2g in all (%.2g %%), %zu choices deep", exhaustive_->estimate(),
                 exhaustive_->progress() * 100, exhaustive_->depth());
  }
  if (!terminal_) std::fputc('\n', stderr);
  line_stands_ = terminal_;
}

}  // namespace pollux::sim
