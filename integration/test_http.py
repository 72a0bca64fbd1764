"""HTTP/1.1 as seen from a raw socket (RFC 9112, RFC 9110)."""

import email.utils
import time

import pytest

from client import Connection, fetch, fetch_checked, request
from data import Checker

pytestmark = pytest.mark.quick
SIZE = 100_001


@pytest.fixture
def server(pollux, files):
    return pollux(files.root, chunk="64K")


@pytest.fixture
def file(files):
    return files.get(SIZE)


def test_get_and_head_tell_the_same(server, file):
    got = fetch(server.port, "/" + file.name)
    head = fetch(server.port, "/" + file.name, method="HEAD")
    file.check(got.body)
    for answer in (got, head):
        assert answer.status == 200 and answer.head.version == "HTTP/1.1"
        assert answer.head.length == SIZE
        assert answer.head["accept-ranges"] == "bytes"
        assert answer.head["etag"].startswith('"') and answer.head["etag"].endswith('"')
        date = email.utils.parsedate_to_datetime(answer.head["date"]).timestamp()
        assert abs(date - time.time()) < 60
        assert email.utils.parsedate_to_datetime(answer.head["last-modified"]).timestamp() <= date
    differing = {"date"}
    assert {k: v for k, v in got.head.fields.items() if k not in differing} == {
        k: v for k, v in head.head.fields.items() if k not in differing}


def test_head_sends_no_content_and_keeps_the_connection(server, file):
    with Connection(server.port) as connection:
        for _ in range(3):
            connection.ask("/" + file.name, method="HEAD")
            assert connection.read_answer("HEAD").head.length == SIZE
        connection.ask("/" + file.name)
        connection.read_checked(Checker(file))


@pytest.mark.parametrize("value,first,last", [
    ("bytes=0-0", 0, 0), ("bytes=0-", 0, SIZE - 1), ("bytes=5-9", 5, 9),
    ("bytes=-1", SIZE - 1, SIZE - 1), ("bytes=-99", SIZE - 99, SIZE - 1),
    (f"bytes=-{SIZE * 2}", 0, SIZE - 1), (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
    (f"bytes=7-{SIZE * 5}", 7, SIZE - 1), ("bytes=0-18446744073709551615", 0, SIZE - 1),
    ("Bytes=1-2", 1, 2), ("bytes= 1-2", 1, 2),
])
def test_satisfiable_ranges(server, file, value, first, last):
    answer = fetch(server.port, "/" + file.name, range=value)
    assert answer.status == 206
    assert answer.head["content-range"] == f"bytes {first}-{last}/{SIZE}"
    assert len(answer.body) == last - first + 1
    file.check(answer.body, first)


@pytest.mark.parametrize("value", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0",
                                   "bytes=18446744073709551615-"])
def test_unsatisfiable_ranges(server, file, value):
    answer = fetch(server.port, "/" + file.name, range=value)
    assert answer.status == 416
    assert answer.head["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("value", ["bytes=5-2", "bytes=a-b", "bytes=", "bytes", "items=0-5",
                                   "bytes=--5", "bytes=1", "bytes=1-2x", "bytes 1-2"])
def test_ranges_that_are_not_understood_are_ignored(server, file, value):
    answer = fetch(server.port, "/" + file.name, range=value)
    assert answer.status == 200 and answer.head.length == SIZE
    file.check(answer.body)


def test_ranges_of_an_empty_file(server, files):
    empty = files.get(0)
    assert fetch(server.port, "/" + empty.name, range="bytes=0-").status == 416
    assert fetch(server.port, "/" + empty.name).body == b""


def test_head_ignores_ranges(server, file):
    answer = fetch(server.port, "/" + file.name, method="HEAD", range=(0, 5))
    assert answer.status == 200 and answer.head.length == SIZE


def conversation(file):
    """Four pipelined requests, and a reader of their four answers."""
    target = "/" + file.name
    text = (request(target, range=(1, 5000)) + request("/missing")
            + request(target, method="HEAD") + request(target, range=(SIZE - 3, SIZE - 1)))

    def read(connection):
        connection.read_checked(Checker(file, 1, 5000))
        assert connection.read_answer().status == 404
        assert connection.read_answer("HEAD").head.length == SIZE
        connection.read_checked(Checker(file, SIZE - 3, 3))

    return text, read


def test_pipelined_requests_split_at_every_byte(server, file):
    """The other connection's round trip between the halves gives the loop a turn to read the first
    half before the second is there."""
    text, read = conversation(file)
    with Connection(server.port) as connection, Connection(server.port) as other:
        for at in range(len(text) + 1):
            connection.send(text[:at])
            other.ask("/missing")
            assert other.read_answer().status == 404
            connection.send(text[at:])
            read(connection)


def test_pipelined_requests_byte_by_byte(server, file):
    text, read = conversation(file)
    with Connection(server.port) as connection, Connection(server.port) as other:
        for at in range(len(text)):
            connection.send(text[at:at + 1])
            other.ask("/missing")
            assert other.read_answer().status == 404
        read(connection)


def test_a_hundred_pipelined_requests_are_answered_in_order(server, file):
    with Connection(server.port) as connection:
        connection.send(b"".join(request("/" + file.name, range=(n, n + 2000))
                                 for n in range(100)))
        for number in range(100):
            connection.read_checked(Checker(file, number, 2001))


def test_pipelined_bytes_behind_a_bad_request_are_not_served(server, file):
    with Connection(server.port) as connection:
        connection.send(request("/" + file.name, method="HEAD") + b"GET / HTTP/1.1\r\n\r\n"
                        + request("/" + file.name))
        assert connection.read_answer("HEAD").status == 200
        answer = connection.read_answer()
        assert answer.status == 400 and not answer.head.keeps_alive
        assert connection.read_to_end() == b""


def test_a_client_that_half_closes_gets_the_whole_answer(server, files):
    large = files.get((8 << 20) + 1)
    with Connection(server.port) as connection:
        connection.ask("/" + large.name)
        connection.half_close()
        connection.read_checked(Checker(large))
        assert connection.read_to_end() == b""


def test_half_closing_after_pipelined_requests(server, file):
    text, read = conversation(file)
    with Connection(server.port) as connection:
        connection.send(text)
        connection.half_close()
        read(connection)
        assert connection.read_to_end() == b""


def test_half_closing_without_or_within_a_request(server):
    for sent in (b"", b"GET / HT", request("/x")[:-1]):
        with Connection(server.port) as connection:
            connection.send(sent)
            connection.half_close()
            rest = connection.read_to_end()
            assert rest == b"" or rest.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("version,field,stays", [
    ("HTTP/1.1", None, True), ("HTTP/1.1", "close", False), ("HTTP/1.1", "Keep-Alive", True),
    ("HTTP/1.1", "keep-alive, Close", False), ("HTTP/1.1", "x, close , y", False),
    ("HTTP/1.0", None, False), ("HTTP/1.0", "keep-alive", True), ("HTTP/1.0", "close", False),
    ("HTTP/1.2", None, True),
])
def test_persistence(server, file, version, field, stays):
    fields = {} if field is None else {"Connection": field}
    with Connection(server.port) as connection:
        connection.ask("/" + file.name, version=version, **fields)
        head = connection.read_checked(Checker(file))
        assert head.version == "HTTP/1.1"
        assert head.keeps_alive or not stays
        if stays:
            connection.ask("/" + file.name)
            connection.read_checked(Checker(file))
        else:
            assert connection.read_to_end() == b""


def test_http_1_0_needs_no_host(server, file):
    with Connection(server.port) as connection:
        connection.send(b"GET /%s HTTP/1.0\r\n\r\n" % file.name.encode())
        connection.read_checked(Checker(file))


def test_absolute_form_and_an_empty_line_first(server, file):
    with Connection(server.port) as connection:
        connection.send(b"\r\n" + request(f"http://example.org:80/{file.name}?x=y"))
        connection.read_checked(Checker(file))


LONG = "x" * 8000
BAD = [
    # what is sent, the status, in words
    (b"GARBAGE\r\n\r\n", 400, "no request line"),
    (b"GET /\r\n\r\n", 400, "HTTP/0.9"),
    (b"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400, "two spaces"),
    (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505, "version 2"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "no Host"),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "two Hosts"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", 400, "space before the colon"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n", 400, "obs-fold"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n", 400, "bare CR"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA: b\0c\r\n\r\n", 400, "NUL"),
    (b"GET / HTTP/1.1\r\nHost: h\r\nA(: b\r\n\r\n", 400, "no token"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
     400, "two framings"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400,
     "length repeated"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", 400, "length with a sign"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", 400, "length in hex"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3 3\r\n\r\n", 400, "length with a space"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400,
     "not chunked last"),
    (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: smoke\r\n\r\n", (400, 501),
     "unknown coding"),
    (b"POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "coding in 1.0"),
    (b"GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n", 400, "NUL in the path"),
    (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400, "broken escape"),
    (b"GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n", 400, "no form of target"),
    (f"GET /{LONG}{LONG} HTTP/1.1\r\nHost: h\r\n\r\n".encode(), (414, 400), "long target"),
    (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "many fields"),
    (f"GET / HTTP/1.1\r\nHost: h\r\nA: {LONG}{LONG}{LONG}\r\n\r\n".encode(), 431, "long head"),
]


@pytest.mark.parametrize("sent,status", [row[:2] for row in BAD], ids=[row[2] for row in BAD])
def test_bad_requests_are_refused_and_the_connection_closed(server, sent, status):
    with Connection(server.port) as connection:
        connection.send(sent)
        answer = connection.read_answer()
        assert answer.status in (status if isinstance(status, tuple) else (status,))
        assert not answer.head.keeps_alive
        assert answer.body
        assert connection.read_to_end() == b"", "something follows the refusal"


def test_methods(server, file):
    target = "/" + file.name
    for method in ("PUT", "DELETE", "PATCH"):
        answer = fetch(server.port, target, method=method)
        assert answer.status == 405 and "GET" in answer.head["allow"]
    assert fetch(server.port, target, method="BREW").status == 501
    assert fetch(server.port, target, method="get").status == 501
    with Connection(server.port) as connection:
        connection.send(request("h:1", method="CONNECT"))
        assert connection.read_answer().status in (400, 405, 501)
    answer = fetch(server.port, "*", method="OPTIONS")
    assert answer.status in (200, 204) and "GET" in answer.head["allow"]


@pytest.mark.parametrize("size", [3, 100_000, 10_000_000])
def test_an_unwanted_body_does_not_cost_the_client_its_answer(server, file, size):
    """Answering and closing with unread bytes would reset the connection, and the reset would
    overtake the answer (RFC 9112 section 9.6)."""
    with Connection(server.port) as connection:
        connection.send(request("/" + file.name, method="POST", Content_Length=size))
        try:
            connection.send(b"z" * size)
        except ConnectionError:
            pass  # the server may stop listening after its answer
        assert connection.read_answer().status == 405


def test_names_with_any_byte(server, files):
    for name in ("a b", "ä", "%41", "a+b", "x;y=z", "q?", "#", "..a", "a..", "\x01", "back\\slash"):
        odd = files.new(10, name)
        quoted = "".join(f"%{byte:02X}" for byte in name.encode())
        fetch_checked(server.port, odd, target="/" + quoted)


def test_missing_and_folders(server, files):
    import os
    os.makedirs(os.path.join(files.root, "folder", "with"), exist_ok=True)
    assert fetch(server.port, "/missing").status == 404
    assert fetch(server.port, "/folder/missing/deeper").status == 404
    assert fetch(server.port, f"/{files.get(1).name}/below").status == 404
    assert fetch(server.port, f"/{files.get(1).name}/").status == 404
    answer = fetch(server.port, "/folder?a=b")
    assert answer.status == 301 and answer.head["location"] == "/folder/?a=b"
    assert fetch(server.port, "/folder/").status == 403
    assert fetch(server.port, "/" + "n" * 300).status == 404
