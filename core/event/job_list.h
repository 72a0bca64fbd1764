// lighttpd's joblist: what is to be done at the end of a turn. Internal to EventLoop.
#pragma once

#include <boost/intrusive/list.hpp>

#include "core/event/event_loop.h"

namespace pollux {

class JobList {
 public:
  bool empty() const { return posted_.empty(); }

  void Append(Job& job) {
    if (!job.queued()) posted_.push_back(job);
  }

  // Runs what was posted before this call. A job may post itself or others (for the next call) and
  // destroy itself or others (they leave the list).
  void Run() {
    running_.splice(running_.end(), posted_);
    while (!running_.empty()) {
      Job& job = running_.front();
      running_.pop_front();
      job.RunJob();
    }
  }

 private:
  using List = boost::intrusive::list<Job, boost::intrusive::constant_time_size<false>>;
  List posted_;
  List running_;
};

}  // namespace pollux
