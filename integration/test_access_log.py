"""The access log of the real process, read by a parser that forgives nothing.

The form is Apache's "combined". A line that the parser takes and turns back into what the client
sent cannot have been forged, split or mixed with another.
"""

import calendar
import os
import re
import signal
import subprocess
import threading
import time

import pytest

import gauges
from client import Connection, fetch, request
from requirements import requires
from torture.shortages import in_mount_namespace

pytestmark = pytest.mark.quick

MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_TEXT = rb'((?:[ !#-\[\]-~]|\\x[0-9a-f]{2})*)'  # printable ASCII but " and \, else \xHH
_LINE = re.compile(
    rb'(\S+) - - \[(\d{2})/(' + "|".join(MONTHS).encode() + rb')/(\d{4}):(\d{2}):(\d{2}):(\d{2}) '
    rb'\+0000\] "' + _TEXT + rb'" (\d{3}) (-|[1-9]\d*) "' + _TEXT + rb'" "' + _TEXT + rb'"')
_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def unescape(text):
    return _ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), text)


class Line:
    def __init__(self, raw):
        match = _LINE.fullmatch(raw)
        assert match, f"not a line of the combined format: {raw!r}"
        self.host = match[1].decode()
        day, year, hour, minute, second = (int(match[n]) for n in (2, 4, 5, 6, 7))
        month = MONTHS.index(match[3].decode()) + 1
        self.time = calendar.timegm((year, month, day, hour, minute, second))
        self.request = unescape(match[8])
        self.status = int(match[9])
        self.bytes = 0 if match[10] == b"-" else int(match[10])
        self.referer, self.agent = unescape(match[11]), unescape(match[12])


def parse(text):
    assert text == b"" or text.endswith(b"\n"), f"the last line has no end: {text[-200:]!r}"
    return [Line(raw) for raw in text.split(b"\n")[:-1]]


def read(path):
    with open(path, "rb") as file:
        return parse(file.read())


def ask_many(port, names, agent="-", at_once=50):
    """Requests for missing files of these names, pipelined."""
    with Connection(port) as connection:
        for at in range(0, len(names), at_once):
            some = names[at:at + at_once]
            connection.send(b"".join(request("/" + name, User_Agent=agent) for name in some))
            for _ in some:
                assert connection.read_answer().status == 404


def names_in(lines):
    return [line.request.split()[1][1:].decode() for line in lines]


@pytest.fixture
def log(own_files):
    return os.path.join(own_files.root, "log")


def test_what_is_logged_is_what_happened(pollux, files, log):
    file = files.get(100_001)
    server = pollux(files.root, access_log=log, max_head="4K")
    start = int(time.time())
    target = "/" + file.name
    expected = []

    def note(first_line, answer):
        expected.append((first_line, answer.status, len(answer.body)))

    with Connection(server.port) as connection:
        for method, fields in (("GET", {}), ("HEAD", {}), ("GET", {"range": (5, 14)}),
                               ("GET", {"If_None_Match": "*"}), ("GET", {"If_Match": '"no"'}),
                               ("POST", {}), ("BREW", {}), ("OPTIONS", {})):
            connection.ask(target, method=method, **fields)
            note(f"{method} {target} HTTP/1.1", connection.read_answer(method))
        connection.ask("/missing?a=b%20c")
        note("GET /missing?a=b%20c HTTP/1.1", connection.read_answer())
    note(f"GET {target} HTTP/1.0", fetch(server.port, target, version="HTTP/1.0"))
    with Connection(server.port) as connection:
        connection.send(b"GARBAGE\r\n\r\n")
        note(None, connection.read_answer())
    gauges.wait_idle(server)
    server.stop()
    lines = [line for line in read(log) if b"/metrics" not in line.request]
    for line, (first_line, status, size) in zip(lines, expected, strict=True):
        assert (line.host, line.referer, line.agent) == ("127.0.0.1", b"-", b"-")
        assert start <= line.time <= time.time()
        assert (line.status, line.bytes) == (status, size), line.request
        assert first_line is None or line.request.decode() == first_line


ODD = [b'"', b"\\", b'\\" 200 1 "-" "-"', b"\\x22", b"\xff\xfe", b"\xc3\xa4", b"\xc0\xaf", b"a\tb",
       b'" 200 5 "-" "-"\\n127.0.0.1 - - [', b"%0d%0a%22", b"\x80" * 300]


@pytest.mark.parametrize("odd", ODD, ids=[repr(odd[:12])[2:-1] for odd in ODD])
def test_no_byte_can_forge_a_line(pollux, files, log, odd):
    """What is logged is, unescaped, what was sent: whichever field the odd bytes are in, and
    whether or not the server took them."""
    server = pollux(files.root, access_log=log)
    refused = 0
    for text in (b"GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: " + odd + b"\r\n\r\n",
                 b"GET /x HTTP/1.1\r\nHost: h\r\nReferer: " + odd + b"\r\n\r\n",
                 b"GET /" + odd + b" HTTP/1.1\r\nHost: h\r\n\r\n",
                 odd + b" / HTTP/1.1\r\nHost: h\r\n\r\n"):
        with Connection(server.port) as connection:
            connection.send(text)
            refused += connection.read_answer().status == 400
    server.stop()
    agent, referer, target, method = read(log)
    assert agent.agent == odd and referer.referer == odd
    assert target.request in (b"GET /" + odd + b" HTTP/1.1", b"-") or target.status == 400
    assert method.status in (400, 501)
    assert target.status in (400, 404)


@pytest.mark.parametrize("control", [0, 1, 7, 8, 10, 11, 12, 13, 27, 31, 127])
def test_no_control_byte_reaches_the_log(pollux, files, log, control):
    server = pollux(files.root, access_log=log)
    odd = bytes([control])
    for text in (b"GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: a" + odd + b"b\r\n\r\n",
                 b"GET /x HTTP/1.1\r\nHost: h\r\nReferer: a" + odd + b"b\r\n\r\n",
                 b"GET /a" + odd + b"b HTTP/1.1\r\nHost: h\r\n\r\n",
                 b"G" + odd + b"ET / HTTP/1.1\r\nHost: h\r\n\r\n"):
        with Connection(server.port) as connection:
            connection.send(text)
            assert connection.read_answer().status in (400, 501)
    server.stop()
    assert len(read(log)) == 4


def test_a_line_is_written_without_waiting_for_the_next(pollux, files, log):
    server = pollux(files.root, access_log=log)
    assert fetch(server.port, "/once").status == 404
    deadline = time.monotonic() + 10
    while not os.path.getsize(log):
        assert time.monotonic() < deadline, "the line still waits for company"
        time.sleep(0.02)
    assert names_in(read(log)) == ["once"]


def test_reopening_under_load_loses_and_splits_no_line(pollux, files, log):
    """Renamed and reopened twenty times while four clients ask: every request is in one of the
    files, once, and whole."""
    server = pollux(files.root, access_log=log)
    stop = threading.Event()
    asked = [[] for _ in range(4)]

    def client(number):
        while not stop.is_set():
            names = [f"{number}-{len(asked[number]) + n}" for n in range(20)]
            ask_many(server.port, names, agent="x" * 200, at_once=20)
            asked[number] += names

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(20):
            os.rename(log, f"{log}.{turn}")
            server.signal(signal.SIGHUP)
            deadline = time.monotonic() + 10
            while not os.path.exists(log):
                assert time.monotonic() < deadline, "SIGHUP does not reopen the log"
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    server.stop()
    found = []
    for path in [*(f"{log}.{turn}" for turn in range(20)), log]:
        found += names_in(read(path))
    assert sorted(found) == sorted(name for names in asked for name in names)


def test_standard_output_has_the_lines_behind_the_first(pollux, files):
    server = pollux(files.root, access_log="-")
    names = [str(number) for number in range(500)]
    ask_many(server.port, names)
    server.signal(signal.SIGHUP)  # nothing to reopen, and nothing to lose
    ask_many(server.port, ["last"])
    server.stop()
    first, *lines = server.output
    assert first.startswith("pollux: listening on ")
    assert names_in(Line(line.encode()) for line in lines) == [*names, "last"]


class SmallDisk:
    """A server whose log is on a tmpfs of its own, with room for 64 KiB."""

    def __init__(self, pollux, files, own_files):
        self._mount = os.path.join(own_files.root, "mount")
        os.mkdir(self._mount)
        small = in_mount_namespace(f"mount -t tmpfs -o size=64k none {self._mount}")
        self.server = pollux(files.root, access_log=self._mount + "/log", wrapper=small)
        # The mount is the server's alone: seen through it.
        self.folder = f"/proc/{self.server.process.pid}/root{self._mount}"
        self.path = self.folder + "/log"

    def wait_full(self):
        gauges.wait_until(self.server, lambda _: "ENOSPC" in self.server.stderr(), "it is told")

    def grow(self):
        subprocess.run(["nsenter", "--target", str(self.server.process.pid), "--mount",
                        "mount", "-o", "remount,size=64m", self._mount], check=True)

    def wait_for(self, name):
        """The names in the log, once it consists of whole lines and one of them is of `name`."""
        deadline = time.monotonic() + 20
        while True:
            with open(self.path, "rb") as file:
                text = file.read()
            if text.endswith(b"\n") and b"/" + name.encode() + b" " in text:
                return [name for name in names_in(parse(text)) if name != "metrics"]
            assert time.monotonic() < deadline, f"{text.count(10)} lines, and not that of {name}"
            time.sleep(0.02)


@requires("root")
def test_a_full_disk_keeps_lines_until_there_is_room(pollux, files, own_files):
    disk = SmallDisk(pollux, files, own_files)
    names = [str(number) for number in range(500)]
    ask_many(disk.server.port, names, agent="a" * 500)
    disk.wait_full()
    disk.grow()
    assert disk.wait_for(names[-1]) == names
    told = [line for line in disk.server.stderr().splitlines() if "ENOSPC" in line]
    assert len(told) == 1, "said once, not with each try"
    assert " error " in told[0] and "/log" in told[0] and "write" in told[0]
    assert disk.server.metrics().value("pollux_access_log_dropped_lines_total") == 0


@requires("root")
def test_a_full_disk_costs_lines_not_answers(pollux, files, own_files):
    """Beyond what is kept, whole lines are lost, and counted; the next are whole again."""
    disk = SmallDisk(pollux, files, own_files)
    names = [str(number) for number in range(2000)]
    ask_many(disk.server.port, names, agent="a" * 1000)
    lost = int(disk.server.metrics().value("pollux_access_log_dropped_lines_total"))
    assert 0 < lost < 1500
    disk.grow()
    disk.wait_for(names[2000 - lost - 1])
    ask_many(disk.server.port, ["after"])
    assert disk.wait_for("after") == [*names[:2000 - lost], "after"]


@requires("root")
def test_reopening_while_the_disk_is_full_splits_no_line(pollux, files, own_files):
    disk = SmallDisk(pollux, files, own_files)
    names = [str(number) for number in range(300)]
    ask_many(disk.server.port, names, agent="a" * 500)
    disk.wait_full()
    os.rename(disk.path, disk.path + ".old")
    disk.server.signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while not os.path.exists(disk.path):
        assert time.monotonic() < deadline, "SIGHUP does not reopen the log"
    disk.grow()
    ask_many(disk.server.port, ["after"])
    with open(disk.path + ".old", "rb") as file:
        whole, _, torn = file.read().rpartition(b"\n")
    before = [name for name in names_in(parse(whole + b"\n")) if name != "metrics"]
    # The line that was being written when the disk was full is torn in the old file, and not
    # continued in the new one: lost, and counted.
    lost = int(disk.server.metrics().value("pollux_access_log_dropped_lines_total"))
    assert lost == (1 if torn else 0)
    assert before + disk.wait_for("after") == [*names[:len(before)],
                                               *names[len(before) + lost:], "after"]
