"""Hot files over keep-alive connections: the server's CPU per request, requests/s, and the ratio to
each peer; with --callgrind the instructions of one request instead.

wrk, with one thread, asks for a 1 kB file on 32 and on 512 connections and for a 10 MB file on 8; a
fresh server each time, warmed up for a second. The contenders take turns within a round (backwards
in every second one). CPU is user and system time of all threads and processes of the server. A
ratio is taken within each round; its median is shown with an interval that holds it with 95 %
confidence or more (order statistics; from six rounds on). nginx has open_file_cache on.
"""

import statistics

import callgrind
import contenders
import files
import report
import servers
import wrk

HELP = "hot 1 kB and 10 MB files: the server's CPU per request, requests/s, instructions"

CASES = (("1 kB, 32 conn.", "small", 32), ("1 kB, 512 conn.", "small", 512),
         ("10 MB, 8 conn.", "large", 8))
SIZES = {"small": 1024, "large": 10 * 10**6}
# None of them ends an idle connection while something is measured.
PEERS = {
    "nginx": contenders.Contender(
        "nginx", lambda root: servers.NginxServer(
            root, open_file_cache=True, extra="keepalive_timeout 600s;")),
    "lighttpd": contenders.Contender(
        "lighttpd", lambda root: servers.LighttpdServer(
            root, extra="server.max-keep-alive-idle = 600")),
}


def add_arguments(parser):
    parser.set_defaults(rounds=10)
    contenders.add_arguments(parser, PEERS)
    parser.add_argument("--seconds", type=int, default=2, metavar="N",
                        help="of each measurement (default: %(default)s)")
    parser.add_argument("--callgrind", action="store_true",
                        help="instructions of one hot 1 kB request in user space, counted by "
                             "valgrind: the same on a busy machine")


def measure(contender, root, name, connections, seconds):
    """From a fresh server: {"us_per_request", "requests_per_s"}."""
    with contender.make(root) as server:
        wrk.run(server, "/" + name, connections, 1)
        before = server.cpu_seconds()
        done = wrk.run(server, "/" + name, connections, seconds)
        cpu = server.cpu_seconds() - before
    return {"us_per_request": 1e6 * cpu / done["requests"], "requests_per_s": done["per_s"]}


def measure_rounds(field, root, options, progress):
    """{(contender's name, case): [sample of each round]}"""
    samples = {(one.name, case[0]): [] for one in field for case in CASES}
    for number in range(options.rounds):
        for case, name, connections in CASES:
            for one in field if number % 2 == 0 else reversed(field):
                taken = measure(one, root, name, connections, options.seconds)
                samples[one.name, case].append(taken)
                progress(f"round {number + 1} of {options.rounds}, {case}, {one.name}: "
                         f"{taken['us_per_request']:.2f} us of CPU, "
                         f"{taken['requests_per_s']:.0f} requests/s")
    return samples


def ratios(mine, theirs, key):
    """Of each round: what drifts between rounds is in neither."""
    values = [a[key] / b[key] for a, b in zip(mine, theirs)]
    return {**report.spread(values), "interval": report.median_interval(values)}


def run(options, progress):
    if options.seconds < 1:
        raise files.UsageError("--seconds: at least 1")
    with files.Folder("hot") as folder:
        for number, (name, size) in enumerate(SIZES.items()):
            folder.add(name, 2000 + number, size)
        if options.callgrind:
            counted = callgrind.instructions_per_request(folder.path, "/small", progress)
            return {"benchmark": "hot", "instructions_per_request": counted}
        field = contenders.chosen(options, progress, PEERS)
        samples = measure_rounds(field, folder.path, options, progress)
    first = field[0].name
    return {"benchmark": "hot", "rounds": options.rounds, "seconds": options.seconds, "results": [
        {"server": one.name, "case": case,
         **{key: report.spread([sample[key] for sample in samples[one.name, case]])
            for key in ("us_per_request", "requests_per_s")},
         **({} if one is field[0] else {
             "cpu_ratio": ratios(samples[first, case], samples[one.name, case], "us_per_request"),
             "rate_ratio": ratios(samples[first, case], samples[one.name, case],
                                  "requests_per_s")})}
        for case, _, _ in CASES for one in field]}


def text(document):
    if "instructions_per_request" in document:
        counted = document["instructions_per_request"]
        return (f"{counted['median']:.0f} instructions of user space per hot 1 kB request "
                f"({counted['min']:.0f}-{counted['max']:.0f})")
    rows = document["results"]
    first = rows[0]["server"]
    tables = []
    for case in dict.fromkeys(row["case"] for row in rows):
        of_case = [row for row in rows if row["case"] == case]
        tables.append(report.table(
            [case, "CPU us", "requests/s", f"{first}'s CPU", f"{first}'s rate"],
            [[row["server"], report.shown(row["us_per_request"], 2),
              report.shown(row["requests_per_s"], 0),
              *(_ratio(row, key) for key in ("cpu_ratio", "rate_ratio"))] for row in of_case]))
    return "\n\n".join(tables)


def _ratio(row, key):
    if key not in row:
        return "1"
    shown = f"{statistics.median(row[key]['values']):.2f}"
    interval = row[key]["interval"]
    return shown if interval is None else f"{shown} ({interval[0]:.2f}-{interval[1]:.2f})"
