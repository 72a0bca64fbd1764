"""From what was measured to what is shown: tables of cells, and the words beside them."""

import dataclasses

import charts
import report
from verdict import duration


def shown(spread, digits):
    """"median (min–max)", or the median alone if there is but one."""
    return report.shown(spread, digits).replace("-", "–")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A judged cell. `kind` picks its look, `word` says the same in writing."""
    kind: str  # holds, specimen, baseline, wrong, nothing
    word: str
    figure: str
    note: str = ""


@dataclasses.dataclass
class Table:
    caption: str
    head: list
    rows: list          # the first of each row is its head
    command: str = ""
    notes: tuple = ()   # paragraphs below
    tags: dict = dataclasses.field(default_factory=dict)  # of a column: a word beside its name
    verdicts: bool = False
    charts: list = dataclasses.field(default_factory=list)  # (caption, drawing)
    panels: list = dataclasses.field(default_factory=list)  # the same, small and many
    panels_title: str = ""
    commands: list = dataclasses.field(default_factory=list)  # (what, command) of single cells
    commands_title: str = "The command of each cell"


def verdict(cell):
    if cell.get("error"):
        return Verdict("wrong", "not measured", "", cell["error"])
    holds, expected, figure = cell["holds"], cell["expected"], cell["figure"]
    if holds is None:
        return (Verdict("nothing", "", figure) if cell["ok"]
                else Verdict("wrong", "not shown", figure))
    word = "holds" if holds else "fails"
    if not cell["ok"]:
        return Verdict("wrong", word, figure, "not as it must be")
    if holds:
        return Verdict("holds", word, figure)
    return Verdict("specimen" if expected == "must fail" else "baseline", word, figure)


SPECIMENS = {"coordination": ("published",), "coordination, simulated": ("published",),
             "retire": ("reuse",), "backend": ()}
BASELINES = ("writev", "linux-sendfile")
_HEADS = {"coordination": "--coordination", "coordination, simulated": "--coordination",
          "backend": "--backend", "retire": "--retire"}
_CAPTIONS = {
    "coordination": "Two waits, one thread to wake: the coordinations",
    "backend": "From disk to socket: the backends",
    "retire": "What becomes of a page that was sent",
    "coordination, simulated": "The same loop, and the whole server, in every order of events",
}
_NOTES = {
    "coordination": (
        "Times run from the completion to its dispatch, from the kick to the end of the helper's "
        "sleep, and over the loop's turn after a foreign signal.",
        "The first three rows bring the order of events about: the loop's thread is held between "
        "its check and its sleep until the signal was handled, the helper is kicked while it "
        "sleeps, a signal comes from another process while nothing is complete. The fourth counts "
        "what happens without help: reads that waited 0.9 s or longer, and the longest wait."),
    "backend": (
        "A late reader does not take its first byte before the server's socket has accepted the "
        "last one. No unread byte: answers under failed, short and refused reads and a file that "
        "becomes shorter; those that were cut could not be completed, and their connection was "
        "closed.",
        "The longest loop turn is judged by how often the loop's thread slept in a call that is "
        "not its wait. writev and linux-sendfile read on the loop: they are there to be compared "
        "with."),
    "retire": (
        "sendfile() hands references of pages to the socket. Who reads the next chunk into them "
        "before the peer has taken the last changes bytes that were sent.",),
    "coordination, simulated": (
        "The unmodified core on a kernel that is a model: orders that differ only in steps that do "
        "not depend on each other count as one. The number of orders is the same on every machine.",
    ),
}


def _commands(row, column, cell):
    """[(what, command)] that measure a cell again: as they were run, or none."""
    if command := cell.get("command"):
        return [(f"{row}, {column}", "build/release/" + command)]
    return [(column, command) for command in cell.get("commands", ())]  # all rows at once


def grid(part, command):
    """A verdict table of validate.json."""
    kind, columns = part["kind"], part["columns"]
    specimens = SPECIMENS.get(kind, ())
    tags = {column: "specimen of 2006" for column in columns if column in specimens}
    if kind == "backend":
        tags |= {column: "reads on the loop" for column in columns if column in BASELINES}
    rows = [[name, *(verdict(cells[column]) if column in cells else "" for column in columns)]
            for name, cells in part["rows"].items()]
    single = [one for name, cells in part["rows"].items() for column, cell in cells.items()
              for one in _commands(name, column, cell)]
    return Table(_CAPTIONS.get(kind, kind), [_HEADS.get(kind, kind), *columns], rows,
                 command, _NOTES.get(kind, ()), tags, verdicts=True,
                 commands=list(dict.fromkeys(single)))


def tally(grids):
    """{"specimens": (as they must be, all), "sound": ...} over all judged cells."""
    counts = {"must fail": [0, 0], "must hold": [0, 0]}
    for part in grids:
        for cells in part["rows"].values():
            for cell in cells.values():
                if cell["expected"] in counts and (cell["holds"] is not None or not cell["ok"]):
                    counts[cell["expected"]][0] += bool(cell["ok"])
                    counts[cell["expected"]][1] += 1
    return counts


def orders(grids):
    """Executions of the searches that found nothing."""
    return sum(cell.get("executions", 0) for part in grids if "simulated" in part["kind"]
               for cells in part["rows"].values() for cell in cells.values() if cell["holds"])


def replays(part):
    """[(what, oracle, command)] of each find of the simulated kernel."""
    return [(f"{column}, {name}", cell["oracle"], cell["replay"])
            for name, cells in part["rows"].items() for column, cell in cells.items()
            if cell.get("replay")]


def delays(rows, command):
    head = ["--coordination, --event-handler", "reads in flight", "reads", "p50", "p99", "longest",
            "0.9 s or longer"]
    table = Table("From a read's completion to its dispatch, idle socket, 512 KiB reads", head,
                  [[f"{row['coordination']}, {row['event_handler']}", row["in_flight"],
                    row["reads"], duration(row["p50_s"]), duration(row["p99_s"]),
                    duration(row["longest_s"]), row["stalls"]] for row in rows],
                  command)
    table.charts = [("Median (dot), 99th percentile (body) and longest (line; a cross from 0.9 s "
                     "on), logarithmic", charts.ranges(
                         [(f"{row['coordination']}, {row['event_handler']}, {row['in_flight']} in "
                           f"flight", row["p50_s"], row["p99_s"], row["longest_s"],
                           row["stalls"] > 0) for row in rows],
                         "Delay from completion to dispatch"))]
    table.commands = list(dict.fromkeys(
        (f"{row['coordination']}, {row['event_handler']}", row["command"])
        for row in rows if "command" in row))
    return table


def _matrix(results, by, key, digits):
    """(columns, rows) of one figure by server and `by`."""
    columns = list(dict.fromkeys(row[by] for row in results))
    found = {(row["server"], row[by]): row for row in results}
    servers = list(dict.fromkeys(row["server"] for row in results))
    return columns, [[server, *(shown(found[server, column][key], digits)
                                if (server, column) in found else "" for column in columns)]
                     for server in servers]


_COLD = "Cold files of 700 MB on this machine's own disk, one a connection"


def cold(results, command, caption=_COLD):
    columns, rates = _matrix(results, "connections", "mb_per_s", 0)
    _, costs = _matrix(results, "connections", "cpu_s_per_gb", 2)
    head = ["server", *(f"{count} conn., MB/s" for count in columns),
            *(f"{count} conn., CPU s/GB" for count in columns)]
    rows = [[*rate, *cost[1:]] for rate, cost in zip(rates, costs)]
    return Table(caption, head, rows, command, (
        "CPU is the server's, user and system, receive processing on loopback included. MB = 10^6 "
        "bytes, GB = 10^9.",),
                 charts=[(f"{_connections(count)}, MB/s", charts.bars(
                     _bar_rows([row for row in results if row["connections"] == count],
                               "mb_per_s"), "MB/s", f"MB/s, {_connections(count)}"))
                         for count in columns])


def _connections(count):
    return "one connection" if count == 1 else f"{count} connections"


def _bar_rows(results, key):
    return [(row["server"], row[key], row["server"].startswith("pollux")) for row in results]


def stall(document, command):
    rows = [[row["server"], *(shown(row[key], digits) for key, digits in (
        ("p50_ms", 2), ("p99_ms", 2), ("max_ms", 1), ("mb_per_s", 0)))]
        for row in document["results"]]
    return Table(f"A hot request of 1 kB every 5 ms behind {document['downloads']} cold downloads",
                 ["server", "p50, ms", "p99, ms", "longest, ms", "downloads, MB/s"], rows, command,
                 charts=[("99th percentile, ms", charts.bars(
                     _bar_rows(document["results"], "p99_ms"), "ms", "p99 of a hot request"))])


def hot(document, command):
    if "instructions_per_request" in document:
        counted = document["instructions_per_request"]
        return [Table("Instructions of user space for a hot request of 1 kB", ["", "instructions"],
                      [["pollux auto", shown(counted, 0)]], command + " --callgrind")]
    tables = []
    results = document["results"]
    for case in dict.fromkeys(row["case"] for row in results):
        rows = [[row["server"], shown(row["us_per_request"], 2), shown(row["requests_per_s"], 0),
                 _ratio(row.get("cpu_ratio"))] for row in results if row["case"] == case]
        tables.append(Table(f"Hot files, {case}", ["server", "CPU of a request, us", "requests/s",
                                                   f"CPU of {results[0]['server']} to its"],
                            rows, command, charts=[("CPU of a request", charts.bars(
                                _bar_rows([row for row in results if row["case"] == case],
                                          "us_per_request"), "us", "CPU of a request"))]))
    return tables


def _ratio(ratio):
    if ratio is None:
        return ""
    interval = ratio["interval"]
    text = f"{ratio['median']:.2f}"
    return text if interval is None else f"{text} ({interval[0]:.2f}–{interval[1]:.2f})"


def scale(document, command):
    results = document["results"]
    counts = list(results[0]["bytes_per_idle"])
    memory = Table("Memory of an idle connection, bytes of RSS", ["server", *(
        f"{count} conn." for count in counts)],
        [[row["server"], *(f"{row['bytes_per_idle'][count]:.0f}" for count in counts)]
         for row in results], command)
    cpu = Table(f"CPU of a request, {document['active']} active connections",
                ["server", "alone, us", f"beside {document['idle']} idle ones, us", "ratio"],
                [[row["server"], *(shown(row["cpu_us"][key], 2)
                                   for key in ("alone", "beside", "ratio"))] for row in results],
                command)
    return [memory, cpu]


def benchmark(name, document, command):
    """The tables of a document of ci/bench."""
    if name == "cold":
        return [cold(document["results"], command)]
    if name == "stall":
        return [stall(document, command)]
    return {"hot": hot, "scale": scale}[name](document, command)


_CHARACTERS = 110  # of why something fails, in a cell


def _score(document, row):
    kind = {"holds": "holds", "fails": "baseline", "not applicable": "nothing"}[row["outcome"]]
    if kind == "baseline" and document["server"].startswith("pollux"):
        kind = "wrong"
    figure = row["figure"]
    if len(figure) > _CHARACTERS:
        figure = figure[:_CHARACTERS].rsplit(" ", 1)[0] + " …"
    if kind == "nothing":
        return Verdict(kind, "", "not applicable: " + figure if figure else "not applicable")
    return Verdict(kind, row["outcome"], figure)


def torture(documents):
    """Scores of servers side by side: a row a scenario, a column a server."""
    names = [document["name"] for document in documents]
    titles = {}
    for document in documents:
        for row in document["rows"]:
            titles.setdefault(row["name"], row["title"])
    scores = [{row["name"]: row for row in document["rows"]} for document in documents]
    rows = [[title or name, *(_score(document, rows[name]) if name in rows else ""
                              for document, rows in zip(documents, scores))]
            for name, title in titles.items()]
    passed = [f"{sum(row['outcome'] == 'holds' for row in document['rows'])} of "
              f"{sum(row['outcome'] != 'not applicable' for row in document['rows'])}"
              for document in documents]
    rows.append(["hold, of those that apply", *passed])
    return Table("Scenarios for all servers", ["scenario", *names], rows, "ci/torture",
                 verdicts=True, commands_title="The command of each server")
