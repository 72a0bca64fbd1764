"""Many connections: two thousand that are served, a thousand that never read."""

import select
import socket
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


@pytest.mark.parametrize("way", every(ways=[SOUND[0]]) + every(["auto"], [SOUND[3]]))
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


def seconds_to_take(server, several):
    """All of these files at once, as fast as the server gives them. MSG_TRUNC throws the bytes away
    in the kernel (tcp(7)): the client costs next to nothing, and every other test looks at bytes.
    The fixed receive buffer keeps the kernel from tuning it, which on a loopback this fast loses
    segments and waits for their retransmission."""
    begun = [Connection(server.port, receive_buffer=4 * MIB) for _ in several]
    start = time.monotonic()
    left = {}
    with select.epoll() as epoll:
        for connection, file in zip(begun, several):
            connection.send(request("/" + file.name, close=True))
            left[connection.fileno()] = (connection.socket, file.size)
            epoll.register(connection.fileno(), select.EPOLLIN)
        while left:
            for fd, _ in epoll.poll(60):
                sock, missing = left[fd]
                count = len(sock.recv(1 << 20, socket.MSG_TRUNC | socket.MSG_DONTWAIT))
                left[fd] = (sock, missing - count)
                if count == 0:
                    # The head counts too: more came than the file has.
                    assert missing < 0, "the connection ended before the file did"
                    epoll.unregister(fd)
                    del left[fd]
    seconds = time.monotonic() - start
    for connection in begun:
        connection.close()
    return seconds


ROUNDS, ROUNDS_MAX = 12, 60


def undisturbed(times):
    """Seconds a round takes: the mean of the faster half. What else the machine does only ever adds
    to a round; what the crowd costs is in every one."""
    return statistics.mean(sorted(times)[:max(1, len(times) // 2)])


@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", every(ways=[SOUND[0]]) + every(["linux-aio-sendfile"], [SOUND[2]]))
def test_1000_clients_that_never_read_cost_the_others_no_more_than_a_tenth(pollux, files, way):
    """Two servers of the same kind, one with the crowd and one without, take turns, so that what
    else the machine does strikes both alike."""
    budget = 32 * MIB
    big = files.get(16 * MIB + 1)
    several = [files.get(16 * MIB + 1, copy) for copy in range(4)]
    common = {"chunk": "256K", "buffer_budget": budget, "send_timeout": "10m", **way}
    free, crowded = pollux(files.root, **common), pollux(files.root, **common)
    crowd = Crowd(crowded, big)
    times = {free: [], crowded: []}
    once = min(seconds_to_take(server, several) for server in (crowded, free, crowded, free))
    repeats = min(10, max(1, int(0.15 / once)))  # a round long enough to be measured
    cpu = {server: server.cpu_seconds() for server in times}
    rounds, ratio = 0, 0
    # More rounds, never fewer, when a busy machine leaves it open: each joins the same mean.
    while rounds < ROUNDS or (ratio < 0.9 and rounds < ROUNDS_MAX):
        # Neither always goes first.
        for server in ((free, crowded) if rounds % 2 else (crowded, free)):
            times[server].append(sum(seconds_to_take(server, several) for _ in range(repeats)))
        rounds += 1
        ratio = undisturbed(times[free]) / undisturbed(times[crowded])
    cpu = {server: server.cpu_seconds() - before for server, before in cpu.items()}
    metrics = crowded.metrics()
    assert metrics.value("pollux_connections") == 1001, "the crowd did not stay"
    assert metrics.value("pollux_chunk_bytes_max") <= budget
    crowd.close()
    gauges.wait_idle(crowded)
    rate = repeats * sum(file.size for file in several) / undisturbed(times[free]) / 1e6
    print(f"rate beside the crowd: {ratio:.2f} of {rate:.0f} MB/s; "
          f"CPU: {cpu[crowded] / cpu[free]:.2f} of {cpu[free] / rounds * 1000:.1f} ms a round; "
          f"{rounds} rounds")
    if not servers.sanitizer():
        assert ratio >= 0.9, [list(map("{:.3f}".format, values)) for values in times.values()]


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


def send_queues(server):
    """Bytes in the send queue of each of the server's connections: accepted by the kernel and not
    acknowledged (tx_queue of /proc/net/tcp, proc(5))."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [line.split() for line in table][1:]
    return [int(row[4].split(":")[0], 16) for row in rows
            if row[1].endswith(f":{server.port:04X}") and row[3] == "01"]


@pytest.mark.quick
@pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
def test_what_the_kernel_holds_for_a_client_that_never_reads_is_bounded(pollux, files, way):
    """The pages in socket queues are beyond --buffer-budget, so they have a bound of their own."""
    unsent = 128 * 1024
    server = pollux(files.root, send_timeout="10m", max_unsent=unsent, **way)
    crowd = Crowd(server, files.get(16 * MIB + 1), size=20)
    # More requests get their answers: the loop has gone round, and the queues are as full as ever.
    for _ in range(3):
        fetch_checked(server.port, files.get(2 * MIB + 1))
    queues = send_queues(server)
    crowd.close()
    assert len(queues) >= 20 and max(queues) > 0
    # One buffer of the kernel's may go beyond, and the little that the window had room for.
    assert max(queues) <= unsent + 128 * 1024, sorted(queues)
