"""Scenarios about waking up: the order of events is judged, times are only told."""

import itertools
import time

from cache import make_cold
from client import request
from data import Checker

from .scenario import connect, figure_of_bytes, needs_persistence, scenario
from .watch import STALL_S, Watch

MIB = 1 << 20


def longest_waits(server, file):
    """[(from, to)] of the waits for a byte of one answer, from the request on."""
    waits = []
    checker = Checker(file)
    with connect(server) as connection:
        since = time.monotonic()
        connection.ask("/" + file.name)
        head = connection.read_head()
        assert head.status == 200 and head.length == file.size
        for piece in connection.pieces(head.length):
            waits.append((since, time.monotonic()))
            checker.update(piece)
            since = time.monotonic()
        checker.finish()
    return waits


@scenario("lost-wakeups", "a cold transfer by itself never waits while the disk is idle")
def lost_wakeups(server, files, transfers=24, small=300, size=8 * MIB + 1):
    """One at a time: on a busy server the next event would rescue what was lost. Large ones, with
    many reads each; small ones, whose one read is done in no time."""
    several = [files.get(size)] * transfers + [files.get(65_537)] * small
    lost, longest, slow = [], 0.0, 0
    with Watch(server, several[0].path) as watch:
        for file in several:
            make_cold(file.path)
            for start, end in longest_waits(server, file):
                longest = max(longest, end - start)
                if end - start >= STALL_S:
                    slow += 1
                    if watch.idle_throughout(start, end):
                        lost.append(end - start)
    assert not lost, (f"{len(lost)} waits of up to {max(lost):.2f} s while the server slept and "
                      f"the disk had nothing to do, in {len(several)} transfers")
    busy = f", {slow} of {STALL_S} s or more while something worked" if slow else ""
    return (f"{transfers} cold transfers of {figure_of_bytes(size)}, {small} small ones; longest "
            f"wait {1e3 * longest:.0f} ms{busy}")


@scenario("hot-requests", "keep-alive requests one after the other: none waits for nothing")
def hot_requests(server, files, connections=8, each=500):
    """The shortest cycle there is, so that a wake-up between two waits has many chances to be
    lost."""
    file = files.get(1000)
    needs_persistence(server, file)
    longest, lost = 0.0, 0
    text = request("/" + file.name)
    several = [connect(server) for _ in range(connections)]
    with Watch(server, file.path) as watch:
        for connection, _ in itertools.product(several, range(each)):
            start = time.monotonic()
            connection.send(text)
            connection.read_checked(Checker(file))
            took = time.monotonic() - start
            longest = max(longest, took)
            lost += took >= STALL_S and watch.idle_throughout(start, start + took)
    for connection in several:
        connection.close()
    assert not lost, f"{lost} of {connections * each} waited {STALL_S} s or longer for nothing"
    return f"{connections * each} requests, the longest {1e3 * longest:.0f} ms"
