"""Many connections: the memory of an idle one, and what 9,900 idle ones cost 100 active ones.

Memory: RSS of all processes of the server with N keep-alive connections that have had an answer and
are silent, less the RSS with one, per connection. CPU: wrk on 100 connections asks a server for a
1 kB file, alone and beside the idle ones, by turns on two servers of a kind that run at the same
time; the ratio is taken within each round. The idle clients are processes of their own.
"""

import contextlib
import resource

import contenders
import crowd
import files
import hot
import load
import report
import wrk

HELP = "1 to 10,000 connections: memory of an idle one, CPU per request beside idle ones"

_COUNTS = (1, 10, 100, 1000, 10000)
_ACTIVE = 100
_SPARE_DESCRIPTORS = 256


def add_arguments(parser):
    parser.set_defaults(rounds=10)
    contenders.add_arguments(parser, hot.PEERS)
    parser.add_argument("--seconds", type=int, default=2, metavar="N",
                        help="of each measurement of CPU (default: %(default)s)")
    parser.add_argument("--idle", type=int, default=9900, metavar="N",
                        help="idle connections beside the active ones (default: %(default)s)")


def memory_per_idle(contender, root, progress):
    """{connections: bytes each}, beyond the first."""
    found = {}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contender.make(root))
        crowds = []
        have = 0
        for count in _COUNTS:
            crowds.append(stack.enter_context(crowd.Crowd(server.port)))
            crowds[-1].gather(idle=("/small", count - have))
            have = count
            rss = server.rss()
            if count == 1:
                base = rss
            else:
                found[count] = (rss - base) / (count - 1)
                progress(f"{contender.name}, {count} idle: {found[count]:.0f} bytes each")
        if sum(one.count()["alive"] for one in crowds) != have:
            raise load.LoadError(f"{contender.name} has closed idle connections")
    return found


def cost_of_idle(contender, root, options, progress):
    """Of each round: {"alone", "beside"} in us of CPU per request, and their ratio."""
    samples = []
    with contender.make(root) as free, contender.make(root) as crowded, \
            crowd.Crowd(crowded.port) as idle:
        idle.gather(idle=("/small", options.idle))
        for number in range(options.rounds + 1):
            taken = {}
            order = (("alone", free), ("beside", crowded))
            for name, server in order if number % 2 == 0 else reversed(order):
                before = server.cpu_seconds()
                done = wrk.run(server, "/small", _ACTIVE, options.seconds if number else 1)
                taken[name] = 1e6 * (server.cpu_seconds() - before) / done["requests"]
            if number == 0:
                continue  # warms both up
            taken["ratio"] = taken["beside"] / taken["alone"]
            samples.append(taken)
            progress(f"round {number} of {options.rounds}, {contender.name}: "
                     f"{taken['alone']:.2f} us alone, {taken['beside']:.2f} us beside "
                     f"{options.idle} idle")
        if idle.count()["alive"] != options.idle:
            raise load.LoadError(f"{contender.name} has closed idle connections")
    figures = {key: report.spread([one[key] for one in samples]) for key in samples[0]}
    figures["ratio"]["interval"] = report.median_interval(figures["ratio"]["values"])
    return figures


def run(options, progress):
    if options.seconds < 1 or options.idle < 1:
        raise files.UsageError("--seconds and --idle: at least 1")
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if limit != resource.RLIM_INFINITY and limit < _COUNTS[-1] + _SPARE_DESCRIPTORS:
        raise files.UsageError(f"RLIMIT_NOFILE is {limit}: {_COUNTS[-1]} connections do not fit")
    # Pollux serves 10,000 unless told otherwise, and the last would wait.
    field = contenders.chosen(options, progress, hot.PEERS,
                              max_connections=2 * _COUNTS[-1], idle_timeout="10m")
    results = []
    with files.Folder("scale") as folder:
        folder.add("small", 3000, hot.SIZES["small"])
        for one in field:
            results.append({"server": one.name,
                            "bytes_per_idle": memory_per_idle(one, folder.path, progress),
                            "cpu_us": cost_of_idle(one, folder.path, options, progress)})
    return {"benchmark": "scale", "rounds": options.rounds, "idle": options.idle,
            "active": _ACTIVE, "results": results}


def text(document):
    rows = document["results"]
    counts = list(rows[0]["bytes_per_idle"])
    memory = report.table(
        ["bytes of RSS per idle connection", *(f"{count} conn." for count in counts)],
        [[row["server"], *(f"{row['bytes_per_idle'][count]:.0f}" for count in counts)]
         for row in rows])
    cpu = report.table(
        [f"CPU us per request, {document['active']} active", "alone",
         f"beside {document['idle']} idle", "ratio"],
        [[row["server"], *(report.shown(row["cpu_us"][key], 2)
                           for key in ("alone", "beside", "ratio"))] for row in rows])
    return memory + "\n\n" + cpu
