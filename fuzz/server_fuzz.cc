// The whole server on the simulated kernel: what its clients send, when, and every choice that
// Linux leaves open, faults and signals among them, are bytes of one input
// (fakes/scenarios/fuzz_input.h).
//
// A crash file is a replay file:  pollux-sim replay crash-...  (and shrink, for the shortest one)
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fakes/scenarios/fuzz_input.h"
#include "fuzz/input.h"
#include "fuzz/request_mutator.h"

namespace {

using pollux::fuzz::Random;
using pollux::sim::EndOfScript;
using pollux::sim::kFuzzMagic;
using pollux::sim::kFuzzStageBytes;

constexpr size_t kScriptBegin = kFuzzMagic.size() + kFuzzStageBytes;
constexpr std::array<char, 12> kMarks = {'n', 'c', 'p', 'l', 's', 'h',
                                         'q', 'r', 'F', 'H', 'T', '\xff'};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto input = pollux::sim::ParseFuzzInput(pollux::fuzz::Input(data, size).rest());
  if (!input) return -1;  // keeps it out of the corpus
  static pollux::sim::Resources resources;
  pollux::sim::ReplayStrategy choices(std::move(input->choices));
  (void)choices.Begin();
  const pollux::sim::Outcome outcome =
      pollux::sim::TellConversation(input->options, choices, resources, nullptr);
  if (!outcome.violation) return 0;
  std::fprintf(stderr, "%s: %s\nreplay with: pollux-sim replay FILE\n",
               outcome.violation->oracle.c_str(), outcome.violation->text.c_str());
  std::abort();
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  Random random(seed + 1);
  std::string text(pollux::fuzz::Input(data, size).rest());
  if (!text.starts_with(kFuzzMagic) || text.size() < kScriptBegin) {
    text = std::string(kFuzzMagic) + std::string(kFuzzStageBytes, '\0');
  }
  const size_t end = EndOfScript(text, kScriptBegin);
  std::string script = text.substr(kScriptBegin, end - kScriptBegin);
  std::string choices = end < text.size() ? text.substr(end + 2) : "";
  const size_t room = std::max(size_max, text.size() + 2) - text.size();
  switch (random() % 10) {
    case 0:
      text[kFuzzMagic.size() + random() % kFuzzStageBytes] = static_cast<char>(random());
      break;
    case 1:
      script.insert(random() % (script.size() + 1), {'\xff', kMarks[random() % kMarks.size()]});
      break;
    case 2:
    case 3:
    case 4:
      pollux::fuzz::MutateRequests(script, random);
      break;
    case 5:
    case 6:
      pollux::fuzz::MutateBytes(script, script.size() + std::min<size_t>(room, 256));
      break;
    default:
      pollux::fuzz::MutateBytes(choices, choices.size() + std::min<size_t>(room, 64));
  }
  text = text.substr(0, kScriptBegin) + script;
  if (!choices.empty())
    text +=
        "\xff"
        "e" +
        choices;
  return pollux::fuzz::Store(text, data, size_max);
}
