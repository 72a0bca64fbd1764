// How to put a loop that is not Pollux under the simulated kernel: write it against Kernel, tell a
// story with it, and say what must not come of it.
//
// This one is a classic of event loops: another thread puts a job into a word and makes an eventfd
// readable; the loop drains the eventfd, then looks at the word. In the other order, look and then
// drain, it loses jobs: change it below and see the explorer find that.
#include <poll.h>
#include <sys/eventfd.h>

#include <memory>

#include "core/base/check.h"
#include "core/sys/raii.h"
#include "fakes/scenarios/scenario.h"

namespace pollux::sim {
namespace {

constexpr uint64_t kJobs = 2;

// The loop: returns when it has done kJobs jobs.
void ToyLoop(Kernel& kernel, int eventfd, SharedWord& jobs) {
  uint64_t done = 0;
  while (done < kJobs) {
    pollfd entry{eventfd, POLLIN, 0};
    CHECK(kernel.poll(&entry, 1, 1000));
    uint64_t news = 0;
    (void)kernel.read(eventfd, &news, sizeof news);  // EAGAIN: nothing new
    done += jobs.exchange(0);
  }
}

void Producer(Kernel& kernel, int eventfd, SharedWord& jobs) {
  const uint64_t one = 1;
  for (uint64_t i = 0; i < kJobs; ++i) {
    jobs.fetch_add(1);
    CHECK(kernel.write(eventfd, &one, sizeof one));
  }
}

}  // namespace

Outcome TellToyLoop(const StoryOptions& options, Chooser& chooser, Resources& resources,
                    StepListener* listener) {
  SimKernel kernel(chooser, resources, KernelOptions(options));
  Scheduler& scheduler = kernel.scheduler();
  scheduler.set_listener(listener);
  scheduler.set_on_timeout([&](const SimThread&) {
    scheduler.Report("timeout rescue", "the toy loop slept until its time-out");
  });
  const bool ended = kernel.Run([&] {
    Fd eventfd(kernel, kernel.eventfd(0, EFD_NONBLOCK).value());
    const auto jobs = kernel.word_create(0);
    Thread producer(
        kernel,
        kernel.thread_create("producer", [&] { Producer(kernel, eventfd.get(), *jobs); }).value());
    ToyLoop(kernel, eventfd.get(), *jobs);
  });
  if (ended && !kernel.Leaks().empty()) scheduler.Report("leak", kernel.Leaks());
  return {scheduler.violation(), scheduler.steps(), scheduler.trace_hash(), 0};
}

}  // namespace pollux::sim
