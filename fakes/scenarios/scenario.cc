#include "fakes/scenarios/scenario.h"

#include <algorithm>

namespace pollux::sim {

const std::vector<Story>& AllStories() {
  static const std::vector<Story> stories = {
      {"one-chunk", "one read, nothing else", true, false, TellOneChunk},
      {"two-chunks", "two reads one after the other, and a client's byte", true, false,
       TellTwoChunks},
      {"slow-read", "a client's byte during a read of three seconds", true, false, TellSlowRead},
      {"foreign-signal", "SIGALRM during a read of three seconds", true, false, TellForeignSignal},
      {"toy-loop", "a loop that is not Pollux: an eventfd and a word", true, false, TellToyLoop},
      {"small-request", "the server; one client, 100 bytes", false, true, TellSmallRequest},
      {"download", "the server; one client, one file", false, true, TellDownload},
      {"late-reader", "the server; a client that pauses before it reads", false, true,
       TellLateReader},
      {"ten-downloads", "the server; ten clients, sizes from 0 to 300 kB", false, true,
       TellTenDownloads},
      {"crowd", "the server; 100 clients, late and dead ones, faults, then none", false, true,
       TellCrowd},
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
