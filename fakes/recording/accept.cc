#include "fakes/recording/accept.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace pollux::sim {
namespace {

// Depth-first over the orders in which the options are to be tried.
class Search final : public Chooser {
 public:
  // The indexes of the options that may be taken, best first.
  using Rank = std::function<std::vector<size_t>(std::span<const Option>)>;

  explicit Search(Rank rank) : rank_(std::move(rank)) {}

  // Goes back to the last choice with a possibility left. False: there is none.
  bool Next() {
    at_ = 0;
    if (!std::exchange(begun_, true)) return true;
    while (!path_.empty()) {
      if (++path_.back().chosen < path_.back().order.size()) return true;
      path_.pop_back();
    }
    return false;
  }

  size_t PickStep(std::span<const Option> options, std::span<const Option>) override {
    return Pick([&] { return rank_(options); });
  }
  size_t PickValue(const char*, size_t count) override {
    return Pick([&] {
      std::vector<size_t> all(count);
      for (size_t i = 0; i < count; ++i) all[i] = i;
      return all;
    });
  }

 private:
  struct Node {
    std::vector<size_t> order;
    size_t chosen = 0;
  };
  size_t Pick(const std::function<std::vector<size_t>()>& order) {
    if (at_ == path_.size()) path_.push_back({order()});
    const Node& node = path_[at_++];
    return node.order[node.chosen];
  }

  const Rank rank_;
  std::vector<Node> path_;
  size_t at_ = 0;
  bool begun_ = false;
};

// One execution of the recording.
class Performance {
 public:
  Performance(const Recording& recording, SimKernel& kernel)
      : recording_(recording), kernel_(kernel), translation_(kernel) {
    done_.resize(recording.calls.size());
    translation_.spawn = [this](int thread) {
      return kernel_.thread_create("recorded", [this, thread] { Play(thread); });
    };
    translation_.peer_connects = [this] {
      kernel_.scheduler().BeforeWorldStep("peer connects");
      peer_ = kernel_.ConnectToListener();
    };
    translation_.peer_sends = [this](const std::string& bytes) {
      kernel_.scheduler().BeforeWorldStep("peer sends");
      peer_->PeerSend(bytes);
    };
    translation_.peer_takes = [this](size_t count) {
      kernel_.scheduler().BeforeWorldStep("peer takes");
      return peer_->PeerTake(count);
    };
  }

  void Run() {
    (void)kernel_.Run([this] { Play(0); });
  }

  // How many calls had the recorded result, and why the next one has not.
  size_t matched() const { return matched_; }
  bool complete() const { return matched_ == done_.size() && refusal_.empty(); }
  std::string refusal() const {
    if (!refusal_.empty()) return refusal_;
    const auto& violation = kernel_.scheduler().violation();
    return violation ? violation->oracle + ": " + violation->text : "";
  }

  // The thread whose present call ended first comes first; then the disk; time-outs, where one was
  // recorded, last.
  std::vector<size_t> Rank(std::span<const Option> options) const {
    constexpr uint32_t kTimeout = 0x8000'0000;  // the scheduler's, see Scheduler::Collect
    std::vector<std::pair<uint64_t, size_t>> ranked;
    for (size_t i = 0; i < options.size(); ++i) {
      const auto playing = playing_.find(options[i].actor & ~kTimeout);
      const RecordedCall* call = playing != playing_.end() ? playing->second : nullptr;
      if ((options[i].actor & kTimeout) != 0) {
        if (call != nullptr && call->timed_out) ranked.emplace_back(UINT64_MAX, i);
      } else {
        ranked.emplace_back(call != nullptr ? call->end : UINT64_MAX - 1, i);
      }
    }
    if (ranked.empty()) ranked.emplace_back(0, 0);
    std::sort(ranked.begin(), ranked.end());
    std::vector<size_t> order;
    for (const auto& [rank, index] : ranked) order.push_back(index);
    return order;
  }

 private:
  // All that had ended when it began is done.
  class MayBegin final : public Condition {
   public:
    MayBegin(const Performance& performance, const RecordedCall& call)
        : performance_(performance), call_(call) {}
    bool Holds() const override {
      const auto& calls = performance_.recording_.calls;
      for (size_t i = 0; i < calls.size() && calls[i].begin < call_.begin; ++i) {
        if (calls[i].end < call_.begin && !performance_.done_[i]) return false;
      }
      return true;
    }

   private:
    const Performance& performance_;
    const RecordedCall& call_;
  };

  void Play(int thread) {
    const uint32_t actor = kernel_.scheduler().current().actor;
    translation_.tids[recording_.tids[static_cast<size_t>(thread)]] = kernel_.gettid();
    for (size_t i = 0; i < recording_.calls.size(); ++i) {
      const RecordedCall& call = recording_.calls[i];
      if (call.thread != thread) continue;
      playing_[actor] = &call;
      const MayBegin may(*this, call);
      kernel_.scheduler().Sleep(call.name.c_str(), Footprint::Everything(), &may, kNever);
      const std::string result = call.again(translation_);
      if (result != call.result) {
        refusal_ = "call " + std::to_string(i + 1) + " of " +
                   std::to_string(recording_.calls.size()) + ", " + call.name + " in thread " +
                   std::to_string(thread) + ": Linux said \"" + call.result +
                   "\", the model says \"" + result + "\"";
        kernel_.scheduler().GiveUp("refused", refusal_);
      }
      done_[i] = true;
      ++matched_;
    }
    playing_.erase(actor);
  }

  const Recording& recording_;
  SimKernel& kernel_;
  Translation translation_;
  std::shared_ptr<Connection> peer_;
  std::vector<bool> done_;                           // by call
  std::map<uint32_t, const RecordedCall*> playing_;  // by actor
  size_t matched_ = 0;
  std::string refusal_;
};

}  // namespace

Acceptance Accept(const Recording& recording, const std::function<void(SimKernel&)>& prepare,
                  uint64_t executions_max) {
  Acceptance out;
  Resources resources;
  const Performance* performance = nullptr;
  Search search([&](std::span<const Option> options) { return performance->Rank(options); });
  SimOptions options;
  options.scheduler.early_timeouts = static_cast<int>(recording.calls.size());
  size_t furthest = 0;
  while (out.executions < executions_max && search.Next()) {
    ++out.executions;
    SimKernel kernel(search, resources, options);
    prepare(kernel);
    Performance present(recording, kernel);
    performance = &present;
    present.Run();
    out.accepted = present.complete();
    if (out.accepted) return out;
    if (present.matched() < furthest) continue;
    furthest = present.matched();
    out.refusal = present.refusal();
  }
  return out;
}

}  // namespace pollux::sim
