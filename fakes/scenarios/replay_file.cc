#include "fakes/scenarios/replay_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "fakes/scenarios/fuzz_input.h"

namespace pollux::sim {
namespace {

constexpr const char* kFormat = "pollux-sim replay 1";
constexpr size_t kChoicesMax = 10'000'000;
constexpr size_t kFileBytesMax = 128 << 20;
constexpr int kCountMax = 1000;  // signals, time-outs, faults

using nlohmann::json;

// JSON is text: a byte is the code point of its number.
std::string ToUtf8(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x80) {
      out.push_back(c);
    } else {
      out.push_back(static_cast<char>(0xc0 | byte >> 6));
      out.push_back(static_cast<char>(0x80 | (byte & 0x3f)));
    }
  }
  return out;
}

// Throws what FromJson throws.
std::string FromUtf8(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < 0x80) {
      out.push_back(text[i]);
    } else if ((byte == 0xc2 || byte == 0xc3) && i + 1 < text.size()) {
      out.push_back(static_cast<char>(byte << 6 | (static_cast<unsigned char>(text[++i]) & 0x3f)));
    } else {
      throw json::other_error::create(501, "script", nullptr);
    }
  }
  return out;
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
    const int value = file.at(name).get<int>();
    if (value < 0 || value > kCountMax) throw json::other_error::create(501, name, &file);
    return value;
  };
  out.options.signals = count("signals");
  out.options.early_timeouts = count("early_timeouts");
  out.options.faults = count("faults");
  // Files that are older have none.
  if (file.contains("spurious_wakeups")) out.options.spurious_wakeups = count("spurious_wakeups");
  out.options.leader_first = file.at("leader_first").get<bool>();
  out.options.disk = file.value("disk", "none");  // files that are older have none
  if (!disk::ParseShape(out.options.disk)) throw json::other_error::create(501, "disk", &file);
  out.options.steps_max = file.at("steps_max").get<uint64_t>();
  out.options.script = FromUtf8(file.value("script", std::string()));
  out.oracle = file.at("oracle").get<std::string>();
  out.trace_hash = file.at("trace_hash").get<uint64_t>();
  for (const json& entry : file.at("choices")) {
    const auto at = entry.at(0).get<size_t>();
    if (at >= kChoicesMax) throw json::other_error::create(501, "choices", &file);
    if (at >= out.choices.size()) out.choices.resize(at + 1);
    out.choices[at] = entry.at(1).get<uint32_t>();
  }
  return out;
}

// In pieces through std::istream, which turns what its buffer throws (a folder: EISDIR) into a bit.
tl::expected<std::string, std::string> ReadAll(const std::string& path) {
  std::ifstream in(path);
  if (!in) return tl::unexpected("cannot open " + path);
  std::string text;
  std::array<char, 64 << 10> piece;
  while (in) {
    in.read(piece.data(), piece.size());
    text.append(piece.data(), static_cast<size_t>(in.gcount()));
    if (text.size() > kFileBytesMax) return tl::unexpected(path + " is no replay file: too large");
  }
  if (in.bad()) return tl::unexpected("cannot read " + path);
  return text;
}

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
                     {"script", ToUtf8(replay.options.script)},
                     {"oracle", replay.oracle},
                     {"trace_hash", replay.trace_hash},
                     {"choices", std::move(choices)}};
  return file.dump(1) + '\n';
}

}  // namespace

bool ReplayTarget::Open() {
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  made_ = fd_ >= 0;
  // EEXIST: there already. O_CREAT again: it may be a symbolic link to a file that is not there.
  if (fd_ < 0 && errno == EEXIST) fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  return fd_ >= 0;
}

bool ReplayTarget::Write(const ReplayFile& replay) {
  // EINVAL: a pipe or a terminal, which has no length.
  if (ftruncate(fd_, 0) != 0 && errno != EINVAL) return false;
  const std::string text = ToText(replay);
  for (size_t at = 0; at < text.size();) {
    const ssize_t put = write(fd_, text.data() + at, text.size() - at);
    if (put < 0 && errno == EINTR) continue;  // Ctrl-C: said after this
    if (put <= 0) return false;
    at += static_cast<size_t>(put);
  }
  return true;
}

ReplayTarget::~ReplayTarget() {
  if (fd_ < 0) return;
  struct stat info {};
  // Its length is asked for, not remembered: another process may have written it.
  if (made_ && fstat(fd_, &info) == 0 && info.st_size == 0) unlink(path_.c_str());
  close(fd_);
}

tl::expected<ReplayFile, std::string> ReadReplay(const std::string& path) {
  const auto text = ReadAll(path);
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
