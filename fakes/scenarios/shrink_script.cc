#include "fakes/scenarios/shrink_script.h"

namespace pollux::sim {

// A script is a stream of choices as well: at each place one of 256 bytes, or, as 0, none.
uint64_t ShrinkScript(const Story& story, StoryOptions& options, const Choices& choices,
                      const std::string& oracle, uint64_t executions_max,
                      const volatile std::sig_atomic_t& stopped) {
  if (options.script.size() < 2) return 0;
  const std::string stage = options.script.substr(0, 1);
  Choices bytes;
  for (const unsigned char byte : options.script.substr(1)) bytes.push_back(byte + 1u);
  Resources resources;
  StoryOptions shorter = options;
  const Shrunk shrunk = Shrink(
      bytes, oracle,
      [&](Chooser& chooser) {
        shorter.script = stage;
        for (size_t i = 0; i < bytes.size(); ++i) {
          const size_t byte = chooser.PickValue("byte of the script", 257);
          if (byte > 0) shorter.script.push_back(static_cast<char>(byte - 1));
        }
        if (stopped) return Outcome();
        ReplayStrategy replay(choices);
        (void)replay.Begin();
        Outcome outcome = story.tell(shorter, replay, resources, nullptr);
        if (outcome.violation && outcome.violation->oracle == oracle) {
          options.script = shorter.script;
        }
        return outcome;
      },
      executions_max);
  return shrunk.executions;
}

}  // namespace pollux::sim
