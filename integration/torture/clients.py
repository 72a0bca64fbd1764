"""Scenarios about clients: slow ones, hasty ones, those that leave; and signals."""

import contextlib
import os
import random
import signal
import threading

from cache import make_cold
from client import fetch_checked, request
from data import Checker
from swarm import Download, Swarm

from . import scenario as common
from .scenario import (NotApplicable, connect, descriptors, figure_of_bytes, needs_persistence,
                       needs_ranges, scenario)
from .watch import Beside

MIB = 1 << 20


@scenario("slow-heads", "request heads byte by byte are answered, and keep nobody waiting")
def slow_heads(server, files, clients=50):
    """Others are answered between the bytes; no clock is needed for that."""
    file = files.get(65_537)
    text = request("/" + file.name, close=True)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(server)) for _ in range(clients)]
        for at in range(len(text)):
            for connection in slow:
                connection.send(text[at:at + 1])
            if at % 8 == 0:
                with connect(server) as other:
                    other.ask("/" + file.name)
                    other.read_checked(Checker(file))
        for connection in slow:
            connection.read_checked(Checker(file))
    return f"{clients} heads of {len(text)} bytes"


def expectations(files, rng, count):
    """`count` requests and what each must be answered with: (bytes, method, status, checker)."""
    several = [files.get(size) for size in (1, 4095, 65_537, 1_000_003)]
    for _ in range(count):
        file = rng.choice(several)
        kind = rng.random()
        if kind < 0.15:
            yield request("/" + file.name, method="HEAD"), "HEAD", 200, None
        elif kind < 0.3:
            yield request(f"/missing-{rng.randrange(1000)}"), "GET", 404, None
        elif kind < 0.7:
            length = min(file.size, int(2 ** rng.uniform(0, 16)))
            offset = rng.randrange(file.size - length + 1)
            yield (request("/" + file.name, range=(offset, offset + length - 1)), "GET", 206,
                   Checker(file, offset, length))
        else:
            yield request("/" + file.name), "GET", 200, Checker(file)


@scenario("pipelining", "requests sent without waiting are all answered, in order")
def pipelining(server, files, rounds=20, requests=40, seed=2006):
    """In one piece, and cut anywhere. The last has no successor that would wake the server up."""
    rng = random.Random(seed)
    file = files.get(4095)
    needs_persistence(server, file)
    needs_ranges(server, file)
    for number in range(rounds):
        wanted = list(expectations(files, rng, requests))
        text = b"".join(row[0] for row in wanted)
        cuts = sorted(rng.randrange(len(text)) for _ in range(number))
        with connect(server) as connection:
            sender = threading.Thread(target=_send_pieces, args=(connection, text, cuts))
            sender.start()
            try:
                for place, (_, method, status, checker) in enumerate(wanted):
                    _read_one(connection, f"answer {place + 1} of {requests}", method, status,
                              checker)
            finally:
                with contextlib.suppress(OSError):
                    connection.socket.shutdown(2)  # ends a sender that nobody listens to
                sender.join()
    return f"{rounds * requests} answers on {rounds} connections"


def _send_pieces(connection, text, cuts):
    with contextlib.suppress(OSError):  # the reader will say what is missing
        for first, last in zip([0, *cuts], [*cuts, len(text)]):
            connection.send(text[first:last])


def _read_one(connection, which, method, status, checker):
    try:
        if checker:
            head = connection.read_checked(checker)
        else:
            head = connection.read_answer(method).head
    except TimeoutError as error:
        raise AssertionError(f"{which} never came") from error
    except (AssertionError, ConnectionError) as error:
        raise AssertionError(f"{which}: {error}") from error
    assert head.status == status, f"{which} has status {head.status} instead of {status}"


@scenario("half-close", "who closes the sending side after a request still gets the whole answer")
def half_close(server, files, clients=20):
    file = files.get(5 * MIB + 1)
    make_cold(file.path)
    with contextlib.ExitStack() as stack:
        waiting = []
        for _ in range(clients):
            connection = stack.enter_context(connect(server, receive_buffer=1 << 16))
            connection.ask("/" + file.name)
            connection.half_close()
            waiting.append(connection)
        for connection in waiting:
            connection.read_checked(Checker(file))
            assert not connection.read_to_end(), "something came after the answer"
    return f"{clients} clients, {figure_of_bytes(clients * file.size)}"


def leave(server, file, rng):
    """One client that resets its connection: before, within or after its request, or after any
    number of bytes of the answer."""
    connection = connect(server, receive_buffer=1 << 16)
    text = request("/" + file.name)
    kind = rng.randrange(4)
    if kind == 1:
        connection.send(text[:rng.randrange(1, len(text))])
    elif kind > 1:
        connection.send(text)
    if kind == 3:
        head = connection.read_head()
        for _ in connection.pieces(int(rng.uniform(0, 0.5) * head.length)):
            pass
    connection.reset()


@scenario("resets", "clients that reset at any moment harm nobody and leave nothing behind")
def resets(server, files, clients=100, seed=2006):
    """Twice, so that what is kept on purpose is there already when it is counted."""
    rng = random.Random(seed)
    file = files.get(5 * MIB + 1)
    counted = None
    for _ in range(2):
        before = counted
        make_cold(file.path)
        with Swarm([Download(server.port, file, appetite=file.size // clients)],
                   patience=common.PATIENCE_S) as swarm:
            for _ in range(clients):
                leave(server, file, rng)
                if swarm.running:
                    swarm.round()
            swarm.run()
        counted = descriptors(server, at_most=before)
    assert counted <= before, (f"{counted - before} descriptors more after another {clients} "
                               "resets")
    return f"{2 * clients} resets, {counted} descriptors before and after"


class Storm(Beside):
    """Signals to a process, as fast as they go, or as `rates` ({number: a second}) say. A
    thousand at least, however short the block is."""

    def __init__(self, server, numbers=(), rates=None, at_least=1000):
        super().__init__()
        self._server = server
        self._rates = rates or {number: 5000 for number in numbers}
        self._at_least = at_least
        self.sent = 0

    def _run(self):
        fastest = max(self._rates.values())
        turn = 0
        while not self._stop.is_set() or self.sent < self._at_least:
            for number, rate in self._rates.items():
                if turn % (fastest // rate) == 0:
                    self._server.signal(number)
                    self.sent += 1
            turn += 1
            self._stop.wait(1 / fastest)


@scenario("signal-storm", "signals that the server's documentation allows do no transfer harm")
def signal_storm(server, files, rounds=3):
    if not server.signals:
        raise NotApplicable("no signal is said to be allowed (--signals)")
    several = [files.get(5 * MIB + 1, copy) for copy in range(4)]
    received = 0
    with Storm(server, rates=server.signals, at_least=200) as storm:
        for _ in range(rounds):
            make_cold(*(file.path for file in several))
            with Swarm([Download(server.port, file, receive_buffer=1 << 16)
                        for file in several * 2], patience=common.PATIENCE_S) as swarm:
                swarm.run()
                received += swarm.received
    fetch_checked(server.port, several[0])
    names = "/".join(signal.Signals(number).name[3:] for number in server.signals)
    return f"{storm.sent} signals ({names}) during {figure_of_bytes(received)}"
