"""Clients that take their time: each time-out ends them, none touches those that make progress."""

import select
import time

import pytest

import gauges
from client import Connection, fetch, fetch_checked, request
from data import Checker
from matrix import SOUND, flags

pytestmark = pytest.mark.quick
MIB = 1 << 20


def seconds_until_ended(connection, at_most=15):
    start = time.monotonic()
    assert connection.ended(at_most), "the server does not end the connection"
    return time.monotonic() - start


@pytest.mark.parametrize("way", SOUND, ids="-".join)
def test_idle_connections_end(pollux, files, way):
    server = pollux(files.root, idle_timeout="1s", header_timeout="10m",
                    **flags("auto", way))
    with Connection(server.port) as fresh, Connection(server.port) as used:
        used.ask("/" + files.get(1).name)
        used.read_checked(Checker(files.get(1)))
        assert seconds_until_ended(used) >= 0.9
        assert seconds_until_ended(fresh) < 10
    gauges.wait_idle(server)
    assert server.metrics().value("pollux_idle_timeouts_total") == 2


def test_half_a_head_ends(pollux, files):
    server = pollux(files.root, header_timeout="1s", idle_timeout="10m")
    with Connection(server.port) as connection:
        connection.send(request("/x")[:-2])
        assert seconds_until_ended(connection) >= 0.9
    assert server.metrics().value("pollux_header_timeouts_total") == 1


def test_the_head_is_timed_as_a_whole_not_per_byte(pollux, files):
    """A client that drips can go on for ever if each byte winds the clock up again."""
    server = pollux(files.root, header_timeout="1s", idle_timeout="10m")
    with Connection(server.port) as connection:
        start = time.monotonic()
        text = b"GET / HTTP/1.1\r\nX: " + b"x" * 100000
        ended = False
        for at in range(len(text)):
            try:
                connection.send(text[at:at + 1])
            except ConnectionError:
                ended = True
                break
            if select.select([connection.socket], [], [], 0.05)[0]:
                ended = True
                break
            assert time.monotonic() - start < 15, "still listening"
        assert ended and time.monotonic() - start >= 0.9


def test_a_timed_out_head_may_be_told_so(pollux, files):
    server = pollux(files.root, header_timeout="1s")
    with Connection(server.port) as connection:
        connection.send(b"GET / HT")
        rest = connection.read_to_end()
        assert rest == b"" or rest.startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("backend", ["auto", "linux-aio-sendfile", "threads-sendfile", "writev"])
def test_a_client_that_takes_nothing_ends(pollux, files, backend):
    server = pollux(files.root, backend=backend, send_timeout="1s")
    with Connection(server.port, receive_buffer=4096) as connection:
        connection.ask("/" + files.get(16 * MIB + 1).name)
        gauges.wait_until(server, lambda m: m.value("pollux_send_timeouts_total") == 1,
                          "a send time-out")
        gauges.wait_idle(server)


def test_a_slow_client_that_takes_something_does_not_end(pollux, files):
    """Slower than the time-out in all, but never without progress for as long."""
    server = pollux(files.root, send_timeout="1s", chunk="64K")
    file = files.get(16 * MIB + 1)
    with Connection(server.port, receive_buffer=1 << 16) as connection:
        connection.ask("/" + file.name)
        head = connection.read_head()
        checker, start = Checker(file), time.monotonic()
        pieces = connection.pieces(head.length, piece=1 << 14)
        for piece in pieces:
            checker.update(piece)
            # Paced, for three seconds in all; then the rest as it comes.
            if time.monotonic() - start < 3:
                select.select([], [], [], 0.01)
        checker.finish()


def test_slow_heads_do_not_keep_the_others_waiting(pollux, files):
    server = pollux(files.root, header_timeout="10m", idle_timeout="10m")
    halves = []
    for _ in range(300):
        connection = Connection(server.port)
        connection.send(b"GET / HTTP/1.1\r\nHo")
        halves.append(connection)
    for _ in range(20):
        fetch_checked(server.port, files.get(65537))
    for connection in halves[::50]:
        connection.send(b"st: h\r\n\r\n")
        assert connection.read_answer().status == 403
    for connection in halves:
        connection.close()
    gauges.wait_idle(server)
    assert fetch(server.port, "/missing").status == 404
