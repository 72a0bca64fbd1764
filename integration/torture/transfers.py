"""Scenarios about bytes: many transfers at once, late readers, files that change under way."""

import os
import random
import socket
import time

from cache import make_cold
from client import fetch_checked
from data import Checker, EitherChecker
from swarm import Download, Swarm, wait_queued

from . import scenario as common
from .scenario import connect, figure_of_bytes, scenario, serves_ranges

KIB, MIB = 1 << 10, 1 << 20
GATHER_S = 50  # for all of a crowd to be connected, and again for all to be served
LATE_BYTES = 72 * 64 * KIB + 1
SO_RCVBUFFORCE = 33  # asm-generic/socket.h; beyond net.core.rmem_max, for root


@scenario("random-load", "1,000 connections with random files, ranges and speeds: every byte right")
def random_load(server, files, connections=1000, seed=2006):
    """All are open and have asked before any of them reads. The files are cold. What the article
    of 2006 had left to do: "load testing (more parallel connections), random load"."""
    rng = random.Random(seed)
    several = [files.get(size, copy) for size in (0, 1, 4095, 65_537, 1_000_003, 5 * MIB + 1)
               for copy in range(2)]
    ranges = serves_ranges(server, several[-1])
    make_cold(*(file.path for file in several))
    with Swarm(patience=common.PATIENCE_S) as swarm:
        start = time.monotonic()
        for number in range(connections):
            assert time.monotonic() < start + GATHER_S, (
                f"only {number} of {connections} connections were let in within {GATHER_S} s")
            file = rng.choice(several)
            part = {}
            if ranges and file.size > 1 and rng.random() < 0.9:
                length = min(int(2 ** rng.uniform(0, 20)), file.size)
                part = {"offset": rng.randrange(file.size - length + 1), "length": length}
            pace = rng.choice([{"appetite": 1 << 18}, {"appetite": 1 << 14},
                               {"appetite": 1 << 14, "receive_buffer": 16384}])
            swarm.add(Download(server.port, file, **part, **pace))
        swarm.run(deadline=GATHER_S)
        return f"{connections:,} connections, {figure_of_bytes(swarm.received)}"


class LateReader:
    """Asks, and takes nothing until read_late()."""

    def __init__(self, server, file):
        self.file = file
        self.connection = connect(server)
        # Twice the bytes: sk_buff overhead counts as well. What the receive buffer does not take
        # stays in the server's send queue, which would hold references just the same.
        wanted, sock = 4 * file.size, self.connection.socket
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self._queued = min(file.size, granted // 4)
        self.connection.ask("/" + file.name)

    def everything_queued(self):
        """Without root: as much as the receive buffer takes."""
        wait_queued(self.connection, self._queued, timeout=common.PATIENCE_S)

    def read_late(self):
        with self.connection as connection:
            head = connection.read_head()
            assert head.status == 200 and head.length == self.file.size
            return connection.read_body(head.length)


def queued_then_read(readers):
    for reader in readers:
        reader.everything_queued()
    return [reader.read_late() for reader in readers]


@scenario("late-readers", "who reads only when everything was sent gets the bytes of then")
def late_readers(server, files, readers=4):
    """Late readers hold queues full of references while fast downloads turn the server's buffers
    over: what one of them overwrites, a late reader gets."""
    several = [files.get(LATE_BYTES, copy) for copy in range(readers)]
    make_cold(*(file.path for file in several))
    late = [LateReader(server, file) for file in several]
    with Swarm(patience=common.PATIENCE_S) as swarm:
        for number in range(3 * readers):
            swarm.add(Download(server.port, several[number % readers]))
        swarm.run()
    for file, body in zip(several, queued_then_read(late)):
        file.check(body)
    return f"{readers} late readers, {figure_of_bytes(readers * LATE_BYTES)}"


def begin(server, file, some=MIB):
    """A transfer of `file` that has delivered some bytes and is then left alone; its window is
    small, so that the server is far from done."""
    connection = connect(server, receive_buffer=16384)
    connection.ask("/" + file.name)
    head = connection.read_head()
    assert head.status == 200 and head.length == file.size
    checker = Checker(file)
    for piece in connection.pieces(some):
        checker.update(piece)
    return connection, checker


def rest_of(connection, checker):
    """Everything that still comes before the server closes; all of it must be right."""
    try:
        while checker.received < checker.length:
            data = connection.socket.recv(1 << 16)
            if not data:
                break
            checker.update(data)
    except ConnectionResetError:
        pass
    except TimeoutError as error:
        raise AssertionError("the connection of a file that was cut is left open") from error
    connection.close()


def truncated(server, files, size, left):
    """A transfer of a file that is cut to `left` bytes under way: how many bytes came. What comes
    is the file's; the rest does not come. For `left` on a boundary that no folio crosses: the
    kernel zeroes a cut folio in place, in socket queues too, which no sender from the page cache
    can prevent."""
    file = files.new(size)
    connection, checker = begin(server, file, min(MIB, size // 4))
    os.truncate(file.path, left)
    rest_of(connection, checker)
    assert checker.received < checker.length, "bytes came that the file no longer has"
    return file, checker.received


@scenario("truncation", "a file cut during its transfer is never padded: the connection ends")
def truncation(server, files, size=32 * MIB + 1):
    came = []
    for left in (0, 16 * MIB):
        file, received = truncated(server, files, size, left)
        came.append(received)
        os.unlink(file.path)
    fetch_checked(server.port, files.get(MIB + 1))
    return f"{' and '.join(figure_of_bytes(count) for count in came)} of {figure_of_bytes(size)}"


def replaced(server, files, size, either=False):
    """A file that another takes the place of under way (rename(2)): it is sent to its end, and
    others at once get the new one, so that what is shared under a wrong key would meet. `either`:
    a server may know the old one a little longer, as long as it mixes nothing."""
    old = files.new(size)
    connection, checker = begin(server, old)
    new = files.new(size)
    os.rename(new.path, old.path)
    with Swarm(patience=common.PATIENCE_S) as swarm:
        for _ in range(3):
            swarm.add(Download(server.port, new, target="/" + old.name,
                               checker=EitherChecker([new, old]) if either else None))
        swarm.run(until=lambda swarm: swarm.received > size // 2)
        connection.read_rest(checker)
        swarm.run()
    connection.close()
    return old


@scenario("replacement", "a file replaced during its transfer is sent to its end, never mixed")
def replacement(server, files, rounds=4, size=8 * MIB + 1):
    for _ in range(rounds):
        os.unlink(replaced(server, files, size, either=True).path)
    return f"{rounds} files, {3 * rounds} transfers of the new ones beside"
