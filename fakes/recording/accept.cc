#include "fakes/recording/accept.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fakes/kernel/sim_kernel.h"

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
  Performance(const Recording& recording, SimKernel& kernel,
              const std::function<void(size_t)>& begin_call)
      : recording_(recording), kernel_(kernel), begin_call_(begin_call), translation_(kernel) {
    done_.resize(recording.calls.size());
    translation_.spawn = [this](int thread) {
      return kernel_.thread_create("recorded", [this, thread] { Play(thread); });
    };
    translation_.peer_connects = [this] {
      kernel_.scheduler().BeforeWorldStep("peer connects");
      peer_ = kernel_.ConnectToListener();
      return peer_ != nullptr;
    };
    translation_.peer_sends = [this](const std::string& bytes) {
      kernel_.scheduler().BeforeWorldStep("peer sends");
      if (peer_ == nullptr) return size_t{0};
      peer_->PeerSend(bytes);
      return bytes.size();
    };
    translation_.peer_takes = [this](size_t count) {
      kernel_.scheduler().BeforeWorldStep("peer takes");
      return peer_ != nullptr ? peer_->PeerTake(count) : std::string();
    };
  }

  void Run() {
    for (const RecordedFile& file : recording_.files) {
      kernel_.AddFile(file.path, std::make_shared<std::string>(file.contents));
    }
    (void)kernel_.Run([this] { Play(0); });
  }

  // How many calls had the recorded result; which has not, and what it had.
  size_t matched() const { return matched_; }
  bool complete() const { return matched_ == done_.size() && !refused_; }
  size_t first_missing() const {
    if (refused_) return *refused_;
    return static_cast<size_t>(std::find(done_.begin(), done_.end(), false) - done_.begin());
  }
  // Nothing: it has not come to its end, for which the model's reason is why_not().
  const std::optional<std::string>& instead() const { return instead_; }
  std::string why_not() const {
    const auto& violation = kernel_.scheduler().violation();
    return violation ? violation->oracle + ": " + violation->text : "it was never made";
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
    translation_.tids[thread] = kernel_.gettid();
    for (size_t i = 0; i < recording_.calls.size(); ++i) {
      const RecordedCall& call = recording_.calls[i];
      if (call.thread != thread) continue;
      playing_[actor] = &call;
      const MayBegin may(*this, call);
      kernel_.scheduler().Sleep(call.name.c_str(), Footprint::Everything(), &may, kNever);
      if (begin_call_) begin_call_(i);
      std::string result = call.again(translation_);
      if (result != call.result) {
        refused_ = i;
        instead_ = std::move(result);
        kernel_.scheduler().GiveUp("refused", "");
      }
      done_[i] = true;
      ++matched_;
    }
    playing_.erase(actor);
  }

  const Recording& recording_;
  SimKernel& kernel_;
  const std::function<void(size_t)>& begin_call_;
  Translation translation_;
  std::shared_ptr<Connection> peer_;
  std::vector<bool> done_;                           // by call
  std::map<uint32_t, const RecordedCall*> playing_;  // by actor
  size_t matched_ = 0;
  std::optional<size_t> refused_;
  std::optional<std::string> instead_;
};

std::string Refusal(const Recording& recording, const Acceptance& of, const std::string& why_not) {
  const RecordedCall& call = recording.calls[of.call];
  std::string text = "call " + std::to_string(of.call + 1) + " of " +
                     std::to_string(recording.calls.size()) + ", " + call.name + " in thread " +
                     std::to_string(call.thread) + ": Linux said \"" + call.result +
                     "\", the model ";
  if (of.allowed.empty()) return text + "does not come to its end (" + why_not + ")";
  text += "says ";
  for (const std::string& result : of.allowed) {
    text += (result != *of.allowed.begin() ? " or \"" : "\"") + result + "\"";
  }
  return text;
}

}  // namespace

Acceptance Accept(const Recording& recording, uint64_t executions_max,
                  const std::function<void(size_t)>& begin_call) {
  Acceptance out;
  Resources resources;
  const Performance* performance = nullptr;
  Search search([&](std::span<const Option> options) { return performance->Rank(options); });
  SimOptions options;
  options.scheduler.early_timeouts = static_cast<int>(recording.calls.size());
  std::optional<size_t> furthest;
  std::string why_not;
  while (out.executions < executions_max && search.Next()) {
    ++out.executions;
    SimKernel kernel(search, resources, options);
    Performance present(recording, kernel, begin_call);
    performance = &present;
    present.Run();
    out.accepted = present.complete();
    if (out.accepted) return out;
    if (furthest && present.matched() < *furthest) continue;
    if (!furthest || present.matched() > *furthest) {
      furthest = present.matched();
      out.call = present.first_missing();
      out.allowed.clear();
      why_not = present.why_not();
    }
    if (present.instead() && present.first_missing() == out.call) {
      out.allowed.insert(*present.instead());
    }
  }
  out.refusal = Refusal(recording, out, why_not);
  return out;
}

}  // namespace pollux::sim
