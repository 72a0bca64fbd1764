// An execution as a timeline: Chrome's trace event format, which chrome://tracing and Perfetto
// open. (Trace Event Format,
// docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU)
//
// A lane for each thread, for the disk or each of its spindles, for each peer, and one for what
// else happens around the process. A step is a slice; so is a sleep, from the step that began it to
// the one that ended it. An arrow goes from the step that ended a sleep, or sent a signal, to the
// step of the thread that it concerns.
//
// Virtual time mostly stands still. A slice's `ts` is therefore the virtual time in microseconds
// since the start plus the number of the step, as if each took one microsecond: later steps stand
// to the right. The virtual time itself is in args, in seconds.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "fakes/explore/outcome.h"
#include "fakes/kernel/scheduler.h"

namespace pollux::sim {

class TraceWriter final : public StepListener {
 public:
  void OnStep(const Step& step) override;
  void OnWake(const SimThread& thread, Wake how) override;
  void set_violation(const Violation& violation);

  // {"traceEvents": [...]}, an event a line.
  std::string Text() const;

 private:
  struct Place {
    int lane = 0;
    double ts = 0;
    bool operator==(const Place&) const = default;
  };
  struct Arrow {
    Place from;
    Wake how;
  };
  int LaneOf(const Step& step);
  void Slice(const char* category, std::string name, int lane, double from, double to,
             const Step& step);
  void Draw(const Arrow& arrow, const Place& to);

  std::unordered_map<uint32_t, int> lanes_;                  // by actor, but for disks
  std::unordered_map<unsigned, int> disk_lanes_;             // by spindle
  std::unordered_map<int, double> ends_;                     // of each lane's last slice
  std::unordered_map<uint32_t, std::vector<Arrow>> arrows_;  // that go to an actor's next step
  std::vector<nlohmann::json> events_;
  Place last_;
  uint32_t last_actor_ = 0;
  int next_lane_ = 1;
  int world_lane_ = 0;  // 0: not there yet
  int peers_ = 0;
  uint64_t next_arrow_ = 1;
};

}  // namespace pollux::sim
