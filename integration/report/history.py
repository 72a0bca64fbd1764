"""The table of 2006: as it was published, on the modelled disk, and on the simulated kernel."""

import charts
import sources
from parts import Table

_CONNECTIONS = (1, 2, 5, 10)
# MB/s [CPU idle]: lighttpd 1.5, siege, 700 MB files, RAID1 of two ST3160827AS, Athlon 64 3000+.
PUBLISHED = {
    "linux-sendfile": {1: (52.38, 9), 2: (39.94, 8), 5: (35.45, 7)},
    "linux-aio-sendfile, 512K": {1: (89.85, 70), 2: (94.52, 70), 5: (31.81, 86), 10: (25.22, 82)},
    "linux-aio-sendfile, 1M": {1: (107.50, 67), 2: (92.74, 70), 5: (72.84, 70), 10: (32.87, 90)},
}


def published():
    rows = [[name, *(f"{found[count][0]:.2f} [{found[count][1]} %]" if count in found else "–"
                     for count in _CONNECTIONS)] for name, found in PUBLISHED.items()]
    return Table("As published in November 2006: MB/s [processor idle]",
                 ["lighttpd 1.5", *(f"{count} conn." for count in _CONNECTIONS)], rows, "", (
                     "siege, files of 700 MB, a RAID1 of two ST3160827AS, an Athlon 64 3000+. "
                     "lighttpd 1.5 was never released; the backend was dropped in 2007.",))


def simulated(document):
    """What pollux-sim table says, if ci/validate has asked it."""
    found = document.get("simulated_2006")
    if not found:
        return {"title": "On the simulated kernel", "problem": "", "command":
                "build/release/pollux-sim table"}
    counts = sorted({cell["connections"] for cell in found["cells"]})
    rows = {}
    for cell in found["cells"]:
        name = cell["backend"] + (f", {cell['chunk']}" if cell["chunk"] else "")
        rows.setdefault(name, {})[cell["connections"]] = cell
    series = {name: [(count, {"median": cells[count]["mb_per_second"], "min": 0, "max": 0})
                     for count in counts if count in cells] for name, cells in rows.items()}
    top = charts.rounded_up(max(cell["mb_per_second"] for cell in found["cells"]))
    table = Table(
        f"On the simulated kernel, disk {found['disk']}: MB/s",
        ["backend", *(f"{count} conn." for count in counts)],
        [[name, *(_beside(cells.get(count)) for count in counts)] for name, cells in rows.items()],
        "build/release/pollux-sim table",
        ("In brackets: how many times the figure of 2006, where there is one. Each cell is "
         f"{found['virtual_seconds']} s of virtual time; the same on every machine.",))
    table.panels_title = ("MB/s by connections. Heavy: the one that is named; light: the others; "
                          "diamonds: as published in 2006.")
    table.panels = [(name, charts.panel(
        name, points, counts, top, "MB/s", [other for key, other in series.items() if key != name],
        dots=_dots(name))) for name, points in series.items()]
    return table


def _dots(name):
    found = PUBLISHED.get(name if name in PUBLISHED else name.partition(",")[0])
    return ("2006", [(count, rate) for count, (rate, _) in found.items()]) if found else None


def _beside(cell):
    if cell is None:
        return ""
    ratio = cell["ratio"]
    return f"{cell['mb_per_second']:.0f}" + (f" (× {ratio:.2f})" if ratio else "")


def parts_of(folder, validated, stamp):
    source = sources.benchmark(folder, "2006")
    measured = {"title": "On the modelled disk, with the real kernel", "problem": source.problem,
                "command": source.command}
    del stamp
    return [published(), measured, simulated(validated.document)]
