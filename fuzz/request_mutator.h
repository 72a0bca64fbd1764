// Changes requests as what they are: lines, fields, values. libFuzzer's own mutations, which change
// bytes, are made half of the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>

namespace pollux::fuzz {

using Random = std::minstd_rand;

// libFuzzer's, on at most `size_max` bytes. Leaves the text as it is under another engine.
void MutateBytes(std::string& text, size_t size_max);

// One change to one or several requests.
void MutateRequests(std::string& text, Random& random);

// What LLVMFuzzerCustomMutator returns: `text` in the place of the input, cut to `size_max`.
size_t Store(const std::string& text, uint8_t* data, size_t size_max);

}  // namespace pollux::fuzz
