"""What a scenario is, and what is common to all of them."""

import contextlib
import dataclasses
import os
import time
import typing

from client import Connection, fetch, request
from tcp_sockets import tcp_states

PATIENCE_S = 30.0  # no answer, and no byte of one, may take longer
KEPT_S = 10.0      # files that nobody asks for are kept open no longer


class NotApplicable(Exception):
    """The server does not have what the scenario asks about, or the machine does not allow it."""


class Died(AssertionError):
    """The server, or a worker of it, ended."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a server is to serve, if not the folder of everybody's files: they are at `root` for
    who is started by `wrapper`."""
    files: typing.Any
    root: str
    wrapper: list


@dataclasses.dataclass(frozen=True)
class Scenario:
    """`wrapper`: a command before the server's, as in Server. `around`: a context manager that
    is entered before the server starts. `place`: one for a server that must end before it is left;
    yields the Place. `requires`: names of requirements.py. `alone`: uses up what all processes
    share, or compares times."""
    name: str
    title: str
    function: typing.Callable
    wrapper: tuple = ()
    around: typing.Callable = contextlib.nullcontext
    place: typing.Callable | None = None
    requires: tuple = ()
    alone: bool = False

    def run(self, start, files, **sizes):
        """The figure of it holding. `start(root, wrapper=...)` starts the server."""
        _connections.clear()
        with self.around():
            if self.place is None:
                server = start(files.root, wrapper=list(self.wrapper))
                return self._judge(server, files, sizes)
            with self.place() as place, contextlib.ExitStack() as stack:
                server = start(place.root, wrapper=place.wrapper)
                stack.push(server)  # ends it before the place goes
                return self._judge(server, place.files, sizes)

    def _judge(self, server, files, sizes):
        try:
            figure = self.function(server, files, **sizes)
        except NotApplicable:
            raise
        except Exception as error:
            if server.ended(within=1.0):
                raise _died(server) from error
            if isinstance(error, TimeoutError) and str(error) == "timed out":  # a socket's
                raise AssertionError(f"no answer within {PATIENCE_S:.0f} s") from error
            raise
        finally:
            while _connections:
                _connections.pop().close()
        if not server.alive():
            raise _died(server)
        if server.crash():
            raise Died(server.crash())
        return figure


def _died(server):
    last = (server.stderr().splitlines() or server.output or ["it said nothing"])[-1]
    return Died(f"the server ended with status {server.process.returncode}: {last}")


SCENARIOS = {}


def scenario(name, title, **more):
    """Registers a function (server, files, **sizes with defaults) -> its figure, one line."""

    def register(function):
        SCENARIOS[name] = Scenario(name, title, function, **more)
        return function

    return register


_connections = []  # of the scenario that runs: closed at its end, however it ends


def connect(server, timeout=None, **options):
    _connections.append(Connection(server.port, timeout=timeout or PATIENCE_S, **options))
    return _connections[-1]


def needs_ranges(server, file):
    answer = fetch(server.port, "/" + file.name, range=(1, 2))
    if answer.status != 206:
        raise NotApplicable(f"a range is answered with {answer.status}")


def needs_persistence(server, file):
    with connect(server) as connection:
        connection.send(request("/" + file.name))
        answer = connection.read_answer()
        if answer.head.version != "HTTP/1.1" or not answer.head.keeps_alive:
            raise NotApplicable("each answer ends its connection")


def _applies(needs, server, file):
    try:
        needs(server, file)
    except NotApplicable:
        return False
    return True


def serves_ranges(server, file):
    return _applies(needs_ranges, server, file)


def persists(server, file):
    return _applies(needs_persistence, server, file)


def quiet(server):
    """Waits until the server has closed every connection that its clients have closed: the kernel
    knows of no socket of its port that is not listening."""
    deadline = time.monotonic() + PATIENCE_S
    while states := tcp_states(server.port):
        if time.monotonic() > deadline:
            raise AssertionError(f"{len(states)} connections of clients that have left are still "
                                 f"open (TCP states {sorted(set(states))})")
        time.sleep(0.001)


def descriptors(server, at_most=None):
    """How many it has open while nobody is connected. With `at_most` waits for that few: files may
    be kept open for a while."""
    quiet(server)
    deadline = time.monotonic() + KEPT_S
    while True:
        count = len(server.descriptors())
        if at_most is None or count <= at_most or time.monotonic() > deadline:
            return count


def figure_of_bytes(count):
    return f"{count / 1e6:.0f} MB" if count >= 1e7 else f"{count / 1e6:.1f} MB"
