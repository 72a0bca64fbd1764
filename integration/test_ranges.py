"""Several ranges of one file: multipart/byteranges (RFC 9110 section 14.6), and what a Range that
asks for too much gets."""

import os
import re

import hypothesis
import hypothesis.strategies
import pytest

from client import Connection, fetch, request
from data import Checker
from matrix import SOUND, every

pytestmark = pytest.mark.quick
SIZE = 1_000_003


def parts(answer, file_size):
    """[(first, last, bytes)] of a multipart answer, its framing checked to the last byte."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]+)",
                            answer.head["content-type"])[1].encode()
    body, found = b"\r\n" + answer.body, []
    delimiter = b"\r\n--" + boundary
    while True:
        assert body.startswith(delimiter), body[:100]
        body = body[len(delimiter):]
        if body.startswith(b"--"):
            assert body == b"--\r\n"
            return found
        assert body.startswith(b"\r\n")
        head, _, body = body[2:].partition(b"\r\n\r\n")
        fields = dict(line.split(b": ") for line in head.split(b"\r\n"))
        assert fields.keys() == {b"Content-Type", b"Content-Range"}
        first, last, size = map(int, re.fullmatch(rb"bytes (\d+)-(\d+)/(\d+)",
                                                  fields[b"Content-Range"]).groups())
        assert size == file_size
        found.append((first, last, body[:last - first + 1]))
        body = body[last - first + 1:]


def check_parts(answer, file, expected):
    assert answer.status == 206 and "content-range" not in answer.head.fields
    assert answer.head.length == len(answer.body)
    found = parts(answer, file.size)
    assert [part[:2] for part in found] == expected
    for first, _, data in found:
        file.check(data, first)


@pytest.fixture
def server(pollux, files):
    return pollux(files.root, chunk="64K")


@pytest.fixture
def file(files):
    return files.get(SIZE)


@pytest.mark.parametrize("value,expected", [
    ("bytes=0-0,-1", [(0, 0), (SIZE - 1, SIZE - 1)]),
    ("bytes=500000-599999, 3-7, 700000-", [(500_000, 599_999), (3, 7), (700_000, SIZE - 1)]),
    ("bytes=0-9,20-29,5-14", [(0, 14), (20, 29)]),
    ("bytes=0-1,9999999-,4-5", [(0, 1), (4, 5)]),
])
def test_parts_come_exact_and_in_the_order_asked_for(server, file, value, expected):
    check_parts(fetch(server.port, "/" + file.name, range=value), file, expected)


@pytest.mark.parametrize("way", every(ways=SOUND))
def test_parts_by_every_backend(pollux, file, files, way):
    server = pollux(files.root, chunk="64K", **way)
    value = "bytes=1-300000,400001-400001,500001-900001"
    check_parts(fetch(server.port, "/" + file.name, range=value, receive_buffer=4096), file,
                [(1, 300_000), (400_001, 400_001), (500_001, 900_001)])


def test_ranges_that_touch_become_one(server, file):
    answer = fetch(server.port, "/" + file.name, range="bytes=0-99,100-199")
    assert answer.status == 206 and answer.head["content-range"] == f"bytes 0-199/{SIZE}"
    file.check(answer.body)


@pytest.mark.parametrize("value", [
    "bytes=0-,0-", "bytes=" + ",".join(["0-500000"] * 3), "bytes=5-,-9223372036854775807",
    "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 200, 2)),
    "bytes=0-" + ",5-" * 2000,  # CVE-2011-3192
])
def test_ranges_that_ask_for_too_much_are_ignored(server, file, value):
    answer = fetch(server.port, "/" + file.name, range=value)
    assert answer.status == 200 and answer.head.length == SIZE
    file.check(answer.body)


@pytest.mark.parametrize("count,status", [(2, 206), (3, 206), (4, 200)])
def test_max_ranges(pollux, file, files, count, status):
    server = pollux(files.root, max_ranges=3)
    value = "bytes=" + ",".join(f"{n * 10}-{n * 10}" for n in range(count))
    assert fetch(server.port, "/" + file.name, range=value).status == status


def expected_parts(specs, size):
    """The slow, obvious way: which bytes each spec names, and the runs of bytes that are named. None
    for the whole file, [] for 416."""
    owners, total = [None] * size, 0
    for number, (first, last) in enumerate(specs):
        if first is not None and last is not None and last < first:
            return None
        named = (range(max(0, size - last), size) if first is None
                 else range(first, min(size, size if last is None else last + 1)))
        total += len(named)
        for byte in named:
            owners[byte] = number if owners[byte] is None else owners[byte]
    if total > size:
        return None
    runs = []
    for byte, owner in enumerate(owners):
        if owner is None:
            continue
        if runs and runs[-1][2] == byte - 1:
            runs[-1] = (min(runs[-1][0], owner), runs[-1][1], byte)
        else:
            runs.append((owner, byte, byte))
    return [(first, last) for _, first, last in sorted(runs)]


NUMBER = hypothesis.strategies.integers(0, 70)
SPEC = hypothesis.strategies.one_of(
    hypothesis.strategies.tuples(NUMBER, NUMBER),
    hypothesis.strategies.tuples(NUMBER, hypothesis.strategies.none()),
    hypothesis.strategies.tuples(hypothesis.strategies.none(), NUMBER))


def test_generated_ranges_are_what_they_name(pollux, files):
    size = 60
    file = files.get(size)
    server = pollux(files.root)
    with Connection(server.port) as connection:

        @hypothesis.settings(max_examples=300, deadline=None, derandomize=True, database=None)
        @hypothesis.given(hypothesis.strategies.lists(SPEC, min_size=1, max_size=6))
        def check(specs):
            text = ",".join(f"{'' if first is None else first}-{'' if last is None else last}"
                            for first, last in specs)
            connection.ask("/" + file.name, range="bytes=" + text)
            answer, expected = connection.read_answer(), expected_parts(specs, size)
            if expected is None:
                assert answer.status == 200
                file.check(answer.body)
            elif not expected:
                assert answer.status == 416
            elif len(expected) == 1:
                (first, last), = expected
                assert answer.head["content-range"] == f"bytes {first}-{last}/{size}"
                assert len(answer.body) == last - first + 1
                file.check(answer.body, first)
            else:
                check_parts(answer, file, expected)

        check()


def test_parts_in_the_middle_of_a_pipeline(server, file):
    target = "/" + file.name
    with Connection(server.port) as connection:
        connection.send(request(target, range=(5, 9)) + request(target, range="bytes=0-3,80-99")
                        + request(target, range=(7, 9)))
        connection.read_checked(Checker(file, 5, 5))
        check_parts(connection.read_answer(), file, [(0, 3), (80, 99)])
        connection.read_checked(Checker(file, 7, 3))


@pytest.mark.parametrize("way", every(ways=SOUND[:1]))
def test_files_over_4_gib(pollux, own_files, way):
    """Holes up to 5 GiB, with marks on both sides of the borders of 31 and 32 bits."""
    path = os.path.join(own_files.root, "large")
    size, marks = 5 << 30, [0, (1 << 31) - 8, 1 << 31, (1 << 32) - 8, 1 << 32, (5 << 30) - 16]
    with open(path, "wb") as large:
        large.truncate(size)
        for mark in marks:
            large.seek(mark)
            large.write(mark.to_bytes(8, "big"))
    server = pollux(own_files.root, **way)
    assert fetch(server.port, "/large", method="HEAD").head.length == size
    for first in marks:
        answer = fetch(server.port, "/large", range=(first, first + 7))
        assert answer.status == 206 and answer.body == first.to_bytes(8, "big")
        assert answer.head["content-range"] == f"bytes {first}-{first + 7}/{size}"
    answer = fetch(server.port, "/large", range=((1 << 32) - 70_000, (1 << 32) + 70_000))
    assert answer.body == (bytes(69_992) + marks[3].to_bytes(8, "big") + marks[4].to_bytes(8, "big")
                           + bytes(69_993))
    assert fetch(server.port, "/large", range=f"bytes={size}-").status == 416


def test_a_client_that_leaves_between_parts(server, file):
    """It has the first part's beginning and no room for more when it resets."""
    for _ in range(20):
        with Connection(server.port, receive_buffer=4096) as connection:
            connection.ask("/" + file.name, range="bytes=0-400000,500000-900000")
            connection.read_head()
            connection.reset()
    assert fetch(server.port, "/" + file.name, range="bytes=0-0,9-9").status == 206


def test_the_log_counts_the_bytes_of_all_parts(pollux, file, files, tmp_path):
    log = tmp_path / "log"
    server = pollux(files.root, access_log=str(log))
    answer = fetch(server.port, "/" + file.name, range="bytes=0-0,9-9")
    server.stop()
    assert f'" 206 {len(answer.body)} "' in log.read_text()
