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


def assert_ends(connection, since, least):
    """Not before `least` seconds are over, a little less than the time-out, as a turn's time is that
    of its beginning. `since`: before the server's clock started, so that whatever delays this
    process makes no time-out seem early."""
    assert connection.ended(15), "the server does not end the connection"
    took = time.monotonic() - since
    assert took >= least, f"given up on after {took:.2f} s"


@pytest.mark.parametrize("way", SOUND, ids="-".join)
def test_idle_connections_end(pollux, files, way):
    server = pollux(files.root, idle_timeout="1s", header_timeout="10m",
                    **flags("auto", way))
    start = time.monotonic()
    with Connection(server.port) as fresh, Connection(server.port) as used:
        used.ask("/" + files.get(1).name)
        used.read_checked(Checker(files.get(1)))
        assert_ends(used, start, least=0.9)
        assert_ends(fresh, start, least=0.9)
    gauges.wait_idle(server)
    assert server.metrics().value("pollux_idle_timeouts_total") == 2


def test_half_a_head_ends(pollux, files):
    server = pollux(files.root, header_timeout="1s", idle_timeout="10m")
    with Connection(server.port) as connection:
        start = time.monotonic()
        connection.send(request("/x")[:-2])
        assert_ends(connection, start, least=0.9)
    assert server.metrics().value("pollux_header_timeouts_total") == 1


DRIPPED = [
    (b"GET / HTTP/1.1\r\nX: " + b"x" * 1000, "in a field"),
    (b"GET /" + b"x" * 1000, "in the target"),
    (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 90, "fields"),
    (b"\r\n" * 1000, "empty lines"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9999\r\n\r\n" + b"z" * 1000, "content"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nz\r\n" * 100,
     "chunks"),
]


@pytest.mark.parametrize("text", [row[0] for row in DRIPPED], ids=[row[1] for row in DRIPPED])
def test_what_drips_is_timed_as_a_whole_not_per_byte(pollux, files, text):
    """A client that drips can go on for ever if each byte winds the clock up again."""
    server = pollux(files.root, header_timeout="1s", idle_timeout="10m")
    with Connection(server.port) as connection:
        at = max(0, text.find(b"\r\n\r\n"))  # a content's head comes at once
        start = time.monotonic()
        connection.send(text[:at])
        for at in range(at, len(text)):
            connection.send(text[at:at + 1])
            if select.select([connection.socket], [], [], 0.1)[0]:
                break
            assert time.monotonic() - start < 15, "still listening"
        took = time.monotonic() - start
        assert took >= 0.9, "given up on before its time"
        assert took < 5, "a byte now and then bought more time"
        rest = connection.read_to_end()
        assert rest == b"" or rest.startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 400 "))


def test_a_head_in_time_is_served_and_the_next_has_a_time_of_its_own(pollux, files):
    """The clock runs from a head's first byte to its last: not while nothing of it is there, and
    not on into the next one."""
    server = pollux(files.root, header_timeout="3s", idle_timeout="10m")
    with Connection(server.port) as connection:
        text = request("/" + files.get(1).name)
        for _ in range(4):
            for piece in (text[:1], text[1:20], text[20:-1], text[-1:]):
                connection.send(piece)
                select.select([], [], [], 0.3)
            connection.read_checked(Checker(files.get(1)))
        assert not select.select([connection.socket], [], [], 3.2)[0], "ended between requests"
        # The last of one and the first of the next in one piece.
        start = time.monotonic()
        connection.send(text + text[:1])
        connection.read_checked(Checker(files.get(1)))
        assert_ends(connection, start, least=2.9)
    assert server.metrics().value("pollux_header_timeouts_total") == 1


def test_idle_time_begins_anew_with_each_answer(pollux, files):
    server = pollux(files.root, idle_timeout="2s", header_timeout="10m")
    with Connection(server.port) as connection:
        for _ in range(5):
            start = time.monotonic()
            connection.ask("/" + files.get(1).name)
            connection.read_checked(Checker(files.get(1)))
            assert not select.select([connection.socket], [], [], 0.5)[0]
        assert_ends(connection, start, least=1.9)
    assert server.metrics().value("pollux_idle_timeouts_total") == 1


def test_an_answer_may_take_longer_than_every_time_out(pollux, files):
    """None of the clocks of reading runs while an answer is sent to a slow client."""
    server = pollux(files.root, header_timeout="1s", idle_timeout="1s", send_timeout="10s")
    file = files.get(16 * MIB + 1)
    with Connection(server.port, receive_buffer=1 << 16) as connection:
        connection.ask("/" + file.name)
        head = connection.read_head()
        checker, start = Checker(file), time.monotonic()
        for piece in connection.pieces(head.length, piece=1 << 14):
            checker.update(piece)
            if time.monotonic() - start < 3:
                select.select([], [], [], 0.01)
        checker.finish()


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
