"""Hot requests behind cold downloads, on a modelled disk (disk.py), which can be made to wait.

That a server reads without stopping its loop is no matter of time: while the disk answers nothing
at all, whatever is in the page cache is still served. That it does not dawdle either is: its usual
hot request behind downloads is compared with its own without them, in the same seconds, and may
take that much longer, or less than the disk needs for one read. Medians: what else the machine does
moves both, and a server that stops its loop for each read is off by a factor of hundreds.
"""

import contextlib
import statistics
import time

from bench import load
from cache import make_cold, make_warm
from client import request
from data import Checker, Files
from disk import Disk
from swarm import Download, Swarm

from . import scenario as common
from .scenario import NotApplicable, Place, connect, needs_persistence, scenario
from .watch import STALL_S, Watch

MIB = 1 << 20
MODEL = "raid1-2006"
QUIET_S = 0.3  # of hot requests alone, before each round of downloads
SLOWER_AT_MOST = 20
DISK_READ_S = 0.035  # 1 MiB anywhere (RandomReadTime of fakes/disk/shape.h)


@contextlib.contextmanager
def modelled_disk():
    with Disk(size="1G") as disk:
        files = Files(disk.outside)
        files.disk = disk
        yield Place(files, disk.root, disk.wrapper)


def overtaken(spans):
    """By how much, at most, an answer came later than that of a request which was sent after it:
    then the server was able to answer, and did not think of this one. `spans`: (sent, took)."""
    worst = 0.0
    earliest = float("inf")  # answer of those that were sent later
    for sent, took in sorted(spans, reverse=True):
        earliest = min(earliest, sent + took)
        worst = max(worst, sent + took - earliest)
    return worst


def quantile(ordered, q):
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def ask_while_held(server, disk, hot, cold, requests):
    """Downloads whose every read stays at the disk, and hot requests beside. When the disk goes on,
    so do the downloads."""
    text = request("/" + hot.name)
    disk.set_model("held")
    with Swarm([Download(server.port, file) for file in cold],
               patience=common.PATIENCE_S) as swarm:
        asking = connect(server)
        answered = 0
        try:
            while answered < requests or disk.reads()["reads"] == 0:
                swarm.drain()
                if not swarm.running:
                    raise NotApplicable("it does not read the files that it sends")
                asking.send(text)
                asking.read_checked(Checker(hot))
                answered += 1
        except TimeoutError as error:
            raise AssertionError(
                f"hot request {answered + 1} is not answered while the disk keeps {len(cold)} "
                f"downloads waiting, for {common.PATIENCE_S:.0f} s") from error
        disk.set_model(MODEL)
        swarm.run()


def ask_while_flowing(server, hot, cold, rounds):
    """One hot request every 5 ms, alone and behind downloads in turn: all as (sent, took), the
    times of those alone, and of those behind downloads."""
    downloads = []  # (from, to)
    with load.Probe(server.port, "/" + hot.name) as probe:
        for _ in range(rounds):
            time.sleep(QUIET_S)
            make_cold(*(file.path for file in cold))
            took = load.drain(server.port, ["/" + file.name for file in cold])["seconds"]
            downloads.append((time.monotonic() - took, time.monotonic()))

    def behind(sent):
        return any(start <= sent <= end for start, end in downloads)

    return (probe.spans, [took for sent, took in probe.spans if not behind(sent)],
            [took for sent, took in probe.spans if behind(sent)])


@scenario("hot-behind-cold", "hot requests are answered whatever the disk does for cold downloads",
          place=modelled_disk, requires=("fuse", "loop", "mkfs.ext4"), alone=True)
def hot_behind_cold(server, files, downloads=8, size=8 * MIB + 1, requests=200, rounds=2):
    """None waits for a disk that does not answer; none is answered STALL_S later than another that
    was sent after it, or waits as long for nothing; and the usual one is no slower than it may be
    (see above)."""
    disk = files.disk
    hot = files.get(1000)
    cold = [files.get(size, copy) for copy in range(downloads)]
    needs_persistence(server, hot)
    make_warm(hot.path)
    make_cold(*(file.path for file in cold))
    try:
        ask_while_held(server, disk, hot, cold, requests)
        with Watch(server, cold[0].path) as watch:
            spans, alone, behind = ask_while_flowing(server, hot, cold, rounds)
    finally:
        disk.set_model("none")  # nobody can be ended who waits for it
    return judge(spans, alone, behind, watch)


def judge(spans, alone, behind, watch):
    behind = sorted(behind)
    usual, most = statistics.median(behind), SLOWER_AT_MOST * statistics.median(alone)
    told = (f"p50 {1e3 * usual:.1f} ({1e3 * most / SLOWER_AT_MOST:.1f} without downloads), p99 "
            f"{1e3 * quantile(behind, 0.99):.1f}, longest {1e3 * behind[-1]:.0f} ms of "
            f"{len(behind)}")
    late = overtaken(spans)
    assert late < STALL_S, f"one was answered {late:.2f} s after a later one; {told}"
    lost = [took for sent, took in spans
            if took >= STALL_S and watch.idle_throughout(sent, sent + took)]
    assert not lost, f"{len(lost)} waited for nothing, the longest {max(lost):.2f} s; {told}"
    assert usual < max(DISK_READ_S, most), f"downloads slow hot requests down: {told}"
    return told
