#include "fakes/scenarios/last_words.h"

#include <signal.h>

#include <initializer_list>
#include <utility>

namespace pollux::sim {
namespace {

// A sanitizer has more to say of a crash.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::initializer_list<int> kLast = {SIGABRT};
#else
constexpr std::initializer_list<int> kLast = {SIGABRT, SIGSEGV};
#endif

// A signal handler gets no context.
std::function<void()>* g_say = nullptr;

extern "C" void PolluxLastWords(int signum) {
  (void)signal(signum, SIG_DFL);  // what goes wrong from here on ends the process
  // Raised by the code that runs, not from outside: as far as the heap is whole, all may be called.
  if (auto* say = std::exchange(g_say, nullptr)) (*say)();
  (void)raise(signum);
}

}  // namespace

LastWords::LastWords(std::function<void()> say) {
  g_say = new std::function<void()>(std::move(say));
  for (const int signum : kLast) (void)signal(signum, PolluxLastWords);
}

LastWords::~LastWords() {
  for (const int signum : kLast) (void)signal(signum, SIG_DFL);
  delete std::exchange(g_say, nullptr);
}

}  // namespace pollux::sim
