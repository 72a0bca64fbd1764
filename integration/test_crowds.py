"""Many connections: two thousand that are served, a thousand that never read."""

import select
import statistics
import time

import pytest

import gauges
import servers
from client import Connection, fetch_checked, request
from data import Checker
from matrix import SOUND, every
from swarm import Download, Swarm

CHUNK = 64 * 1024
MIB = 1 << 20


@pytest.mark.parametrize("way", every(ways=[SOUND[0]]) + every(["auto"], SOUND[1:]))
def test_2000_connections_at_once(pollux, files, way):
    server = pollux(files.root, chunk="64K", buffer_budget="16M", **way)
    several = [files.get(CHUNK + 1, copy) for copy in range(8)]
    connections = [Connection(server.port) for _ in range(2000)]
    gauges.wait_until(server, lambda m: m.value("pollux_connections") == 2001, "all accepted")
    # All ask before any is read, twice on the same connection.
    for _ in range(2):
        for number, connection in enumerate(connections):
            connection.send(request("/" + several[number % 8].name))
        for number, connection in enumerate(connections):
            connection.read_checked(Checker(several[number % 8]))
    for connection in connections:
        connection.close()
    gauges.wait_idle(server)


def test_more_connections_than_allowed_wait_their_turn(pollux, files):
    server = pollux(files.root, max_connections=10)
    file = files.get(CHUNK + 1)
    held = [Connection(server.port) for _ in range(10)]
    for connection in held:
        connection.send(request("/" + file.name))
        connection.read_checked(Checker(file))
    waiting = Connection(server.port)
    waiting.send(request("/" + file.name))
    # The others are still served, in one loop turn after the next, and the eleventh is not.
    for connection in held:
        connection.send(request("/" + file.name))
        connection.read_checked(Checker(file))
    assert not select.select([waiting.socket], [], [], 0)[0]
    held.pop().close()
    waiting.read_checked(Checker(file))
    for connection in (*held, waiting):
        connection.close()


class Crowd:
    """Clients that ask for a lot and never read, through the smallest window there is."""

    def __init__(self, server, file, size=1000):
        self.connections = []
        for _ in range(size):
            connection = Connection(server.port, receive_buffer=2048)
            connection.send(request("/" + file.name))
            self.connections.append(connection)
        # Each got its first bytes: the server works on all of them, and none reads on.
        waiting = {connection.fileno() for connection in self.connections}
        with select.epoll() as epoll:
            for fd in waiting:
                epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
            deadline = time.monotonic() + 60
            while waiting:
                waiting -= {fd for fd, _ in epoll.poll(1)}
                assert time.monotonic() < deadline, f"{len(waiting)} were never answered"

    def close(self):
        for connection in self.connections:
            connection.reset()


def seconds_to_fetch(server, several):
    start = time.monotonic()
    with Swarm([Download(server.port, file, appetite=MIB) for file in several]) as swarm:
        swarm.run()
    return time.monotonic() - start


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", every(ways=[SOUND[0]]) + every(["auto", "linux-aio-sendfile"],
                                                               [SOUND[2]]))
def test_1000_clients_that_never_read_cost_the_others_no_more_than_a_tenth(pollux, files, way):
    """Two servers of the same kind, one with the crowd and one without, take turns; the ratio of
    the medians counts, so that what else the machine does strikes both alike."""
    budget = 32 * MIB
    big = files.get(16 * MIB + 1)
    several = [files.get(32 * MIB + 1, copy) for copy in range(4)]
    common = {"chunk": "256K", "buffer_budget": budget, "send_timeout": "10m", **way}
    free, crowded = pollux(files.root, **common), pollux(files.root, **common)
    crowd = Crowd(crowded, big)
    times = {free: [], crowded: []}
    seconds_to_fetch(free, several), seconds_to_fetch(crowded, several)  # warm, both
    for number in range(10):
        # Neither always goes first.
        for server in ((free, crowded) if number % 2 else (crowded, free)):
            times[server].append(seconds_to_fetch(server, several))
    metrics = crowded.metrics()
    assert metrics.value("pollux_connections") == 1001, "the crowd did not stay"
    assert metrics.value("pollux_chunk_bytes_max") <= budget
    crowd.close()
    gauges.wait_idle(crowded)
    ratio = statistics.median(times[free]) / statistics.median(times[crowded])
    print(f"rate beside the crowd: {ratio:.2f} of the rate without")
    if not servers.sanitizer():
        assert ratio >= 0.9, times


@pytest.mark.quick
@pytest.mark.parametrize("way", every(["linux-aio-sendfile", "linux-aio-write", "auto"],
                                      [SOUND[0]]))
def test_a_crowd_that_never_reads_does_not_stop_the_others(pollux, files, way):
    """The reserve at work: far fewer chunks than the crowd has connections."""
    server = pollux(files.root, chunk="64K", buffer_budget="512K", send_timeout="10m", **way)
    crowd = Crowd(server, files.get(16 * MIB + 1), size=200)
    for copy in range(4):
        fetch_checked(server.port, files.get(2 * MIB + 1, copy))
    assert server.metrics().value("pollux_chunk_bytes_max") <= 512 * 1024
    crowd.close()
    gauges.wait_idle(server)
