// Traces are what Chrome's trace event format asks for, and say what happened: each lane has a
// name, its slices do not overlap, and each arrow has two ends.
#include "fakes/scenarios/trace.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "fakes/explore/strategy.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

using nlohmann::json;

struct Timeline {
  std::vector<json> slices, metadata, begins, ends, instants;
  std::map<int, std::string> lanes;
  uint64_t steps = 0;
};

class TraceTest : public ::testing::Test {
 protected:
  Timeline Tell(const char* story) {
    TraceWriter writer;
    ReplayStrategy first({});
    EXPECT_TRUE(first.Begin());
    const Outcome outcome = FindStory(story)->tell(options_, first, resources_, &writer);
    if (outcome.violation) writer.set_violation(*outcome.violation);
    const json file = json::parse(writer.Text());
    Timeline out;
    out.steps = outcome.steps;
    for (const json& event : file.at("traceEvents")) {
      const auto kind = event.at("ph").get<std::string>();
      if (kind == "X") out.slices.push_back(event);
      if (kind == "M") out.metadata.push_back(event);
      if (kind == "s") out.begins.push_back(event);
      if (kind == "f") out.ends.push_back(event);
      if (kind == "i") out.instants.push_back(event);
      EXPECT_NE(std::string("XMsfi").find(kind), std::string::npos) << event;
      EXPECT_TRUE(event.at("name").is_string()) << event;
      EXPECT_TRUE(event.at("pid").is_number_integer()) << event;
      EXPECT_TRUE(event.at("tid").is_number_integer()) << event;
      EXPECT_GE(event.at("ts").get<double>(), 0) << event;
      if (event.at("name") == "thread_name") {
        out.lanes[event.at("tid").get<int>()] = event.at("args").at("name").get<std::string>();
      }
    }
    return out;
  }
  static std::set<std::string> NamesOf(const Timeline& timeline) {
    std::set<std::string> names;
    for (const auto& [lane, name] : timeline.lanes) names.insert(name);
    return names;
  }

  StoryOptions options_;
  Resources resources_;
};

TEST_F(TraceTest, EachStepIsASliceInANamedLane) {
  const Timeline timeline = Tell("download");
  std::set<uint64_t> steps;
  std::map<int, double> ends;
  for (const json& slice : timeline.slices) {
    const int lane = slice.at("tid").get<int>();
    ASSERT_TRUE(timeline.lanes.contains(lane)) << slice;
    EXPECT_GT(slice.at("dur").get<double>(), 0) << slice;
    EXPECT_GE(slice.at("ts").get<double>() + 1e-6, ends[lane]) << slice;
    ends[lane] = slice.at("ts").get<double>() + slice.at("dur").get<double>();
    EXPECT_GE(slice.at("args").at("virtual_time_s").get<double>(), 0);
    if (slice.at("cat") != "sleep") steps.insert(slice.at("args").at("step").get<uint64_t>());
  }
  EXPECT_EQ(steps.size(), timeline.steps);
  EXPECT_EQ(*steps.rbegin(), timeline.steps);
}

TEST_F(TraceTest, ThreadsDiskAndPeersHaveLanesOfTheirOwn) {
  const auto names = NamesOf(Tell("ten-downloads"));
  for (const char* name : {"thread main", "disk", "peer 1", "peer 10", "elsewhere"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST_F(TraceTest, EachSpindleHasALaneOfItsOwn) {
  options_.disk = "raid1-2006";
  const auto names = NamesOf(Tell("ten-downloads"));
  EXPECT_TRUE(names.contains("spindle 1"));
  EXPECT_TRUE(names.contains("spindle 2"));
  EXPECT_FALSE(names.contains("disk"));
}

TEST_F(TraceTest, ArrowsHaveTwoEndsInsideSlices) {
  const Timeline timeline = Tell("two-chunks");
  ASSERT_FALSE(timeline.begins.empty());
  ASSERT_EQ(timeline.begins.size(), timeline.ends.size());
  const auto inside_a_slice = [&](const json& event) {
    for (const json& slice : timeline.slices) {
      const double from = slice.at("ts").get<double>();
      if (slice.at("tid") == event.at("tid") && slice.at("cat") != "sleep" &&
          event.at("ts").get<double>() > from &&
          event.at("ts").get<double>() < from + slice.at("dur").get<double>()) {
        return true;
      }
    }
    return false;
  };
  std::map<uint64_t, json> begins;
  for (const json& begin : timeline.begins) {
    EXPECT_TRUE(begins.emplace(begin.at("id").get<uint64_t>(), begin).second) << "twice: " << begin;
    EXPECT_TRUE(inside_a_slice(begin)) << begin;
  }
  for (const json& end : timeline.ends) {
    ASSERT_TRUE(begins.contains(end.at("id").get<uint64_t>())) << end;
    const json& begin = begins.at(end.at("id").get<uint64_t>());
    EXPECT_EQ(begin.at("name"), end.at("name"));
    EXPECT_LT(begin.at("ts").get<double>(), end.at("ts").get<double>());
    EXPECT_NE(begin.at("tid"), end.at("tid"));
    EXPECT_TRUE(inside_a_slice(end)) << end;
  }
}

TEST_F(TraceTest, TheKickOfTheHelperIsASignalArrowToMain) {
  const Timeline timeline = Tell("one-chunk");  // masked
  bool kick = false;
  for (const json& end : timeline.ends) {
    kick |= end.at("name") == "signal" && timeline.lanes.at(end.at("tid")) == "thread main";
  }
  EXPECT_TRUE(kick);
}

TEST_F(TraceTest, ASleepIsASliceOverTheTimeItTook) {
  const Timeline timeline = Tell("slow-read");  // of three seconds
  double longest = 0;
  for (const json& slice : timeline.slices) {
    if (slice.at("cat") == "sleep") longest = std::max(longest, slice.at("dur").get<double>());
  }
  EXPECT_GE(longest, 0.9e6);
}

TEST_F(TraceTest, AViolationIsMarked) {
  options_.steps_max = 20;
  const Timeline timeline = Tell("one-chunk");
  ASSERT_EQ(timeline.instants.size(), 1U);
  EXPECT_EQ(timeline.instants[0].at("name"), "spin");
}

}  // namespace
}  // namespace pollux::sim
