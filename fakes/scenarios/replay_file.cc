#include "fakes/scenarios/replay_file.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "fakes/recording/bytes_text.h"
#include "fakes/scenarios/files.h"
#include "fakes/scenarios/fuzz_input.h"

namespace pollux::sim {
namespace {

constexpr const char* kFormat = "pollux-sim replay 1";
constexpr size_t kChoicesMax = 10'000'000;
constexpr uint64_t kCountMax = 1000;  // signals, time-outs, faults

using nlohmann::json;

// Without the conversions of get(), which wraps, cuts off and takes true for 1.
uint64_t Number(const json& value, uint64_t most) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() > most) {
    throw json::other_error::create(501, "number", &value);
  }
  return value.get<uint64_t>();
}

// Throws json's exceptions; ReadReplay catches them.
ReplayFile FromJson(const json& file) {
  ReplayFile out;
  out.story = file.at("story").get<std::string>();
  const auto coordination = ParseCoordination(file.at("coordination").get<std::string>());
  const auto backend = ParseBackend(file.at("backend").get<std::string>());
  const auto retire = ParseRetire(file.at("retire").get<std::string>());
  if (!coordination || !backend || !retire) throw json::other_error::create(501, "option", &file);
  out.options.coordination = *coordination;
  out.options.backend = *backend;
  out.options.retire = *retire;
  const auto count = [&](const char* name) {
    return static_cast<int>(Number(file.at(name), kCountMax));
  };
  out.options.signals = count("signals");
  out.options.early_timeouts = count("early_timeouts");
  out.options.faults = count("faults");
  // Files that are older have none.
  if (file.contains("spurious_wakeups")) out.options.spurious_wakeups = count("spurious_wakeups");
  out.options.leader_first = file.at("leader_first").get<bool>();
  out.options.disk = file.value("disk", "none");  // files that are older have none
  if (!disk::ParseShape(out.options.disk)) throw json::other_error::create(501, "disk", &file);
  out.options.steps_max = Number(file.at("steps_max"), UINT64_MAX);
  const auto script = BytesFromUtf8(file.value("script", std::string()));
  if (!script) throw json::other_error::create(501, "script", &file);
  out.options.script = *script;
  out.oracle = file.at("oracle").get<std::string>();
  out.trace_hash = Number(file.at("trace_hash"), UINT64_MAX);
  for (const json& entry : file.at("choices")) {
    const size_t at = Number(entry.at(0), kChoicesMax - 1);
    if (at >= out.choices.size()) out.choices.resize(at + 1);
    out.choices[at] = static_cast<uint32_t>(Number(entry.at(1), UINT32_MAX));
  }
  return out;
}

}  // namespace

std::string ToText(const ReplayFile& replay) {
  json choices = json::array();
  for (size_t i = 0; i < replay.choices.size(); ++i) {
    if (replay.choices[i] != 0) choices.push_back({i, replay.choices[i]});
  }
  const json file = {{"format", kFormat},
                     {"story", replay.story},
                     {"coordination", ToString(replay.options.coordination)},
                     {"backend", ToString(replay.options.backend)},
                     {"retire", ToString(replay.options.retire)},
                     {"signals", replay.options.signals},
                     {"early_timeouts", replay.options.early_timeouts},
                     {"faults", replay.options.faults},
                     {"spurious_wakeups", replay.options.spurious_wakeups},
                     {"leader_first", replay.options.leader_first},
                     {"disk", replay.options.disk},
                     {"steps_max", replay.options.steps_max},
                     {"script", BytesToUtf8(replay.options.script)},
                     {"oracle", replay.oracle},
                     {"trace_hash", replay.trace_hash},
                     {"choices", std::move(choices)}};
  return file.dump(1) + '\n';
}

tl::expected<ReplayFile, std::string> ReadReplay(const std::string& path) {
  const auto text = ReadText(path, "replay file");
  if (!text) return tl::unexpected(text.error());
  if (auto input = ParseFuzzInput(*text)) {
    return ReplayFile{"conversation", std::move(input->options), std::move(input->choices), "", 0};
  }
  const json file = json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (file.is_discarded() || !file.is_object()) {
    return tl::unexpected(path + " is no replay file, or was cut off");
  }
  if (file.value("format", json()) != kFormat) {
    return tl::unexpected(path + " is not of the format \"" + kFormat + "\"");
  }
  try {
    ReplayFile replay = FromJson(file);
    if (FindStory(replay.story) == nullptr) {
      return tl::unexpected(path + " tells a story that is not known: " + replay.story);
    }
    return replay;
  } catch (const json::exception&) {
    return tl::unexpected(path + " is a replay file with an entry missing or wrong");
  }
}

}  // namespace pollux::sim
