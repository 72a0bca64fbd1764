// For a test that needs something of the place where it runs: a file system with direct I/O, root.
// Without it the test skips itself and says why. Continuous integration ($CI is "true") is a place
// where nothing may be missing: there it fails, or a suite that lost its disk would go on to look
// green. As requirements.py of the integration suite.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string_view>

namespace pollux {

inline bool InContinuousIntegration() {
  const char* ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

}  // namespace pollux

// Ends the function, which returns nothing.
#define SKIP_FOR_WANT_OF(what)                                                 \
  do {                                                                         \
    if (::pollux::InContinuousIntegration()) {                                 \
      FAIL() << "continuous integration must run this test: needs " << (what); \
    }                                                                          \
    GTEST_SKIP() << "needs " << (what);                                        \
  } while (false)
