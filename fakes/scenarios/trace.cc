#include "fakes/scenarios/trace.h"

#include <chrono>
#include <utility>

namespace pollux::sim {
namespace {

using nlohmann::json;

constexpr int kProcess = 1;

json Named(const char* what, int lane, const char* key, json value) {
  return {{"ph", "M"},   {"name", what}, {"pid", kProcess},
          {"tid", lane}, {"ts", 0},      {"args", {{key, std::move(value)}}}};
}

}  // namespace

int TraceWriter::LaneOf(const Step& step) {
  const bool disk = step.lane == Lane::kDisk;
  int& known = disk ? disk_lanes_[step.spindle] : lanes_[step.actor];
  if (known != 0) return known;
  std::string name;
  switch (step.lane) {
    case Lane::kThread:
      name = "thread " + step.who;
      break;
    case Lane::kDisk:
      name = step.spindle == 0 ? "disk" : "spindle " + std::to_string(step.spindle);
      break;
    case Lane::kPeer:
      name = "peer " + std::to_string(++peers_);
      break;
    case Lane::kWorld:
      if (world_lane_ != 0) return known = world_lane_;
      world_lane_ = next_lane_;
      name = "elsewhere";
      break;
  }
  const int lane = known = next_lane_++;
  events_.push_back(Named("thread_name", lane, "name", name));
  // Threads first, in the order in which they began.
  const int kind = static_cast<int>(step.lane);
  events_.push_back(Named("thread_sort_index", lane, "sort_index", kind * 10'000 + lane));
  return lane;
}

void TraceWriter::Slice(const char* category, std::string name, int lane, double from, double to,
                        const Step& step) {
  const double seconds = std::chrono::duration<double>(step.now - kStart).count();
  events_.push_back({{"ph", "X"},
                     {"cat", category},
                     {"name", std::move(name)},
                     {"pid", kProcess},
                     {"tid", lane},
                     {"ts", from},
                     {"dur", to - from},
                     {"args", {{"step", step.number}, {"virtual_time_s", seconds}}}});
}

void TraceWriter::OnStep(const Step& step) {
  const int lane = LaneOf(step);
  const double at = std::chrono::duration<double, std::micro>(step.now - kStart).count() +
                    static_cast<double>(step.number);
  const auto [end, first] = ends_.try_emplace(lane, at);
  if (step.was_asleep && !first && at > end->second) {
    Slice("sleep", "asleep in " + std::string(step.what), lane, end->second, at, step);
  }
  static constexpr const char* kCategories[] = {"call", "disk", "peer", "elsewhere"};
  Slice(kCategories[static_cast<int>(step.lane)], step.what, lane, at, at + 1, step);
  end->second = at + 1;
  last_ = {lane, at};
  last_actor_ = step.actor;
  if (auto arrows = arrows_.extract(step.actor)) {
    for (const Arrow& arrow : arrows.mapped()) Draw(arrow, last_);
  }
}

void TraceWriter::OnWake(const SimThread& thread, Wake how) {
  if (last_.lane == 0 || last_actor_ == thread.actor) return;
  arrows_[thread.actor].push_back({last_, how});
}

// In the middle of both slices: a flow event belongs to the slice around it.
void TraceWriter::Draw(const Arrow& arrow, const Place& to) {
  const char* name = arrow.how == Wake::kSignal ? "signal" : "wake-up";
  const uint64_t id = next_arrow_++;
  json begin = {{"ph", "s"},
                {"cat", name},
                {"name", name},
                {"id", id},
                {"pid", kProcess},
                {"tid", arrow.from.lane},
                {"ts", arrow.from.ts + 0.5}};
  json end = begin;
  end["ph"] = "f";
  end["bp"] = "e";  // the slice around it, not the next one
  end["tid"] = to.lane;
  end["ts"] = to.ts + 0.5;
  events_.push_back(std::move(begin));
  events_.push_back(std::move(end));
}

void TraceWriter::set_violation(const Violation& violation) {
  events_.push_back({{"ph", "i"},
                     {"s", "g"},  // over all lanes
                     {"cat", "violation"},
                     {"name", violation.oracle},
                     {"pid", kProcess},
                     {"tid", last_.lane},
                     {"ts", last_.ts + 1},
                     {"args", {{"text", violation.text}}}});
}

std::string TraceWriter::Text() const {
  std::string text = "{\"displayTimeUnit\": \"ns\", \"traceEvents\": [";
  const char* between = "\n";
  for (const json& event : events_) {
    text.append(between).append(event.dump());
    between = ",\n";
  }
  return text + "\n]}\n";
}

}  // namespace pollux::sim
