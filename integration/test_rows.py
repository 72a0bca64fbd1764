"""What each request is answered with, a row each, over real sockets and split at every byte.

One server answers all of them. Behind every answer after which the connection goes on stands a
probe whose answer proves that the server and the client agree where the request ended; behind every
other one the connection must end, without another byte."""

import email.utils
import os
import tempfile

import pytest

import servers
from client import Connection
from rows import (BODIES, CONTENT, EXPECTATIONS, HOSTS, LINES, METHODS, MODIFIED, PERSISTENCE,
                  PROBE, REQUEST_LINES, conditions, get, ranges, targets)
from warden import warden

pytestmark = pytest.mark.quick

# Rows up to this many bytes are split at every byte, longer ones at a few.
SPLIT_BYTES_MAX = 160


@pytest.fixture(scope="module")
def server():
    with tempfile.TemporaryDirectory(prefix="rows-", dir=servers.scratch_folder()) as parent:
        warden.guard_folder(parent)
        os.chmod(parent, 0o755)
        root = os.path.join(parent, "root")
        for folder in ("", "sub", "bare", "piped", " \r\nx"):
            os.mkdir(os.path.join(root, folder))
        odd = bytes(byte for byte in range(1, 256) if byte != 0x2f)
        for path, content in [(b"file.txt", CONTENT), (b"probe", b"probed"), (b"empty", b""),
                              (b"sub/index.html", b"index"), (odd, b"odd"),
                              (b"../secret", b"SECRET")]:
            with open(os.path.join(os.fsencode(root), path), "wb") as file:
                file.write(content)
        os.utime(os.path.join(root, "file.txt"), (MODIFIED, MODIFIED))
        os.mkfifo(os.path.join(root, "fifo"))
        os.mkfifo(os.path.join(root, "piped/index.html"))
        os.mknod(os.path.join(root, "socket"), 0o140644)
        os.symlink("../secret", os.path.join(root, "out"))
        os.symlink("..", os.path.join(root, "up"))
        os.symlink("sub/../file.txt", os.path.join(root, "in"))
        one = servers.PolluxServer(root, idle_timeout="10m").start()
        try:
            yield one
        finally:
            one.stop()
            warden.forget_folder(parent)


def methods(sent):
    """Of the requests, as far as they can be told apart by their first word."""
    words = [b"HEAD" if line.startswith(b"HEAD ") else b"GET"
             for line in sent.split(b"\r\n") if line.endswith((b"HTTP/1.1", b"HTTP/1.0"))]
    return [word.decode() for word in words] + ["GET"]


def check(row, connection):
    asked = methods(row.sent)
    first = None
    for number, status in enumerate(row.statuses):
        answer = connection.read_answer(asked[min(number, len(asked) - 1)])
        first = first or answer
        assert answer.status == status, f"{answer.status} {answer.body[:300]}"
        assert email.utils.parsedate_to_datetime(answer.head["date"])
        if "last-modified" in answer.head.fields:
            assert (email.utils.parsedate_to_datetime(answer.head["last-modified"])
                    <= email.utils.parsedate_to_datetime(answer.head["date"]))
        assert b"SECRET" not in answer.body and b"root:" not in answer.body
        if status >= 400 and asked[min(number, len(asked) - 1)] != "HEAD":
            assert answer.body and answer.head["content-type"] == "text/html; charset=utf-8"
    for name, value in row.has.items():
        assert first.head[name] == value
    for name in row.lacks:
        assert name not in first.head.fields
    if row.body is not None:
        assert first.body == row.body
    if row.stays:
        connection.send(PROBE)
        assert connection.read_answer().body == b"probed"
    else:
        assert not answer.head.keeps_alive
        connection.half_close()
        assert connection.read_to_end() == b""


def splits(sent):
    if len(sent) <= SPLIT_BYTES_MAX:
        return range(1, len(sent))
    return [1, 7, len(sent) // 2, len(sent) - 2, len(sent) - 1]


def run(server, rows):
    """The other connection's round trip gives the loop a turn with the first part alone."""
    rows = list(rows)
    assert len({row.name for row in rows}) == len(rows)
    with Connection(server.port) as other:
        for row in rows:
            for at in [len(row.sent), *splits(row.sent)]:
                with Connection(server.port) as connection:
                    try:
                        connection.send(row.sent[:at])
                        if at < len(row.sent):
                            other.send(PROBE)
                            assert other.read_answer().status == 200
                            connection.send(row.sent[at:])
                        check(row, connection)
                    except Exception as error:
                        raise AssertionError(f"{row.name}, split at {at} of {len(row.sent)}: "
                                             f"{type(error).__name__}: {error}") from error


@pytest.mark.parametrize("rows", [LINES, REQUEST_LINES, HOSTS, BODIES, EXPECTATIONS, PERSISTENCE,
                                  METHODS],
                         ids=["lines", "request lines", "hosts", "bodies", "expectations",
                              "persistence", "methods"])
def test_framing(server, rows):
    run(server, rows)


def test_ranges(server):
    run(server, ranges())


def test_targets(server):
    run(server, targets())


def etag_of(server):
    with Connection(server.port) as connection:
        connection.ask("/file.txt", method="HEAD")
        return connection.read_answer("HEAD").head["etag"].encode()


def test_preconditions(server):
    run(server, conditions(etag_of(server)))


def test_head_is_answered_as_get_whatever_the_answer(server):
    etag = etag_of(server).decode()
    for target, fields in [("/file.txt", {}), ("/empty", {}), ("/none", {}), ("/sub", {}),
                           ("/sub/", {}), ("/bare/", {}), ("/fifo", {}),
                           ("/file.txt", {"If_None_Match": etag}),
                           ("/file.txt", {"If_Match": '"x"'}), ("/metrics", {})]:
        heads = []
        for method in ("GET", "HEAD"):
            with Connection(server.port) as connection:
                connection.ask(target, method=method, close=True, **fields)
                heads.append(dict(connection.read_answer(method).head.fields))
                assert connection.read_to_end() == b""
        for head in heads:
            head.pop("date")
            if target == "/metrics":
                head.pop("content-length")  # its figures have moved on
        assert heads[0] == heads[1], target


def test_not_modified_says_what_200_would(server):
    etag = etag_of(server)
    heads = []
    for fields in (b"", b"If-None-Match: " + etag + b"\r\n"):
        with Connection(server.port) as connection:
            connection.send(get(fields))
            heads.append(connection.read_answer().head)
    assert [head.status for head in heads] == [200, 304]
    for name in ("etag", "last-modified", "cache-control", "content-location", "expires", "vary"):
        assert heads[0].get(name) == heads[1].get(name), name
