// The mutator of targets whose input is requests and nothing else.
#include "fuzz/input.h"
#include "fuzz/request_mutator.h"

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  pollux::fuzz::Random random(seed + 1);
  std::string text(pollux::fuzz::Input(data, size).rest());
  if (random() % 2 == 0) {
    pollux::fuzz::MutateBytes(text, size_max);
  } else {
    pollux::fuzz::MutateRequests(text, random);
  }
  return pollux::fuzz::Store(text, data, size_max);
}
