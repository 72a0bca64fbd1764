// The subcommands of pollux-sim, a file each. Each Add... puts one into `app`: a command line that
// names it runs it while it is parsed, and leaves its exit status in `status`.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <csignal>
#include <cstdint>
#include <string>

namespace pollux::sim {

inline constexpr int kFound = 1, kUsage = 2, kGone = 3, kStopped = 130;
// The oracle of what ends the program itself.
inline constexpr const char* kAbort = "abort";
inline constexpr const char* kAbortText = "the program gave up; why is said above, if it knew";

void AddListCommand(CLI::App& app, int* status);
void AddSearchCommands(CLI::App& app, int* status);  // run and explore
void AddReplayCommand(CLI::App& app, int* status);
void AddShrinkCommand(CLI::App& app, int* status);
void AddTraceCommand(CLI::App& app, int* status);
void AddTableCommand(CLI::App& app, int* status);
void AddRecordingCommands(CLI::App& app, int* status);  // record and accept

// Says on standard error what is wrong, in one line. kUsage.
int Complain(const std::string& message);

// What a number on the command line may be: whole, and in its range. CLI11's own checks let words
// beyond 64 bits become the largest number, and print the largest double for "any number".
inline CLI::Validator WholeNumber(uint64_t min, uint64_t max) {
  return CLI::Validator(
      [min, max](const std::string& word) -> std::string {
        uint64_t value = 0;
        const char* end = word.data() + word.size();
        const auto [stop, error] = std::from_chars(word.data(), end, value);
        if (error == std::errc{} && stop == end && min <= value && value <= max) return "";
        return "'" + word + "' is no whole number from " + std::to_string(min) + " to " +
               std::to_string(max);
      },
      "");
}

// From here on Ctrl-C, or SIGTERM, only makes Stopped() true: to be looked at between executions. A
// second one ends the program.
void StopOnCtrlC();
bool Stopped();
const volatile std::sig_atomic_t& StopFlag();  // the same, for who looks at it itself

}  // namespace pollux::sim
