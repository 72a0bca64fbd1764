"""A hot 1 kB file, asked for every 5 ms, while ten cold 700 MB downloads run from the same server:
what a blocked loop costs those who want something small. Latencies from the request's last byte to
the answer's."""

import cache
import contenders
import files
import load
import report

HELP = "a hot 1 kB request every 5 ms while ten cold downloads run: p50, p99, max"
_DOWNLOADS = 10


def add_arguments(parser):
    contenders.add_arguments(parser)
    parser.add_argument("--downloads", type=int, default=_DOWNLOADS, metavar="N",
                        help="cold downloads at once (default: %(default)s)")


def quantile(latencies, q):
    """Of a sorted list: the smallest value that q of all do not exceed."""
    return latencies[max(0, -(-int(q * 1e6) * len(latencies) // 10**6) - 1)]


def measure(contender, root, big, hot):
    cache.make_cold(*(file.path for file in big))
    cache.make_warm(hot.path)
    with contender.make(root) as server:
        with load.Probe(server.port, "/" + hot.name) as probe:
            drained = load.drain(server.port, ["/" + file.name for file in big])
    if len(probe.latencies) < 20:
        raise files.UsageError(f"only {len(probe.latencies)} requests fitted: use more downloads")
    expected = sum(file.size for file in big)
    if drained["bytes"] != expected:
        raise load.LoadError(f"{contender.name}: {drained['bytes']} bytes instead of {expected}")
    return {"p50_ms": 1e3 * quantile(probe.latencies, 0.50),
            "p99_ms": 1e3 * quantile(probe.latencies, 0.99),
            "max_ms": 1e3 * probe.latencies[-1],
            "requests": len(probe.latencies),
            "mb_per_s": expected / 1e6 / drained["seconds"]}


def run(options, progress):
    if options.downloads < 1:
        raise files.UsageError("--downloads: at least 1")
    field = contenders.chosen(options, progress)
    samples = {one.name: [] for one in field}
    with files.Folder("stall") as folder:
        big = folder.add_big(options.downloads, progress)
        hot = folder.add_hot()
        for number in range(options.rounds):
            for one in field if number % 2 == 0 else reversed(field):
                taken = measure(one, folder.path, big, hot)
                samples[one.name].append(taken)
                progress(f"round {number + 1} of {options.rounds}, {one.name}: "
                         f"p50 {taken['p50_ms']:.2f}, p99 {taken['p99_ms']:.2f}, "
                         f"max {taken['max_ms']:.1f} ms")
    return {"benchmark": "stall", "rounds": options.rounds, "downloads": options.downloads,
            "results": [{"server": name, **{key: report.spread([one[key] for one in taken])
                                            for key in taken[0]}}
                        for name, taken in samples.items()]}


def text(document):
    rows = [[row["server"], *(report.shown(row[key], digits) for key, digits in
                              (("p50_ms", 2), ("p99_ms", 2), ("max_ms", 1), ("mb_per_s", 0)))]
            for row in document["results"]]
    return report.table(["hot request behind cold downloads", "p50 ms", "p99 ms", "max ms",
                         "downloads MB/s"], rows)
