"""Every limit at itself, one below and one above, in one piece and in two."""

import select

import pytest

from client import Connection, request
from data import Checker

pytestmark = pytest.mark.quick


def head_of(size, target="/missing"):
    """A request whose head has exactly that many bytes."""
    empty = request(target, X="")
    return request(target, X="x" * (size - len(empty)))


def fields_of(count):
    """A request with that many header fields, Host among them."""
    return request("/missing", **{f"X{number}": "x" for number in range(count - 1)})


def target_of(size):
    return request("/" + "t" * (size - 1))


LIMITS = [
    # flag, its value, a request of a given size, what is answered above the limit
    ("max_head", 256, head_of, 431), ("max_head", 8192, head_of, 431),
    ("max_head", 100_000, head_of, 431),
    ("max_headers", 1, fields_of, 431), ("max_headers", 2, fields_of, 431),
    ("max_headers", 100, fields_of, 431),
    ("max_target", 64, target_of, 414), ("max_target", 8000, target_of, 414),
]


@pytest.mark.parametrize("flag,limit,sized,refusal", LIMITS,
                         ids=[f"{row[0]}-{row[1]}" for row in LIMITS])
def test_a_head_at_its_limit(pollux, files, flag, limit, sized, refusal):
    """What is within is answered and the connection goes on; what is above is refused, and nothing
    that follows is taken for a request."""
    server = pollux(files.root, **{"max_head": "1M", "max_target": "32K", "max_headers": 5000,
                                   flag: limit})
    for size in (limit - 1, limit, limit + 1, 2 * limit):
        status = 404 if size <= limit else refusal
        if size < 1:
            continue
        text = sized(size)
        for cut in (len(text), len(text) // 2, len(text) - 1, 1):
            with Connection(server.port) as connection, Connection(server.port) as other:
                connection.send(text[:cut])
                # A round trip of another's: the server has had a turn for the first part.
                other.ask("/missing")
                assert other.read_answer().status == 404
                connection.send(text[cut:] + request("/missing"))
                connection.half_close()
                answer = connection.read_answer()
                assert answer.status == status, f"{size} of {limit}, cut at {cut}"
                assert answer.head.keeps_alive == (status == 404)
                if status == 404:
                    assert connection.read_answer().status == 404
                assert connection.read_to_end() == b""


def test_a_head_that_never_ends_is_refused_as_soon_as_it_is_too_large(pollux, files):
    server = pollux(files.root, max_head="4K", header_timeout="10m")
    for endless in (b"GET /" + b"x" * 1000, b"GET / HTTP/1.1\r\nA: " + b"x" * 1000,
                    b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200, b"\r\n" * 3000):
        with Connection(server.port) as connection:
            for _ in range(100):
                connection.send(endless)
                endless = endless[-600:]
                if select.select([connection.socket], [], [], 0.01)[0]:
                    break
            assert select.select([connection.socket], [], [], 20)[0], (
                f"{endless[:20]!r}... is still listened to")
            assert connection.read_answer().status in (400, 414, 431)


@pytest.mark.parametrize("limit", [1, 2, 16])
def test_ranges_at_their_limit(pollux, files, limit):
    server = pollux(files.root, max_ranges=limit, max_head="64K")
    file = files.get(100_001)
    with Connection(server.port) as connection:
        for count in (max(1, limit - 1), limit, limit + 1, 100 * limit):
            # Apart from each other, so that none joins its neighbour.
            ranges = [(200 * number, 200 * number + 9) for number in range(count)]
            connection.ask("/" + file.name,
                           range="bytes=" + ",".join(f"{a}-{b}" for a, b in ranges))
            answer = connection.read_answer()
            if count > limit:
                assert answer.status == 200
                file.check(answer.body)
                continue
            assert answer.status == 206
            assert answer.body.count(b"Content-Range: ") == (count if count > 1 else 0)
            for first, last in ranges:
                assert file.bytes(first, last - first + 1) in answer.body


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_connections_at_their_limit(pollux, files, limit):
    """One below and at the limit are served at once; the one above waits, asks nothing of the loop,
    and is served when one of them leaves."""
    server = pollux(files.root, max_connections=limit)
    file = files.get(1)

    def served(connection):
        connection.ask("/" + file.name)
        connection.read_checked(Checker(file))

    held = [Connection(server.port) for _ in range(limit)]
    for connection in held:
        served(connection)
    above = Connection(server.port)
    above.ask("/" + file.name)
    for connection in held * 3:
        served(connection)
    assert not select.select([above.socket], [], [], 0.1)[0]
    before = server.cpu_seconds()
    assert not select.select([above.socket], [], [], 0.3)[0]
    assert server.cpu_seconds() - before < 0.1, "spins while somebody waits in the backlog"
    held.pop(0).close()
    above.read_checked(Checker(file))
    for connection in (*held, above):
        served(connection)
        connection.close()
