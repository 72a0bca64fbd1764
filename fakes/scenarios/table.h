// The table that was published in 2006, in virtual time: the whole server sends large cold files,
// all of them different, from a modelled disk to clients that take bytes as they come.
//
// Only the kernel is simulated. Files are symbolic (fakes/kernel/symbols.h): no byte of them
// exists, but each client compares which bytes of which file it got with what it asked for.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "core/aio/backend.h"
#include "core/event/coordination.h"
#include "fakes/disk/shape.h"
#include "fakes/kernel/sim_kernel.h"

namespace pollux::sim {

struct TableOptions {
  disk::Shape disk;  // its capacity is set to what the files take
  CoordinationKind coordination = CoordinationKind::kMasked;
  Nanoseconds duration = std::chrono::seconds(60);
  std::function<bool()> stopped;  // looked at every second of virtual time; none: never
};

struct TableCell {
  BackendKind backend = BackendKind::kAuto;
  std::string chunk = "512K";  // --chunk
  unsigned connections = 1;
};

struct TableResult {
  double megabytes_per_second = 0;  // of 10^6 bytes
  double slowest = 0;               // the client that got least: its share, 1 for an equal one
  uint64_t steps = 0;
  std::optional<Violation> violation;
};

TableResult RunTableCell(const TableCell& cell, const TableOptions& options, Resources& resources);

// Whether --chunk makes a difference to it.
bool HasChunks(BackendKind backend);
// MB/s, of the cells that the table of 2006 has.
std::optional<double> PublishedRate(const TableCell& cell);

}  // namespace pollux::sim
