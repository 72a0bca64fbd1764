// The words of --backend and --retire.
#include <array>

#include "core/aio/backend.h"
#include "core/base/check.h"

namespace pollux {
namespace {

constexpr std::array kBackends = {
    BackendKind::kWritev,        BackendKind::kLinuxSendfile,   BackendKind::kLinuxAioSendfile,
    BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile, BackendKind::kAuto,
};
constexpr std::array kRetires = {Retire::kPunch, Retire::kFresh, Retire::kReuse};

// One table of names, the one in ToString: what is printed is what is parsed.
template <typename T, size_t N>
std::optional<T> ParseWord(const std::array<T, N>& values, std::string_view word) {
  for (const T value : values) {
    if (word == ToString(value)) return value;
  }
  return std::nullopt;
}

}  // namespace

const char* ToString(BackendKind kind) {
  switch (kind) {
    case BackendKind::kWritev:
      return "writev";
    case BackendKind::kLinuxSendfile:
      return "linux-sendfile";
    case BackendKind::kLinuxAioSendfile:
      return "linux-aio-sendfile";
    case BackendKind::kLinuxAioWrite:
      return "linux-aio-write";
    case BackendKind::kThreadsSendfile:
      return "threads-sendfile";
    case BackendKind::kAuto:
      return "auto";
  }
  CHECK(false);
}

const char* ToString(Retire retire) {
  switch (retire) {
    case Retire::kPunch:
      return "punch";
    case Retire::kFresh:
      return "fresh";
    case Retire::kReuse:
      return "reuse";
  }
  CHECK(false);
}

std::optional<BackendKind> ParseBackend(std::string_view word) {
  return ParseWord(kBackends, word);
}

std::optional<Retire> ParseRetire(std::string_view word) { return ParseWord(kRetires, word); }

}  // namespace pollux
