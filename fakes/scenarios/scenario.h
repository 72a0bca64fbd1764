// Stories to be told in every order: what runs on the simulated kernel, what happens around it, and
// what must not come of it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/aio/backend.h"
#include "core/event/coordination.h"
#include "fakes/explore/outcome.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {

struct StoryOptions {
  CoordinationKind coordination = CoordinationKind::kMasked;
  BackendKind backend = BackendKind::kLinuxAioSendfile;
  Retire retire = Retire::kPunch;
  int signals = 0;           // foreign ones (SIGALRM for the process), each at any moment
  int early_timeouts = 0;    // sleeps that end by their time-out although something else can happen
  int faults = 0;            // reads that fail or come back short
  int spurious_wakeups = 0;  // waits for a condition variable that end for nothing
  bool leader_first = true;
  std::string disk = "none";  // for disk::ParseShape, which knows it; "none": any order, at once
  uint64_t steps_max = 200'000;
  std::string script;   // of `conversation` (conversation_script.h); empty: its usual one
  bool stacks = false;  // reports on pages say who sent them and who submitted the read; slow
};

// What a story's options ask of the kernel; the story adds what it needs itself.
SimOptions KernelOptions(const StoryOptions& options);

struct Story {
  const char* name;
  const char* what;
  bool exhaustible;  // small enough to be told in every order
  bool uses_backend;
  bool uses_disk;  // reads files, and foreign signals may come
  Outcome (*tell)(const StoryOptions& options, Chooser& chooser, Resources& resources,
                  StepListener* listener);
};

const std::vector<Story>& AllStories();
const Story* FindStory(std::string_view name);

// From a result's being there to its dispatch, in time that passed while nothing else could happen.
inline constexpr Nanoseconds kDispatchBound = std::chrono::milliseconds(100);

Outcome TellTwoChunks(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener);
Outcome TellOneChunk(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener);
Outcome TellTwoAtOnce(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener);
Outcome TellSlowReads(const StoryOptions& options, Chooser& chooser, Resources& resources,
                      StepListener* listener);
Outcome TellStop(const StoryOptions& options, Chooser& chooser, Resources& resources,
                 StepListener* listener);
Outcome TellTimer(const StoryOptions& options, Chooser& chooser, Resources& resources,
                  StepListener* listener);
Outcome TellRecycledSlot(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener);
Outcome TellSlowRead(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener);
Outcome TellForeignSignal(const StoryOptions& options, Chooser& chooser, Resources& resources,
                          StepListener* listener);
Outcome TellDownload(const StoryOptions& options, Chooser& chooser, Resources& resources,
                     StepListener* listener);
Outcome TellLateReader(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener);
Outcome TellLeaver(const StoryOptions& options, Chooser& chooser, Resources& resources,
                   StepListener* listener);
Outcome TellShrinkingFile(const StoryOptions& options, Chooser& chooser, Resources& resources,
                          StepListener* listener);
Outcome TellSharedFile(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener);
Outcome TellDeadReader(const StoryOptions& options, Chooser& chooser, Resources& resources,
                       StepListener* listener);
Outcome TellTenDownloads(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener);
Outcome TellSmallRequest(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener);
Outcome TellCrowd(const StoryOptions& options, Chooser& chooser, Resources& resources,
                  StepListener* listener);
Outcome TellConversation(const StoryOptions& options, Chooser& chooser, Resources& resources,
                         StepListener* listener);
Outcome TellToyLoop(const StoryOptions& options, Chooser& chooser, Resources& resources,
                    StepListener* listener);

}  // namespace pollux::sim
