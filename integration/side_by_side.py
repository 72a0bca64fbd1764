"""What a crowd costs the others, as a ratio that other work on the machine hardly moves.

Two servers of the same kind, `crowded` with the crowd and `free` without, do the same by turns, in
pairs of short rounds, a number of pairs that is fixed beforehand. Each figure is the median over
the pairs of crowded / free: a burst of other work spoils a few pairs, and as many in favour of the
one as of the other. It comes with a bound: the median of many more pairs would be below it once in
a hundred such tests (the sign test's, which asks nothing of how they are distributed). CPU is the
server's, in all its threads, and both servers have the same processor: on two of them the one with
the busier neighbour loses every pair, by up to a fifth.
"""

import os
import select
import socket
import statistics
import time

from client import Connection, request

MIB = 1 << 20
PAIRS = 80
ROUND_CPU_S = 0.012  # about: long enough for a cold cache at its start to matter little

# A server that is its own bottleneck keeps 0.9 of its rate as long as a byte, or a request, costs
# it at most 1/0.9 of the CPU. CPU time does not show a server that waits, for memory that the
# crowd holds: that is a matter of times, not of tenths.
CPU_MOST = 1 / 0.9
SECONDS_MOST = 1.5


class SideBySide:
    """`work(server)` is done once or several times a round; `meanwhile` at the beginning of each
    round of the crowded one, as a part of it."""

    def __init__(self, free, crowded, work, meanwhile=lambda: None):
        one_processor(free, crowded)
        before = free.cpu_seconds()
        for server in (crowded, free, crowded, free):
            work(server)
        repeats = min(10, max(1, round(2 * ROUND_CPU_S / (free.cpu_seconds() - before))))
        seconds, cpu = [], []
        for pair in range(PAIRS):
            took, burnt = {}, {}
            for server in ((free, crowded) if pair % 2 else (crowded, free)):  # each goes first
                start, before = time.monotonic(), server.cpu_seconds()
                if server is crowded:
                    meanwhile()
                for _ in range(repeats):
                    work(server)
                burnt[server] = server.cpu_seconds() - before
                took[server] = time.monotonic() - start
            seconds.append(took[crowded] / took[free])
            cpu.append(burnt[crowded] / burnt[free])
        self.seconds, self.cpu = statistics.median(seconds), statistics.median(cpu)
        self.seconds_least, self.cpu_least = at_least(seconds), at_least(cpu)

    @property
    def bearable(self):
        return self.cpu_least <= CPU_MOST and self.seconds_least <= SECONDS_MOST

    def __str__(self):
        return (f"beside the crowd it takes {self.cpu:.3f} of the CPU (at least "
                f"{self.cpu_least:.3f}) and {self.seconds:.2f} of the time (at least "
                f"{self.seconds_least:.2f})")


def at_least(ratios):
    """The lower bound of their median that holds in 99 of 100 cases: how many of n lie below the
    true median is binomial, n / 2 with a standard deviation of sqrt(n) / 2."""
    below = len(ratios) / 2 - 2.33 * len(ratios) ** 0.5 / 2
    return sorted(ratios)[int(below)]


def one_processor(*servers):
    for server in servers:
        for pid in server.pids():
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), {min(os.sched_getaffinity(0))})


def downloads(several):
    """Work: all of these files at once, as fast as the server gives them. MSG_TRUNC throws the
    bytes away in the kernel (tcp(7)): the client costs next to nothing, and other tests look at
    bytes. The fixed receive buffer keeps the kernel from tuning it, which on a loopback this fast
    loses segments and waits for their retransmission."""

    def work(server):
        begun = [Connection(server.port, receive_buffer=4 * MIB) for _ in several]
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
        for connection in begun:
            connection.close()

    return work


def small_requests(file, connections=16, each=20):
    """Work: requests for a small file on connections that stay open, one at a time on each."""

    def work(server):
        text = request("/" + file.name)
        begun = [Connection(server.port) for _ in range(connections)]
        for _ in range(each):
            for connection in begun:
                connection.send(text)
            for connection in begun:
                assert connection.read_answer().status == 200
        for connection in begun:
            connection.close()

    return work
