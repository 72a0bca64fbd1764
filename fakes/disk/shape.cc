#include "fakes/disk/shape.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace pollux::disk {
namespace {

constexpr double kNanosecondsInSecond = 1e9;
constexpr const char* kNames = "none, hdd, raid1-2006, ssd";
constexpr const char* kKeys = "spindles, rate (MB/s), seek (ms), rpm, capacity (GB)";

Nanoseconds Rounded(double nanoseconds) { return Nanoseconds(std::llround(nanoseconds)); }

std::optional<Shape> Named(std::string_view name) {
  Shape shape;
  if (name == "hdd") return shape;
  if (name == "raid1-2006") {
    shape.spindles = 2;
    return shape;
  }
  if (name != "ssd") return std::nullopt;
  shape.media_bytes_per_second = 520e6;
  shape.seek_track = shape.seek_average = shape.skip = Nanoseconds(0);
  shape.rpm = 0;
  shape.command = std::chrono::microseconds(80);
  return shape;
}

// Whether there is such a key, and the number can be its value.
bool Set(Shape& shape, std::string_view key, double value) {
  // Within these, times fit into nanoseconds whatever is read.
  constexpr double kMax = 1e6, kRateMin = 1e-3, kTurnsMin = 1, kCapacityMin = 1e-3;
  if (!(value >= 0 && value <= kMax)) return false;
  if (key == "rpm" && (value == 0 || value >= kTurnsMin)) {
    shape.rpm = value;
  } else if (key == "seek") {
    shape.seek_average = Rounded(value * 1e6);
    shape.seek_track = std::min(shape.seek_track, shape.seek_average);
  } else if (key == "rate" && value >= kRateMin) {
    shape.media_bytes_per_second = value * 1e6;
  } else if (key == "capacity" && value >= kCapacityMin) {
    shape.capacity_bytes = static_cast<uint64_t>(value * 1e9);
  } else if (key == "spindles" && value == std::floor(value) && value >= 1 && value <= 64) {
    shape.spindles = static_cast<unsigned>(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

Nanoseconds Turn(const Shape& shape) {
  return shape.rpm > 0 ? Rounded(60 * kNanosecondsInSecond / shape.rpm) : Nanoseconds(0);
}

Nanoseconds SeekTime(const Shape& shape, uint64_t distance) {
  if (distance == 0) return Nanoseconds(0);
  const double part =
      std::min(1.0, static_cast<double>(distance) / static_cast<double>(shape.capacity_bytes));
  // Two random places of [0, 1] are x apart with density 2 (1 - x): the mean of the root is 8/15.
  const double factor = 15.0 / 8.0 * std::sqrt(part);
  const auto above = static_cast<double>((shape.seek_average - shape.seek_track).count());
  return shape.seek_track + Rounded(above * factor);
}

Nanoseconds TransferTime(const Shape& shape, uint64_t length) {
  return Rounded(static_cast<double>(length) / shape.media_bytes_per_second * kNanosecondsInSecond);
}

Nanoseconds PositionTime(const Shape& shape, uint64_t head, uint64_t offset, TimePoint start) {
  if (offset == head) return Nanoseconds(0);
  if (offset > head && offset - head <= shape.skip_bytes) {
    return std::min(TransferTime(shape, offset - head), shape.skip);
  }
  const Nanoseconds seek = SeekTime(shape, offset > head ? offset - head : head - offset);
  const Nanoseconds turn = Turn(shape);
  if (turn == Nanoseconds(0)) return seek;
  // A track is what passes below the head in one turn; the first byte of each is at the same angle.
  const double track =
      shape.media_bytes_per_second * static_cast<double>(turn.count()) / kNanosecondsInSecond;
  const double sector = std::fmod(static_cast<double>(offset), track) / track;
  const double platter =
      static_cast<double>((start + seek).time_since_epoch().count() % turn.count()) /
      static_cast<double>(turn.count());
  const double ahead = sector >= platter ? sector - platter : sector - platter + 1;
  return seek + Rounded(ahead * static_cast<double>(turn.count()));
}

Nanoseconds ServiceTime(const Shape& shape, uint64_t head, uint64_t offset, uint64_t length,
                        TimePoint start) {
  return shape.command + PositionTime(shape, head, offset, start + shape.command) +
         TransferTime(shape, length);
}

Nanoseconds RandomReadTime(const Shape& shape, uint64_t length) {
  return shape.command + shape.seek_average + Turn(shape) / 2 + TransferTime(shape, length);
}

tl::expected<std::optional<Shape>, std::string> ParseShape(std::string_view words) {
  size_t comma = std::min(words.find(','), words.size());
  const std::string_view name = words.substr(0, comma);
  if (words == "none") return std::optional<Shape>();
  std::optional<Shape> shape = Named(name);
  if (!shape) {
    return tl::unexpected("no disk '" + std::string(name) + "'; there are: " + kNames +
                          ", and numbers after a name as in hdd,rate=80,rpm=5400");
  }
  while (comma < words.size()) {
    words.remove_prefix(comma + 1);
    comma = std::min(words.find(','), words.size());
    const std::string_view pair = words.substr(0, comma);
    const size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view text = pair.substr(std::min(equals + 1, pair.size()));
    double value = -1;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
    if (!whole || !Set(*shape, pair.substr(0, equals), value)) {
      std::string wrong = "'";  // (gcc 12 warns of "..." + std::string: its bug 105329)
      wrong.append(pair).append("' says nothing of a disk; there are: ").append(kKeys);
      return tl::unexpected(wrong.append(", each =NUMBER"));
    }
  }
  return shape;
}

}  // namespace pollux::disk
