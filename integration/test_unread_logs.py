"""Logs that go to a pipe which nobody reads, or to a file that may not grow: lines are lost and
counted, and nobody is kept waiting."""

import contextlib
import fcntl
import os
import re
import resource
import signal
import threading

import psutil
import pytest

import gauges
from client import ClosedEarly, Connection, fetch, fetch_checked
from requirements import requires
from servers import PolluxServer
from test_signals import paused_transfer

pytestmark = pytest.mark.quick
MIB = 1 << 20
PIPE_BYTES = 4 * 4096

# A pipe of another user cannot be opened again: the way round is another one.
AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
USERS = [pytest.param([], id="own-pipe"),
         pytest.param(AS_NOBODY, id="foreign-pipe", marks=requires("setpriv"))]


class UnreadServer(PolluxServer):
    """Its standard output is read up to the first line, and then not before read_on()."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self._go_on = threading.Event()

    def _read_output(self):
        stream = self.process.stdout
        self.output.append(stream.readline().decode().rstrip("\n"))
        self._first_line.set()
        self._go_on.wait()
        super()._read_output()

    def read_on(self):
        self._go_on.set()

    def kill(self):
        self._go_on.set()
        super().kill()


@pytest.mark.parametrize("user", USERS)
def test_an_access_log_that_nobody_reads_holds_nobody_up(pollux, files, user):
    server = pollux.start(UnreadServer(files.root, access_log="-", wrapper=user))
    file = files.get(4097)
    # Far more than a pipe (64 KiB) and the server's backlog (1 MiB) hold.
    with Connection(server.port) as connection:
        for number in range(500):
            connection.ask(f"/{file.name}?{number}-" + "x" * 3800)
            answer = connection.read_answer()
            assert answer.status == 200
            file.check(answer.body)
    lost = server.metrics().value("pollux_access_log_dropped_lines_total")
    assert lost > 100
    server.read_on()

    def numbers():
        return [int(line.partition("?")[2].partition("-")[0])
                for line in list(server.output) if "-xxx" in line]

    gauges.wait_until(server, lambda _: len(numbers()) + lost >= 500, "every line that was kept")
    seen = numbers()
    assert len(seen) + lost == 500
    assert seen == sorted(set(seen)), "lines are doubled or out of order"
    told = re.findall(r"can be written again: (\d+) lines were lost", server.stderr())
    assert len(told) == 1 and int(told[0]) >= lost  # the scrape itself may have been one


@contextlib.contextmanager
def full_fifo(path):
    """A named pipe with both ends open here, so full that not one more byte goes in."""
    os.mkfifo(path, 0o600)
    fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.fcntl(fifo, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        os.write(fifo, b"." * PIPE_BYTES)
        with pytest.raises(BlockingIOError):
            os.write(fifo, b".")
        yield fifo
    finally:
        os.close(fifo)


def cut_short(server, own_files):
    """Something worth a line on standard error: a file that becomes shorter while it is sent."""
    file = own_files.new(16 * MIB + 1)
    connection, checker = paused_transfer(server, file)
    with connection:
        os.truncate(file.path, 1)
        with pytest.raises(ClosedEarly):
            for _ in connection.pieces(checker.length - checker.received):
                pass


@pytest.mark.parametrize("user", USERS)
def test_an_error_log_that_nobody_reads_holds_nobody_up(pollux, own_files, user):
    path = os.path.join(own_files.root, "fifo")
    file = own_files.new(4097)
    with full_fifo(path) as fifo:
        server = pollux(own_files.root,
                        wrapper=["sh", "-c", f'exec "$@" 2>{path}', "sh", *user])
        for _ in range(3):
            cut_short(server, own_files)
        for _ in range(10):
            fetch_checked(server.port, file)
        assert os.read(fifo, 2 * PIPE_BYTES) == b"." * PIPE_BYTES
        cut_short(server, own_files)
        fetch_checked(server.port, file)
        lines = os.read(fifo, PIPE_BYTES).decode().splitlines()
        assert "lines of this log were lost" in lines[0]
        assert int(lines[0].partition(" lines of this log")[0].split()[-1]) >= 3
        assert "the connection is closed" in lines[1]


def test_a_log_that_may_not_grow_is_no_end(pollux, files, own_files):
    """RLIMIT_FSIZE: SIGXFSZ would end a process that does not ignore it (setrlimit(2))."""
    log = os.path.join(own_files.root, "log")
    server = pollux(files.root, access_log=log,
                    limits={resource.RLIMIT_FSIZE: (10_000, 10_000)})
    for number in range(100):
        assert fetch(server.port, f"/missing?{number}-" + "x" * 200).status == 404
    gauges.wait_until(server, lambda _: "EFBIG" in server.stderr(), "the refused write")
    assert os.path.getsize(log) == 10_000
    # What comes after a SIGHUP goes to a new file, which begins with a whole line.
    os.rename(log, log + ".1")
    server.signal(signal.SIGHUP)
    while not os.path.exists(log) or os.path.getsize(log) == 0:
        assert fetch(server.port, "/missing").status == 404
    with open(log, encoding="ascii") as new:
        assert new.readline().startswith("127.0.0.1 - - [")


def listening_port(server):
    while True:
        assert server.alive()
        for socket in psutil.Process(server.process.pid).connections("tcp"):
            if socket.status == psutil.CONN_LISTEN:
                return socket.laddr.port


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_descriptors_that_were_closed_at_the_start_are_not_used_for_others(
        own_files, closed, tmp_path):
    log = tmp_path / "log"
    file = own_files.new(4097)
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    server = PolluxServer(own_files.root, access_log=log,
                          wrapper=["sh", "-c", f'exec "$@" {redirections}', "sh"])
    if 1 in closed:
        # Nowhere to announce itself.
        server._await_ready = lambda deadline: setattr(server, "port", listening_port(server))
    with server:
        # It listens before it is built: an answer says that it is, and that it minds SIGTERM.
        fetch_checked(server.port, file)
        for fd in closed:
            assert os.readlink(f"/proc/{server.process.pid}/fd/{fd}") == "/dev/null"
