#include "fakes/scenarios/scenario.h"

#include <algorithm>

namespace pollux::sim {

SimOptions KernelOptions(const StoryOptions& options) {
  SimOptions out;
  out.scheduler.steps_max = options.steps_max;
  out.scheduler.early_timeouts = options.early_timeouts;
  out.scheduler.stacks = options.stacks;
  out.disk.faults = options.faults;
  out.disk.shape = disk::ParseShape(options.disk).value();
  out.spurious_wakeups = options.spurious_wakeups;
  out.leader_first = options.leader_first;
  return out;
}

const std::vector<Story>& AllStories() {
  static const std::vector<Story> stories = {
      {"one-chunk", "one read, nothing else", true, false, true, TellOneChunk},
      {"two-chunks", "two reads one after the other, and a client's byte", true, false, true,
       TellTwoChunks},
      {"slow-read", "a client's byte during a read of three seconds", true, false, true,
       TellSlowRead},
      {"foreign-signal", "SIGALRM during a read of three seconds", true, false, true,
       TellForeignSignal},
      {"two-at-once", "two reads at once", true, false, true, TellTwoAtOnce},
      {"slow-reads", "two reads of three seconds one after the other", true, false, true,
       TellSlowReads},
      {"stop", "the loop ends during a read of three seconds", true, false, true, TellStop},
      {"timer", "a timer of a second, and SIGALRM before it, twice", true, false, true, TellTimer},
      {"recycled-slot", "an event unregisters another and registers a third", true, false, false,
       TellRecycledSlot},
      {"toy-loop", "a loop that is not Pollux: an eventfd and a word", true, false, false,
       TellToyLoop},
      {"small-request", "the server; one client, 100 bytes", false, true, true, TellSmallRequest},
      {"download", "the server; one client, one file", false, true, true, TellDownload},
      {"late-reader", "the server; a client that pauses before it reads", false, true, true,
       TellLateReader},
      {"leaver", "the server; a client that resets its connection, and one that does not", false,
       true, true, TellLeaver},
      {"shrinking-file", "the server; a file that becomes shorter while it is sent", false, true,
       true, TellShrinkingFile},
      {"shared-file", "the server; two clients, one file", false, true, true, TellSharedFile},
      {"dead-reader", "the server; a client that takes nothing while another wants all", false,
       true, true, TellDeadReader},
      {"ten-downloads", "the server; ten clients, sizes from 0 to 300 kB", false, true, true,
       TellTenDownloads},
      {"crowd", "the server; 100 clients, late and dead ones, faults, then none", false, true, true,
       TellCrowd},
      {"conversation", "the server; clients who say what --script FILE has them say", false, true,
       true, TellConversation},
  };
  return stories;
}

const Story* FindStory(std::string_view name) {
  const auto& stories = AllStories();
  const auto found = std::find_if(stories.begin(), stories.end(),
                                  [&](const Story& story) { return story.name == name; });
  return found != stories.end() ? &*found : nullptr;
}

}  // namespace pollux::sim
