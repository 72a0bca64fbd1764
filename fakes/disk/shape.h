// What a disk is made of, in numbers, and what they come to: the formulas of the disk model, all of
// them. Times are of one read on one spindle; array.h puts reads into queues.
//
// Sources. The seek curve, a square root of the distance: Ruemmler and Wilkes, "An introduction to
// disk drive modeling", IEEE Computer 27(3), 1994. The numbers of raid1-2006: data sheet of the
// Seagate ST3160827AS (Barracuda 7200.7: 7200 rpm, 8.5 ms average seek, 58 MB/s sustained), two of
// which served the table that was published in 2006.
//
// Not modelled: zones (outer tracks are faster), heads, the drive's cache beyond a read that goes
// on where the last one ended, writes, errors.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "core/base/units.h"

namespace pollux::disk {

struct Shape {
  // All of them hold the same (RAID1): a read goes to one.
  unsigned spindles = 1;
  // The part of the disk that is in use: seeks are measured against it.
  uint64_t capacity_bytes = 160'000'000'000;
  double media_bytes_per_second = 58e6;
  Nanoseconds seek_track = std::chrono::microseconds(800);     // to the next track
  Nanoseconds seek_average = std::chrono::microseconds(8500);  // between two random places
  double rpm = 7200;                                           // 0: nothing turns
  // Of each read, before anything moves: the command, the bus, the controller.
  Nanoseconds command = std::chrono::microseconds(200);
  // A little ahead on the same tracks or the next ones the head finds its sector sooner than after
  // a seek, since tracks are skewed against each other. 1.2 to 2.4 ms is what a single client's
  // rates of 2006 leave, if its chunks alternated between the spindles.
  Nanoseconds skip = std::chrono::microseconds(1500);
  uint64_t skip_bytes = 4 << 20;  // how far that reaches
};

// One turn of the platter; 0 if nothing turns.
Nanoseconds Turn(const Shape& shape);
// Zero for no distance; over all pairs of places (bytes) its mean is seek_average.
Nanoseconds SeekTime(const Shape& shape, uint64_t distance);
Nanoseconds TransferTime(const Shape& shape, uint64_t length);
// From `start` on, with the head behind byte `head`: until it stands before `offset`. Where the
// platter is follows from the time; a read that goes on at `head` finds it there at any time (the
// drive reads ahead into its buffer).
Nanoseconds PositionTime(const Shape& shape, uint64_t head, uint64_t offset, TimePoint start);
// All of it.
Nanoseconds ServiceTime(const Shape& shape, uint64_t head, uint64_t offset, uint64_t length,
                        TimePoint start);
// What reads of `length` at random places take in the mean, one after the other.
Nanoseconds RandomReadTime(const Shape& shape, uint64_t length);

// "raid1-2006", "hdd" (one of its spindles), "ssd" (nothing moves; one read at a time, 520 MB/s),
// or one of these with numbers of one's own: "hdd,rate=80,seek=9,rpm=5400,spindles=3,capacity=250"
// (MB/s, ms, turns a minute, -, GB). "none" is no disk: nullopt. Otherwise one line on what is
// wrong.
tl::expected<std::optional<Shape>, std::string> ParseShape(std::string_view words);

}  // namespace pollux::disk
