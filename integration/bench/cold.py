"""Cold 700 MB files on this machine's own disk: MB/s and the server's CPU seconds per GB.

One file per connection, caches dropped file by file before each measurement, a fresh server each
time, the contenders in turn within a round (backwards in every second one), so that what drifts
hits all of them. MB = 10^6, GB = 10^9 bytes. CPU is user and system time of all threads and
processes of the server, receive processing on loopback included (the kernel charges the sender).
"""

import cache
import contenders
import files
import load
import report

HELP = "cold 700 MB files at several connection counts: MB/s and CPU s/GB"


def add_arguments(parser):
    contenders.add_arguments(parser)
    parser.add_argument("--connections", default="1,4,10", metavar="LIST",
                        help="connection counts, separated by commas (default: %(default)s)")


def measure(contender, root, paths):
    """One download per file, all at once, from a fresh server: {"mb_per_s", "cpu_s_per_gb"}."""
    cache.make_cold(*(file.path for file in paths))
    with contender.make(root) as server:
        before = server.cpu_seconds()
        drained = load.drain(server.port, ["/" + file.name for file in paths])
        cpu = server.cpu_seconds() - before
    expected = sum(file.size for file in paths)
    if drained["bytes"] != expected:
        raise load.LoadError(f"{contender.name}: {drained['bytes']} bytes instead of {expected}")
    return {"mb_per_s": expected / 1e6 / drained["seconds"], "cpu_s_per_gb": cpu * 1e9 / expected,
            "client_cpu_s_per_gb": drained["cpu_seconds"] * 1e9 / expected}


def measure_rounds(field, root, paths, counts, rounds, progress):
    """{(contender's name, count): {"mb_per_s": spread, ...}}"""
    samples = {(one.name, count): [] for one in field for count in counts}
    for number in range(rounds):
        for count in counts:
            for one in field if number % 2 == 0 else reversed(field):
                taken = measure(one, root, paths[:count])
                samples[one.name, count].append(taken)
                progress(f"round {number + 1} of {rounds}, {count} connection(s), {one.name}: "
                         f"{taken['mb_per_s']:.0f} MB/s, {taken['cpu_s_per_gb']:.2f} CPU s/GB")
    return {key: {name: report.spread([sample[name] for sample in taken]) for name in taken[0]}
            for key, taken in samples.items()}


def rows_of(field, counts, measured):
    return [{"server": one.name, "connections": count, **measured[one.name, count]}
            for one in field for count in counts]


def run(options, progress):
    counts = contenders.counts_of(options)
    field = contenders.chosen(options, progress)
    with files.Folder("cold") as folder:
        made = folder.add_big(max(counts), progress)
        measured = measure_rounds(field, folder.path, made, counts, options.rounds, progress)
    return {"benchmark": "cold", "rounds": options.rounds, "file_bytes": files.BIG_BYTES,
            "results": rows_of(field, counts, measured)}


def text(document):
    rows = document["results"]
    counts = sorted({row["connections"] for row in rows})
    servers = list(dict.fromkeys(row["server"] for row in rows))
    found = {(row["server"], row["connections"]): row for row in rows}

    def grid(key, digits):
        return [[server, *(report.shown(found[server, count][key], digits) for count in counts)]
                for server in servers]

    heads = [f"{count} conn." for count in counts]
    return "\n\n".join([
        report.table(["cold 700 MB files, MB/s", *heads], grid("mb_per_s", 0)),
        report.table(["the server's CPU s/GB", *heads], grid("cpu_s_per_gb", 2))])
