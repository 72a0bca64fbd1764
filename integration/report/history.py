"""The table of 2006: as it was published, on the modelled disk, and on the simulated kernel."""

import charts
import sources
from parts import Table, shown

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
        dots=_dots(name, counts))) for name, points in series.items()]
    return table


def _dots(name, counts=_CONNECTIONS):
    """What was published of a backend, under whatever spelling: "linux-aio-sendfile, 512K"."""
    words = name.replace(",", " ").split()
    for known, found in PUBLISHED.items():
        if words and words[-len(known.split()):] == known.replace(",", "").split():
            return [(count, rate) for count, (rate, _) in found.items() if count in counts]
    return []


def _beside(cell):
    if cell is None:
        return ""
    ratio = cell["ratio"]
    return f"{cell['mb_per_second']:.0f}" + (f" (× {ratio:.2f})" if ratio else "")


def _column(count, files):
    return f"{count} conn." + ("" if files == "distinct" else f", {files} file")


def _rounds(count):
    return "one round" if count == 1 else f"{count} rounds"


def _rates(document, command):
    """MB/s by server and column, the limit and what was published below; panels of the same."""
    columns = list(dict.fromkeys((row["connections"], row["files"]) for row in document["results"]))
    found = {(row["server"], row["connections"], row["files"]): row["mb_per_s"]
             for row in document["results"]}
    limit = {(row["connections"], "distinct"): row["mb_per_s"] for row in document["limit"]}

    def line(name, key):
        return [name, *(shown(key(column), 0) if key(column) else "" for column in columns)]

    names = document["servers"]
    rows = [line(name, lambda column, name=name: found.get((name, *column))) for name in names]
    parts = []
    if limit:
        rows.append(line("fio, the best of its shapes", limit.get))
        parts = [[name, *(f"{found[name, *column]['median'] / limit[column]['median']:.2f}"
                          if (name, *column) in found and column in limit else ""
                          for column in columns)] for name in names]
    heads = [_column(*column) for column in columns]
    disk = document["disk"]
    table = Table(f"On the modelled disk {disk['model']}, with the real kernel: MB/s",
                  ["server", *heads], rows, command, (
                      f"Files of {document['file_bytes'] / 1e6:.0f} MB, ext4, "
                      f"{disk['read_ahead_bytes'] // 1024} KiB of read-ahead, two spindles that "
                      f"carry {disk['limit_mb_per_s']:.0f} MB/s at most; median, minimum and "
                      f"maximum of {_rounds(document['rounds'])}.",))
    table.panels, table.panels_title = _panels(document, names, found, limit)
    tables = [table]
    if parts:
        tables.append(Table("As a part of the best that fio reaches with as many streams",
                            ["server", *heads], parts, command))
    return tables


def _panels(document, names, found, limit):
    counts = sorted({row["connections"] for row in document["results"]
                     if row["files"] == "distinct"})
    series = {name: [(count, found[name, count, "distinct"]) for count in counts
                     if (name, count, "distinct") in found] for name in names}
    most = document["disk"]["limit_mb_per_s"]
    fio = [(count, limit[count, "distinct"]["median"]) for count in counts
           if (count, "distinct") in limit]
    dashed = ("fio", fio) if fio else ("the disk's limit", [(count, most) for count in counts])
    top = charts.rounded_up(max(most, *(value for _, value in fio),
                                *(spread["max"] for line in series.values() for _, spread in line)))
    words = "the best that fio reaches" if fio else "what the disk can carry"
    return [(name, charts.panel(
        name, line, counts, top, "MB/s", [other for key, other in series.items() if key != name],
        [dashed], _dots(name, counts)))
        for name, line in series.items() if line], (
            "MB/s by connections. Heavy: the one that is named; light: the others; dashed: "
            f"{words}; diamonds: as published in 2006.")


def _costs(document, command):
    columns = list(dict.fromkeys((row["connections"], row["files"]) for row in document["results"]))
    found = {(row["server"], row["connections"], row["files"]): row["cpu_s_per_gb"]
             for row in document["results"]}
    return Table("The server's CPU, seconds per GB",
                 ["server", *(_column(*column) for column in columns)],
                 [[name, *(shown(found[name, *column], 2) if (name, *column) in found else ""
                           for column in columns)] for name in document["servers"]], command)


def _hot(document, command):
    rows = document["hot"]
    table = Table(f"A hot request of 1 kB every 5 ms behind {rows[0]['downloads']} cold downloads",
                  ["server", "p50, ms", "p99, ms", "longest, ms", "downloads, MB/s"],
                  [[row["server"], *(shown(row[key], digits) for key, digits in (
                      ("p50_ms", 2), ("p99_ms", 2), ("max_ms", 1), ("mb_per_s", 0)))]
                   for row in rows], command)
    table.charts = [("99th percentile and longest, logarithmic", charts.ranges(
        [(row["server"], row["p50_ms"]["median"] / 1e3, row["p99_ms"]["median"] / 1e3,
          row["max_ms"]["median"] / 1e3, False) for row in rows],
        "Median, p99 and longest of a hot request"))]
    return table


def measured(document, command):
    tables = [*_rates(document, command), _costs(document, command)]
    return tables + ([_hot(document, command)] if document["hot"] else [])


def parts_of(folder, validated, stamp):
    """`stamp`: source -> when it was measured."""
    source = sources.benchmark(folder, "2006")
    if source.document is None and not source.problem:
        source = sources.of_validate(validated.document)
        short = ("ci/validate measures this much; ci/bench 2006 measures all of it.",)
    else:
        short = ()
    tables = []
    if source.document is not None:
        try:
            tables = measured(source.document, source.command)
            tables[0].notes += (*short, stamp(source))
        except sources.MISFITS as error:
            source.problem, tables = f"{type(error).__name__}: {error}", []
    absent = {"title": "On the modelled disk, with the real kernel", "problem": source.problem,
              "command": source.command}
    return [*(tables or [absent]), published(), simulated(validated.document)]
