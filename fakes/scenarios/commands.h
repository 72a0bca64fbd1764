// The subcommands of pollux-sim, a file each. Each Add... puts one into `app`: a command line that
// names it runs it while it is parsed, and leaves its exit status in `status`.
#pragma once

#include <CLI/CLI.hpp>
#include <csignal>
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

// From here on Ctrl-C only makes Stopped() true: to be looked at between executions. A second one
// ends the program.
void StopOnCtrlC();
bool Stopped();
const volatile std::sig_atomic_t& StopFlag();  // the same, for who looks at it itself

}  // namespace pollux::sim
