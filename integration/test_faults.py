"""Faults injected into live servers, from fault_table.txt.

Goal: whatever a call of the kernel answers, the server does not crash, does not hang, sends no
wrong byte, serves the next request, and leaks no descriptor. Method: a few requests that between
them use every call that matters (cold and hot files, ranges, three at once, two on a connection, one
that ends its connection) while the fault is injected; then a request of a new connection without it.
A row that strikes nothing has shown nothing, and fails.
"""

import contextlib
import functools
import os
import subprocess
import time

import pytest

import faults
import gauges
import servers
from cache import make_cold
from client import ClosedEarly, Connection
from data import Checker
from requirements import requires
from tcp_sockets import CLOSE_WAIT, ESTABLISHED, tcp_states
from torture import scenario
from warden import temporary_folder

MIB = 1 << 20
HANG_S = 20.0       # an answer that takes longer does not come
RECOVERY_MAX = 100  # requests, after which a fault that ends must have ended
CASES = faults.cases()


def pytest_generate_tests(metafunc):
    if "backend" not in metafunc.fixturenames:
        return
    server = metafunc.config.getoption("--server")
    chosen = faults.cases(server)
    if not metafunc.config.getoption("--all-faults"):
        chosen = faults.quarter_of(chosen, faults.commit())[1]
    metafunc.parametrize("row,backend", [
        pytest.param(row, backend, id=f"{backend}-{row.name}" if backend else row.name,
                     marks=[] if row.at_start else [requires("strace")])
        for row, backend in chosen])


# --- Requests, and what becomes of them.


def _read(connection, file, offset, length):
    """"complete", "cut", or the status of another answer. What came is right in any case."""
    try:
        head = connection.read_head()
        if head.status not in (200, 206):
            connection.read_body(head.length)
            return head.status
        connection.read_checked(Checker(file, offset, length), head)
    except (ClosedEarly, BrokenPipeError):
        return "cut"
    return "complete"


def _ask(connection, file, offset=0, length=None, **options):
    if length is not None:
        options["range"] = (offset, offset + length - 1)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.ask("/" + file.name, **options)


@functools.lru_cache(maxsize=1)
def abilities(server, file):
    """(ranges, persistent connections): what may be asked for. Looked at once, before a fault."""
    if isinstance(server, servers.PolluxServer):
        return True, True
    return scenario.serves_ranges(server, file), scenario.persists(server, file)


class Load:
    """The requests of a row. `outcomes` is what each came to."""

    def __init__(self, server, files):
        self._server = server
        self._ranges, self._persistent = abilities(server, files.get(3000))
        self.large, self.medium = files.get(5 * MIB + 1), files.get(700_001)
        self.small = files.get(3000)
        self.outcomes = []

    def _connect(self):
        return Connection(self._server.port, timeout=HANG_S)

    def run(self):
        self.one(self.small)
        self._three_at_once()
        self._two_on_a_connection()
        self.one(self.small, close=True)
        return self.outcomes

    def one(self, file, **options):
        with self._connect() as connection:
            _ask(connection, file, **options)
            self.outcomes.append(_read(connection, file, 0, None))
        return self.outcomes[-1]

    def _three_at_once(self):
        make_cold(self.large.path, self.medium.path)
        part = (65_537, 1_000_003) if self._ranges else (0, None)
        asked = [(self.large, 0, None), (self.large, *part), (self.medium, 0, None)]
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(self._connect()) for _ in asked]
            for connection, request in zip(connections, asked):
                _ask(connection, *request)
            for connection, request in zip(connections, asked):
                self.outcomes.append(_read(connection, *request))

    def _two_on_a_connection(self):
        if not self._persistent:
            self.one(self.medium)
            self.one(self.small)
            return
        with self._connect() as connection:
            for file in (self.medium, self.small):
                _ask(connection, file)
                self.outcomes.append(_read(connection, file, 0, None))
                if self.outcomes[-1] == "cut":
                    return


def _excused(outcome):
    return outcome in ("complete", "cut") or outcome in (500, 503)


def judge(row, outcomes):
    if row.expected == "invisible":
        assert set(outcomes) == {"complete"}, f"{row.why}: {outcomes}"
    else:
        assert all(map(_excused, outcomes)), f"{row.why}: {outcomes}"


def wait_idle(server):
    """Until nobody is served."""
    if isinstance(server, servers.PolluxServer):
        gauges.wait_idle(server)
    else:
        _until(lambda: not set(tcp_states(server.port)) & {ESTABLISHED, CLOSE_WAIT},
               "the connections are closed")


def wait_same(server, before, row):
    """Until nothing is open that was not open before. A scrape's own connection may still be. Chunks
    with files of their own are kept for the next reads if nobody was sent from them: none, or one,
    or two, as it comes."""
    kept = ["/memfd:pollux-chunks (deleted)"] if row.way.get("retire") == "fresh" else []

    def more():
        return set(faults.kinds(server) - before) - set(kept)
    _until(lambda: not more(), "nothing is leaked", more)


def _until(condition, what, told=lambda: ""):
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, f"not so: {what} {told()}"


def next_request_is_served(server, files):
    assert Load(server, files).run() == ["complete"] * 7


# --- The rows.


def with_strace(server, files, row):
    """Attached to the server once it has served: counting begins at the first request. The number
    of calls that were struck."""
    assert set(Load(server, files).run()) == {"complete"}
    wait_idle(server)
    before = faults.kinds(server)
    with faults.Strace(server, row) as strace:
        outcomes = Load(server, files).run()
    assert server.alive(), "the server has ended"
    judge(row, outcomes)
    next_request_is_served(server, files)
    wait_idle(server)
    wait_same(server, before, row)
    return strace.count


def from_the_start(server, files, row):
    """Struck by the program itself, whose calls count from its start."""
    if not isinstance(server, servers.PolluxServer):  # it accepts before its workers are there
        assert Load(server, files).one(files.get(3000)) == "complete"
        wait_idle(server)
    before = faults.kinds(server)
    judge(row, Load(server, files).run())
    if row.expected == "may-fail":
        load = Load(server, files)
        while load.one(load.large) != "complete":
            assert _excused(load.outcomes[-1]) and len(load.outcomes) < RECOVERY_MAX, load.outcomes
    next_request_is_served(server, files)
    wait_idle(server)
    wait_same(server, before, row)
    server.stop()


def refuses_to_start(row, backend, root):
    server = faulty(root, row, backend)
    done = subprocess.run(server.command(), env={**os.environ, "POLLUX_FAULTS": row.rule},
                          capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 2 and done.stdout == ""
    said = [line for line in done.stderr.splitlines() if line.startswith("pollux: ")]
    assert len(said) == 1 and row.error in said[0] and row.call in said[0]
    return faults.struck_in(done.stderr)


def faulty(root, row, backend):
    return servers.PolluxServer(
        root, backend=backend, chunk="64K", open_files=0, **row.way,
        binary=os.path.join(servers.build_folder(), "pollux-faulty"),
        env={"POLLUX_FAULTS": row.rule})


def of_pollux(starter, files, row, backend):
    if row.expected == "no-start":
        return refuses_to_start(row, backend, files.root)
    if row.at_start:
        server = starter.start(faulty(files.root, row, backend))
        from_the_start(server, files, row)
        return faults.struck_in(server.stderr())
    if servers.sanitizer():
        pytest.skip("a sanitizer's own calls would be struck")
    return with_strace(starter(files.root, backend=backend, chunk="64K", **row.way), files, row)


def of_another(start, files, row):
    """Skips with the reason if nothing could be struck."""
    if not row.at_start:
        if with_strace(start(files.root), files, row) == 0:
            pytest.skip(f"it does not call {row.call}")
        return
    with temporary_folder("short-", servers.scratch_folder()) as folder:
        shim = faults.Shim(row, folder)
        server = start(files.root, env=shim.env)
        if not shim.loaded_by(server):
            pytest.skip("its calls cannot be made short: a static program, or one with privileges "
                        "of its own, loads nothing by LD_PRELOAD")
        from_the_start(server, files, row)
        if not shim.struck():
            pytest.skip(f"it does not call {row.call}, or not by the C library")


@pytest.mark.any_server
def test_fault(request, starter, server, files, record_property, row, backend):
    if request.config.getoption("--server").startswith("pollux:"):
        pytest.skip("each row brings flags of its own: --server pollux")
    record_property("row", "faults")
    record_property("title", "calls that fail: no crash, no hang, no wrong byte, nothing leaked")
    if backend is not None:
        assert of_pollux(starter, files, row, backend) > 0, "nothing was struck"
    else:
        of_another(server, files, row)


# --- The table itself.


def test_the_table_is_large_and_its_quarters_are_all_of_it():
    assert len(CASES) >= 120
    quarters = [faults.quarter_of(CASES, f"{number:08x}" + 32 * "0")[1] for number in range(4)]
    assert sum(map(len, quarters)) == len(CASES)
    assert len({(row.line, backend) for quarter in quarters for row, backend in quarter}) == len(
        CASES)


@pytest.mark.parametrize("line,complaint", [
    ("close EIO 1 all eventfd-epoll invisible why", "close is never struck"),
    ("recv EIO 1 all eventfd-epoll perhaps why", "'perhaps' is none of"),
    ("recv EIO one all eventfd-epoll invisible why", "'one' is no FIRST"),
    ("recv EIO 1 everything eventfd-epoll invisible why", "no backend 'everything'"),
    ("recv EIO 1 all eventfd-epoll invisible", "CALL FAULT WHEN"),
    ("seam:recv EIO 1+ all eventfd-epoll may-fail why", "needs an end"),
])
def test_a_row_that_cannot_be_read_is_named(tmp_path, line, complaint):
    table = tmp_path / "table.txt"
    table.write_text("# a table\n" + line + "\n")
    with pytest.raises(faults.TableError, match=f"table.txt:2: .*{complaint}"):
        faults.read_table(table)
