"""The table of November 2006 on a disk like theirs: a modelled RAID1 of two spindles of 58 MB/s
(pollux-disk, integration/disk/), ext4, 128 KiB of read-ahead, and the servers of today beside.

Each connection downloads files of 700 MB of its own, one after the other ("same": all of them the
same file). Before each measurement the file system is mounted anew, so that neither data nor names
nor extents are cached; then a fresh server, two seconds of warm-up, and --seconds of measurement.
The contenders take turns within a round (backwards in every second one). The client counts what it
took from its sockets (load.py). fio, with as many streams of direct reads as there are connections,
is the limit: each of its shapes is measured, the best median counts.

CPU is the server's, user and system time of all threads, per GB, after the warm-up like the rates.
"hot": a hot 1 kB request every 5 ms while ten downloads run. MB = 10^6, GB = 10^9 bytes.

The files hold zeros, of which the disk's server keeps no byte, but for a mark at the beginning, in the
middle and at the end: after each measurement the same server is asked for some of them, and an answer
with other bytes is no measurement. All contenders, counts and three
rounds take about half an hour.

JSON (a spread is {"median", "min", "max", "values"}):
  "disk"       {"model", "read_ahead_bytes", "limit_mb_per_s"}
  "published"  [{"server", "chunk", "connections", "mb_per_s", "cpu_idle_percent"}] of 2006
  "servers"    [name, ...] in the order of the tables
  "results"    [{"server", "connections", "files": "distinct" or "same", "mb_per_s",
                "cpu_s_per_gb", "least_share": the share of the connection that got least, 1 for an
                equal one}], each a spread
  "limit"      [{"connections", "shape": "1M x 4", "mb_per_s": spread}], the best shape of fio
  "hot"        [{"server", "downloads", "p50_ms", "p99_ms", "max_ms", "mb_per_s"}], spreads
"""

import contextlib
import json
import os
import subprocess

import cache
import client
import contenders
import data
import disk as disks
import files
import load
import report
import servers
import stall

HELP = "the table of 2006, on a modelled disk of 2006, beside servers of today"

MODEL = "raid1-2006"
READ_AHEAD = 128 * 1024
LIMIT_MB_S = 2 * 58.0
_WARM_UP_S = 2.0
_DOWNLOADS = 10  # behind which a hot file is asked for, and that share one file
_HOT = "hot"
_MARK_BYTES = 4096
_MARKED = 3  # files of a measurement whose marks are looked at
_SECONDS_MAX = 3600
_DISK_SPARE = 1.06  # for what describes the file system

FIELD = {
    "linux-sendfile": contenders.pollux("linux-sendfile"),
    "linux-aio-sendfile-512K": contenders.pollux("linux-aio-sendfile", chunk="512K"),
    "linux-aio-sendfile-1M": contenders.pollux("linux-aio-sendfile", chunk="1M"),
    "threads-sendfile": contenders.pollux("threads-sendfile"),
    "auto": contenders.pollux("auto"),
    **contenders.PEERS,
}
FIO_SHAPES = (("512K", 4), ("1M", 4), ("1M", 8))

# (server, chunk, connections): MB/s, idle CPU in percent. https://blog.lighttpd.net, 2006-11.
_PUBLISHED = {
    ("linux-sendfile", None, 1): (52.38, 9), ("linux-sendfile", None, 2): (39.94, 8),
    ("linux-sendfile", None, 5): (35.45, 7),
    ("linux-aio-sendfile", "512K", 1): (89.85, 70), ("linux-aio-sendfile", "512K", 2): (94.52, 70),
    ("linux-aio-sendfile", "512K", 5): (31.81, 86), ("linux-aio-sendfile", "512K", 10): (25.22, 82),
    ("linux-aio-sendfile", "1M", 1): (107.50, 67), ("linux-aio-sendfile", "1M", 2): (92.74, 70),
    ("linux-aio-sendfile", "1M", 5): (72.84, 70), ("linux-aio-sendfile", "1M", 10): (32.87, 90),
}


def add_arguments(parser):
    parser.add_argument("--contenders", default=",".join(FIELD), metavar="LIST",
                        help="separated by commas (default: %(default)s)")
    parser.add_argument("--connections", default="1,2,5,10,50", metavar="LIST",
                        help="connection counts, separated by commas (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4, metavar="S",
                        help="of each measurement, after two seconds of warm-up (default: "
                             "%(default)s)")
    parser.add_argument("--file-mb", type=int, default=700, metavar="N",
                        help="size of a file (default: %(default)s)")
    parser.add_argument("--no-fio", action="store_true", help="leave out the limit")
    parser.add_argument("--no-same", action="store_true",
                        help=f"leave out {_DOWNLOADS} connections for the same file")
    parser.add_argument("--no-hot", action="store_true",
                        help=f"leave out the hot request behind {_DOWNLOADS} downloads")


def _field(options, note):
    if not servers.available("pollux"):
        raise files.UsageError(f"{servers.build_folder()}/pollux is not built (ci/build release)")
    found = {}
    for name in options.contenders.split(","):
        if name not in FIELD:
            raise files.UsageError(f"--contenders: {name!r} is none of {', '.join(FIELD)}")
        if name in contenders.PEERS and not servers.available(name):
            note(f"{name} is not installed: left out")
            continue
        found[name] = FIELD[name]
    return list(found.values())


def _marks(size):
    """Where the marks of a file of that size begin."""
    return [0, size // 2 // _MARK_BYTES * _MARK_BYTES, size - _MARK_BYTES]


class _Bench:
    """The disk, its files, and one measurement of each kind."""

    def __init__(self, made, options, progress):
        self._disk = made
        self._options = options
        self._progress = progress
        self._names = []

    def fill(self, count):
        self._disk.set_model("none")
        piece, size = bytes(8 << 20), self._options.file_mb * 10**6
        for number in range(count):
            name = f"big{number}"
            if number % 10 == 0:
                self._progress(f"making files {number + 1} to {min(number + 10, count)} of {count}")
            path = os.path.join(self._disk.outside, name)
            with open(path, "wb", buffering=0) as file:
                os.posix_fallocate(file.fileno(), 0, size)
                for at in range(0, size, len(piece)):
                    file.write(piece[:min(len(piece), size - at)])
                for at in _marks(size):
                    os.pwrite(file.fileno(), data.pattern(number + 1, at, _MARK_BYTES), at)
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self._names.append(name)
        with open(os.path.join(self._disk.outside, _HOT), "wb") as file:
            file.write(bytes(files.HOT_BYTES))

    def _plan(self, count, same):
        """What each connection reads, one after the other: files that no other one reads."""
        if same:
            return [self._names] * count
        return [self._names[i::count] for i in range(count)]

    @contextlib.contextmanager
    def _started(self, contender, hot=False):
        self._disk.set_model("none")
        self._disk.make_cold()
        if hot:
            cache.make_warm(os.path.join(self._disk.outside, _HOT))
        with contender.make(self._disk.root) as server:
            self._disk.set_model(MODEL)
            yield server

    def _stream(self, server, count, same=False, on_warm=lambda: None):
        plan = [["/" + name for name in names] for names in self._plan(count, same)]
        return load.stream(server.port, plan, _WARM_UP_S, self._options.seconds, on_warm)

    def rate(self, contender, count, same):
        with self._started(contender) as server:
            cpu = []
            taken = self._stream(server, count, same, lambda: cpu.append(server.cpu_seconds()))
            cpu.append(server.cpu_seconds())
            self._check(server, contender)
        total = sum(taken["bytes"])
        return {"mb_per_s": total / 1e6 / taken["seconds"],
                "cpu_s_per_gb": (cpu[1] - cpu[0]) * 1e9 / max(1, total),
                "least_share": min(taken["bytes"]) * count / max(1, total)}

    def _check(self, server, contender):
        size = self._options.file_mb * 10**6
        for number, name in enumerate(self._names[:_MARKED]):
            for at in _marks(size):
                last = at + _MARK_BYTES - 1
                answer = client.fetch(server.port, "/" + name, range=(at, last))
                if (answer.head.get("content-range") != f"bytes {at}-{last}/{size}"
                        or answer.body != data.pattern(number + 1, at, _MARK_BYTES)):
                    raise load.LoadError(f"{contender.name}: bytes {at}-{last} of {name} are wrong")

    def hot(self, contender):
        with self._started(contender, hot=True) as server:
            with load.Probe(server.port, "/" + _HOT) as probe:
                taken = self._stream(server, _DOWNLOADS)
        if not probe.latencies:
            raise load.LoadError(f"{contender.name}: no hot request was answered")
        return {"p50_ms": 1e3 * stall.quantile(probe.latencies, 0.50),
                "p99_ms": 1e3 * stall.quantile(probe.latencies, 0.99),
                "max_ms": 1e3 * probe.latencies[-1],
                "mb_per_s": sum(taken["bytes"]) / 1e6 / taken["seconds"]}

    def fio(self, shape, count):
        size, depth = shape
        self._disk.set_model("none")
        self._disk.make_cold()
        self._disk.set_model(MODEL)
        words = ["fio", "--direct=1", "--ioengine=libaio", "--rw=read", "--readonly",
                 f"--bs={size}", f"--iodepth={depth}", "--time_based", "--group_reporting",
                 # No warm-up: what is in flight when it ends would be counted for too short a time.
                 f"--runtime={self._options.seconds:g}", "--output-format=json"]
        for number, names in enumerate(self._plan(count, same=False)):
            words += [f"--name=stream{number}",
                      f"--filename={os.path.join(self._disk.root, names[0])}"]
        try:
            said = self._disk.run(*words)
        except subprocess.CalledProcessError as error:
            raise load.LoadError(f"fio: {error.stderr.strip()}") from None
        return json.loads(said)["jobs"][0]["read"]["bw_bytes"] / 1e6


def _measure(bench, field, counts, options, progress):
    """({(name, count, files): samples}, {(shape, count): MB/s}, {name: samples})"""
    rates, limits, hot = {}, {}, {}
    cells = [(count, "distinct") for count in counts]
    if not options.no_same:
        cells.append((_DOWNLOADS, "same"))
    for number in range(options.rounds):
        order = field if number % 2 == 0 else field[::-1]
        label = f"round {number + 1} of {options.rounds}"
        for count, which in cells:
            for one in order:
                taken = bench.rate(one, count, which == "same")
                rates.setdefault((one.name, count, which), []).append(taken)
                progress(f"{label}, {count} conn., {which}, {one.name}: "
                         f"{taken['mb_per_s']:.1f} MB/s, {taken['cpu_s_per_gb']:.2f} CPU s/GB")
            for shape in () if options.no_fio or which == "same" else FIO_SHAPES:
                found = bench.fio(shape, count)
                limits.setdefault((shape, count), []).append(found)
                progress(f"{label}, {count} conn., fio {shape[0]} x {shape[1]}: {found:.1f} MB/s")
        for one in () if options.no_hot else order:
            taken = bench.hot(one)
            hot.setdefault(one.name, []).append(taken)
            progress(f"{label}, hot request, {one.name}: p50 {taken['p50_ms']:.2f}, "
                     f"p99 {taken['p99_ms']:.2f} ms")
    return rates, limits, hot


def _spreads(samples):
    return {key: report.spread([one[key] for one in samples]) for key in samples[0]}


def _limits(limits):
    best = {}
    for (shape, count), values in limits.items():
        found = {"connections": count, "shape": f"{shape[0]} x {shape[1]}",
                 "mb_per_s": report.spread(values)}
        known = best.get(count)
        if known is None or found["mb_per_s"]["median"] > known["mb_per_s"]["median"]:
            best[count] = found
    return list(best.values())


def run(options, progress):
    if not 0 < options.seconds <= _SECONDS_MAX:  # nor nan
        raise files.UsageError(f"--seconds: more than 0, and {_SECONDS_MAX} at most")
    if options.file_mb < 1:
        raise files.UsageError("--file-mb: at least 1")
    counts, field = contenders.counts_of(options), _field(options, progress)
    seconds = options.seconds + _WARM_UP_S
    # Nobody must come to the end of what there is, though some get three times what others get.
    wanted = max(*counts, _DOWNLOADS, int(3 * LIMIT_MB_S * seconds / options.file_mb) + 1)
    size = int(wanted * options.file_mb * 1e6 * _DISK_SPARE) + (256 << 20)
    try:
        with disks.Disk(size=str(size // 4096 * 4096), read_ahead=str(READ_AHEAD)) as made:
            made.enter()
            bench = _Bench(made, options, progress)
            bench.fill(wanted)
            rates, limits, hot = _measure(bench, field, counts, options, progress)
    except disks.DiskError as error:
        raise files.UsageError(str(error)) from None
    return {
        "benchmark": "2006", "rounds": options.rounds, "seconds": options.seconds,
        "file_bytes": options.file_mb * 10**6,
        "disk": {"model": MODEL, "read_ahead_bytes": READ_AHEAD, "limit_mb_per_s": LIMIT_MB_S},
        "published": [{"server": server, "chunk": chunk, "connections": count, "mb_per_s": rate,
                       "cpu_idle_percent": idle}
                      for (server, chunk, count), (rate, idle) in _PUBLISHED.items()],
        "servers": [one.name for one in field],
        "results": [{"server": name, "connections": count, "files": which, **_spreads(taken)}
                    for (name, count, which), taken in rates.items()],
        "limit": _limits(limits),
        "hot": [{"server": name, "downloads": _DOWNLOADS, **_spreads(taken)}
                for name, taken in hot.items()],
    }


def _columns(document):
    """(connections, files) in order, and their heads."""
    keys = dict.fromkeys((row["connections"], row["files"]) for row in document["results"])
    return {key: f"{key[0]} conn." if key[1] == "distinct" else f"{key[0]}, same" for key in keys}


def text(document):
    columns = _columns(document)
    found = {(row["server"], row["connections"], row["files"]): row
             for row in document["results"]}
    limit = {(row["connections"], "distinct"): report.shown(row["mb_per_s"], 0)
             for row in document["limit"]}

    def grid(key, digits):
        return [[server, *(report.shown(found[server, *column][key], digits)
                           for column in columns)] for server in document["servers"]]

    rates = grid("mb_per_s", 0)
    if limit:
        rates.append(["fio, the best shape", *(limit.get(column, "") for column in columns)])
    published = {(row["server"], row["chunk"], row["connections"]): row["mb_per_s"]
                 for row in document["published"]}
    for server, chunk in dict.fromkeys(key[:2] for key in published):
        cells = [published.get((server, chunk, count)) if which == "distinct" else None
                 for count, which in columns]
        rates.append([f"2006: {server} {chunk or ''}".rstrip(),
                      *("" if cell is None else f"{cell:.0f}" for cell in cells)])
    heads = list(columns.values())
    tables = [report.table([f"{document['disk']['model']}, MB/s", *heads], rates),
              report.table(["the server's CPU s/GB", *heads], grid("cpu_s_per_gb", 2))]
    if document["hot"]:
        tables.append(report.table(
            [f"hot request behind {_DOWNLOADS} downloads", "p50 ms", "p99 ms", "max ms", "MB/s"],
            [[row["server"], *(report.shown(row[key], digits) for key, digits in
                               (("p50_ms", 2), ("p99_ms", 2), ("max_ms", 1), ("mb_per_s", 0)))]
             for row in document["hot"]]))
    return "\n\n".join(tables)
