"""The error log: each line says what was being done, the errno's name, and what to do about it."""

import re

import pytest

import servers
from client import Connection, fetch, request

pytestmark = pytest.mark.quick

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) [ -~]+")
# "operation: ERRNO (text)"
CAUSE = re.compile(r"\b([a-z_0-9]+): (E[A-Z0-9]+) \([A-Za-z ,/'-]+\)")


# The first openat2 is the server's own, when it starts.


@pytest.fixture
def faulty(pollux, own_files):
    def start(rules, **flags):
        return pollux(own_files.root, binary=f"{servers.build_folder()}/pollux-faulty",
                      env={"POLLUX_FAULTS": rules}, **flags)
    return start


def complaints(server):
    """The lines that name an errno; every line of all has the log's form."""
    found = []
    for line in server.stderr().splitlines():
        assert LINE.fullmatch(line), line
        if CAUSE.search(line):
            found.append(line)
    return found


@pytest.mark.parametrize("rules,status,operation,advice", [
    ("openat2:EMFILE:first=2", 503, "openat2: EMFILE", "raise RLIMIT_NOFILE"),
    ("openat2:ENFILE:first=2", 503, "openat2: ENFILE", "fs.file-max"),
    ("openat2:ENOMEM:first=2", 503, "openat2: ENOMEM", "--max-connections"),
    ("openat2:EIO:first=2", 500, "openat2: EIO", "dmesg"),
])
def test_an_open_that_fails(faulty, own_files, rules, status, operation, advice):
    file = own_files.new(1000)
    server = faulty(rules)
    assert fetch(server.port, "/" + file.name).status == status
    line, = complaints(server)
    assert " error " in line and operation in line and f'"{file.name}"' in line and advice in line


def test_a_thousand_opens_that_fail_are_not_a_thousand_lines(faulty, own_files):
    """Requests cost a client next to nothing, and lines fill a disk."""
    file = own_files.new(1000)
    server = faulty("openat2:EMFILE:first=2")
    with Connection(server.port) as connection:
        for _ in range(20):
            connection.send(request("/" + file.name) * 50)
            for _ in range(50):
                assert connection.read_answer().status == 503
    assert 1 <= len(complaints(server)) <= 20


@pytest.mark.parametrize("rules,operation,advice", [
    ("accept4:EMFILE:last=1", "accept4: EMFILE", "raise RLIMIT_NOFILE"),
    ("accept4:ENFILE:last=1", "accept4: ENFILE", "fs.file-max"),
    ("accept4:ENOBUFS:last=1", "accept4: ENOBUFS", "--max-connections"),
])
def test_an_accept_that_fails(faulty, own_files, rules, operation, advice):
    server = faulty(rules)
    assert fetch(server.port, "/missing").status == 404
    line, = complaints(server)
    assert " warning " in line and operation in line and "listening" in line and advice in line


def test_a_file_that_fails_in_the_middle(faulty, own_files):
    file = own_files.new(300_000)
    server = faulty("pread:EIO:first=2", backend="writev", chunk="64K")
    with Connection(server.port) as connection:
        connection.ask("/" + file.name)
        assert connection.read_head().length == file.size
        assert len(connection.read_to_end()) < file.size
    line, = complaints(server)
    assert re.search(r" error pread: EIO \(.*\) after \d+ of 300000 bytes of ", line)
    assert file.name in line and "127.0.0.1:" in line and "dmesg" in line


def test_a_name_cannot_forge_a_line(faulty, own_files):
    own_files.new(10, "a\nb \x1b[2J")
    server = faulty("openat2:EIO:first=2")
    assert fetch(server.port, "/a%0Ab%20%1B[2J").status == 500
    assert len(complaints(server)) == 1
