"""Faults injected into a server that runs: what a row of fault_table.txt does.

Three ways, each for what it can do without lying. An errno: strace attaches to the running server
and answers in the kernel's place (`-e inject`; the call is skipped, so close() is never struck).
A short count: the kernel is asked for less, by the decorator of the seam in pollux-faulty or, for
other servers, by a preloaded shim (pollux-short.so), so that nothing is lost or invented. What is no
system call (a completion's errno, a thread that cannot be made): by the seam as well.
"""

import collections
import contextlib
import dataclasses
import glob
import os
import re
import subprocess
import time

import servers
from matrix import BACKENDS

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fault_table.txt")
EXPECTATIONS = ("invisible", "may-fail", "no-start")
_GROUPS = {"all": BACKENDS, "pollux": BACKENDS, "others": [],
           "chunked": ["linux-aio-sendfile", "linux-aio-write"],
           "threads": ["linux-aio-sendfile", "linux-aio-write", "threads-sendfile", "auto"],
           "sendfile": ["linux-sendfile", "linux-aio-sendfile", "threads-sendfile", "auto"]}
# The seam's names and those of system calls, where they differ; other servers use other calls for
# the same thing.
_SYSCALLS = {"recv": "recvfrom", "send": "sendto,sendmsg", "pread": "pread64",
             "fstat": "fstat,newfstatat", "epoll_pwait": "epoll_pwait,epoll_wait",
             "openat": "openat,open", "accept4": "accept4,accept"}


class TableError(Exception):
    """A row that cannot be read."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One fault: `call` fails with `error` or does at most `short` (bytes, iocbs, events), at the
    calls `first`, `first`+`step`, ... up to `last` (None: to the end)."""

    line: int
    call: str
    error: str
    short: int
    first: int
    last: int
    step: int
    group: str
    way: dict       # flags beside the backend
    expected: str   # one of EXPECTATIONS
    why: str
    at_seam: bool   # injected by pollux-faulty although it is an errno

    @property
    def backends(self):
        return _GROUPS.get(self.group, self.group.split(","))

    @property
    def of_any_server(self):
        return self.group in ("all", "others")

    @property
    def at_start(self):
        """Counted from the start of the program: by pollux-faulty, or the shim."""
        return self.at_seam or self.short > 0

    @property
    def fault(self):
        return self.error or f"short={self.short}"

    @property
    def when(self):
        """As strace has it."""
        text = str(self.first)
        if self.last is not None:
            text += f"..{self.last}"
        return text if self.last == self.first else f"{text}+{self.step}"

    @property
    def rule(self):
        """As pollux-faulty and pollux-short.so have it (fakes/fault_kernel.h)."""
        last = "" if self.last is None else f":last={self.last}"
        return f"{self.call}:{self.fault}:first={self.first}{last}:every={self.step}"

    @property
    def name(self):
        if not self.backends:
            return f"{self.call}-{self.fault}-{self.when}".replace("=", "")
        way = "-".join(str(value) for value in self.way.values())
        return f"{self.call}-{self.fault}-{self.when}-{way}".replace("=", "")


_WHEN = re.compile(r"(\d+)(?:\.\.(\d+))?(?:\+(\d*))?")


def _parse_when(text):
    """first, first..last, first+step, first..last+step; + alone is every one from there."""
    match = _WHEN.fullmatch(text)
    if not match:
        raise TableError(f"'{text}' is no FIRST[..LAST][+STEP]")
    first, last, step = match.groups()
    if last is None and step is None:
        last = first
    return int(first), None if last is None else int(last), int(step or 1)


def _parse_way(text):
    if text == "-":
        return {}
    way, *more = text.split(",")
    coordination, event_handler = way.split("-")
    flags = {"coordination": coordination, "event_handler": event_handler}
    flags.update(item.split("=") for item in more)
    return flags


def _parse_row(number, text):
    words = text.split(maxsplit=6)
    if len(words) != 7:
        raise TableError("CALL FAULT WHEN BACKENDS WAY EXPECTED WHY, not " + repr(text))
    call, fault, when, group, way, expected, why = words
    seam, _, call = call.rpartition(":")
    short = int(fault.partition("=")[2]) if fault.startswith("short=") else 0
    if expected not in EXPECTATIONS:
        raise TableError(f"'{expected}' is none of {', '.join(EXPECTATIONS)}")
    if call == "close":
        raise TableError("close is never struck: skipped, it would leak")
    row = Row(number, call, "" if short else fault, short, *_parse_when(when), group,
              _parse_way(way), expected, why, bool(seam))
    unknown = set(row.backends) - set(BACKENDS)
    if unknown:
        raise TableError(f"no backend '{unknown.pop()}'")
    if row.expected == "may-fail" and row.at_start and row.last is None:
        raise TableError("a fault that may fail requests needs an end: the next one must be served")
    return row


def read_table(path=TABLE):
    path = os.fspath(path)
    rows = []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                rows.append(_parse_row(number, text))
            except (TableError, ValueError) as error:
                raise TableError(f"{path}:{number}: {error}") from error
    return rows


def cases(server="pollux"):
    """(row, backend) for Pollux; (row, None) for another server."""
    if server.partition(":")[0] != "pollux":
        return [(row, None) for row in read_table() if row.of_any_server]
    return [(row, backend) for row in read_table() for backend in row.backends]


def commit():
    """The commit's hash; zeros outside of a repository."""
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=servers.REPOSITORY, check=False,
                          capture_output=True, text=True)
    return done.stdout.strip() or "0" * 40


def quarter_of(cases, hash_):
    """(which quarter, its cases): another one for another commit, as ci/mutants chooses."""
    quarter = int(hash_[:8], 16) % 4
    return quarter + 1, cases[quarter::4]


def summary(everything, server):
    """A line for the head of the report: what runs."""
    all_of_them, hash_ = cases(server), commit()
    if everything:
        return f"faults: all {len(all_of_them)}"
    quarter, chosen = quarter_of(all_of_them, hash_)
    return (f"faults: {len(chosen)} of {len(all_of_them)}, quarter {quarter} of 4 by commit "
            f"{hash_[:12]} (--all-faults: all)")


def _thread_states(pids):
    """A letter for each thread (proc(5), stat)."""
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/stat"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(path, "rb") as stat:
                    yield stat.read().rpartition(b")")[2].split()[0].decode()


class Strace:
    """The row's errno, injected into every process and thread of a server that runs. `count` is how
    often, after the end."""

    def __init__(self, server, row):
        self._server = server
        self._row = row
        self._log = os.path.join(server.folder, "strace.log")
        self._process = None
        self.count = 0

    def __enter__(self):
        calls = _SYSCALLS.get(self._row.call, self._row.call)
        pids = self._server.pids()
        command = ["strace", "-f", "-o", self._log, "-e", f"trace={calls}", "-e",
                   f"inject={calls}:error={self._row.error}:when={self._row.when}"]
        for pid in pids:
            command += ["-p", str(pid)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                         text=True)
        for _ in pids:
            line = self._process.stderr.readline()
            if "attached" not in line:
                self._end()
                raise servers.ServerError(f"strace: {line.strip()}")
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._wait_asleep()
        self._end()
        with open(self._log, encoding="utf-8", errors="replace") as file:
            self.count = sum("(INJECTED)" in line for line in file)

    def _wait_asleep(self):
        """Until every thread sleeps in a call of its own: one that is left in the middle of an
        injected call finds ENOSYS there, for which it has no reason to be prepared."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._server.alive():
            if set(_thread_states(self._server.pids())) == {"S"}:
                return

    def _end(self):
        """It detaches: the server runs on by itself."""
        self._process.terminate()
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


_STRUCK = re.compile(r"^pollux-faulty: struck (\S+) (\d+) of (\d+)$", re.M)


class Shim:
    """The row's short counts, in a server that is started with `env`."""

    _LIBRARY = "pollux-short.so"

    def __init__(self, row, folder):
        self._call = row.call
        self._log = os.path.join(folder, "struck")
        with open(self._log, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), 0o666)  # a server may change its user
        self.env = {"POLLUX_FAULTS": row.rule, "POLLUX_SHORT_LOG": self._log,
                    "LD_PRELOAD": os.path.join(servers.build_folder(), self._LIBRARY)}

    def loaded_by(self, server):
        """False of a static program, and of one with privileges of its own (ld.so(8))."""
        for pid in server.pids():
            with open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
                if self._LIBRARY in maps.read():
                    return True
        return False

    def struck(self):
        with open(self._log, encoding="ascii") as file:
            return self._call in file.read().split()


def struck_in(text):
    """How often pollux-faulty says at its end (`text`, standard error) that it struck."""
    return sum(int(count) for _, count, _ in _STRUCK.findall(text))


def kinds(server):
    """What the server holds open, counted by kind: a leak is one more of something."""
    return collections.Counter(re.sub(r"\[\d+\]", "", link) for link in server.descriptors())
