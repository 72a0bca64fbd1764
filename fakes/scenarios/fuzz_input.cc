#include "fakes/scenarios/fuzz_input.h"

#include <algorithm>
#include <array>

namespace pollux::sim {
namespace {

constexpr std::array<BackendKind, 6> kBackends = {
    BackendKind::kAuto,          BackendKind::kLinuxAioSendfile,
    BackendKind::kLinuxAioWrite, BackendKind::kThreadsSendfile,
    BackendKind::kLinuxSendfile, BackendKind::kWritev};

}  // namespace

size_t EndOfScript(std::string_view bytes, size_t begin) {
  for (size_t i = begin; i + 1 < bytes.size(); ++i) {
    if (bytes[i] != '\xff') continue;
    if (bytes[i + 1] == 'e') return i;
    ++i;
  }
  return bytes.size();
}

std::optional<FuzzInput> ParseFuzzInput(std::string_view bytes) {
  if (!bytes.starts_with(kFuzzMagic)) return std::nullopt;
  const auto byte_at = [&](size_t at) -> unsigned {
    return at < bytes.size() ? static_cast<unsigned char>(bytes[at]) : 0;
  };
  const unsigned how = byte_at(kFuzzMagic.size()), threads = byte_at(kFuzzMagic.size() + 1),
                 troubles = byte_at(kFuzzMagic.size() + 2);
  FuzzInput out;
  out.options.backend = kBackends[how % kBackends.size()];
  out.options.retire = how / kBackends.size() % 2 == 0 ? Retire::kPunch : Retire::kFresh;
  out.options.coordination =
      threads % 2 == 0 ? CoordinationKind::kMasked : CoordinationKind::kEventfd;
  out.options.leader_first = threads / 2 % 2 == 0;
  out.options.signals = static_cast<int>(troubles % 4);
  out.options.faults = static_cast<int>(troubles / 4 % 4);
  out.options.early_timeouts = static_cast<int>(troubles / 16 % 4);
  const size_t begin = std::min(kFuzzMagic.size() + kFuzzStageBytes, bytes.size());
  const size_t end = EndOfScript(bytes, begin);
  out.options.script = bytes.substr(begin, end - begin);
  if (out.options.script.empty()) out.options.script.push_back('\0');
  for (size_t i = end + 2; i < bytes.size(); ++i) {
    out.choices.insert(out.choices.end(), byte_at(i) / 8, 0);
    out.choices.push_back(byte_at(i) % 8);
  }
  return out;
}

}  // namespace pollux::sim
