"""Scenarios about what runs out: descriptors, shared memory, AIO contexts."""

import contextlib
import os
import resource
import subprocess
import sys
import time

from cache import make_cold
from client import ClosedEarly, fetch_checked
from data import Checker
from swarm import Download, Swarm

from . import scenario as common
from .scenario import NotApplicable, connect, descriptors, figure_of_bytes, scenario
from .watch import Watch

MIB = 1 << 20
AWAIT_S = 5.0
SPINS = 0.7  # of the looks find a thread that runs or wants to, in a second without anything to do


def in_mount_namespace(script):
    """A wrapper for Server: a private mount namespace, `script` in it, then the server. The mounts
    go when the server does."""
    return ["unshare", "--mount", "--propagation", "private", "sh", "-ec",
            script + '\nexec "$@"', "sh"]


def cpu_in_one_second(server):
    before = server.cpu_seconds()
    time.sleep(1)
    return server.cpu_seconds() - before


@contextlib.contextmanager
def descriptors_limited(server, spare):
    """Each process of the server may open `spare` descriptors more than it has (the soft limit, as
    a shortage of the whole system would do it behind its back): {pid: limit}."""
    changed, limits = {}, {}
    try:
        for pid in server.pids():
            changed[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            limits[pid] = len(os.listdir(f"/proc/{pid}/fd")) + spare
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limits[pid], changed[pid][1]))
        yield limits
    finally:
        for pid, limits in changed.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)


def _gather(server, file, clients):
    """Connections that have asked; fewer than `clients` if the server's backlog is full before."""
    crowd = []
    with contextlib.suppress(TimeoutError):
        while len(crowd) < clients:
            crowd.append(connect(server, timeout=1.0))
            crowd[-1].ask("/" + file.name)
    return crowd


def _await_shortage(server, limits):
    """Until a process has as many as it may, or for long enough: a server may know better."""
    deadline = time.monotonic() + AWAIT_S
    while server.alive() and time.monotonic() < deadline:
        if any(len(os.listdir(f"/proc/{pid}/fd")) >= limit for pid, limit in limits.items()):
            return
        time.sleep(0.001)


def _answered_or_refused(connection, file):
    """An answer during the shortage: the file, an honest error, or none. Its status, 0 for none."""
    try:
        head = connection.read_head()
        if head.status == 200:
            connection.read_checked(Checker(file), head)
    except (ClosedEarly, ConnectionError):
        return 0
    assert head.status == 200 or head.status >= 500, f"{head.status} for want of descriptors"
    return head.status


@scenario("descriptors", "without descriptors it neither ends nor spins, and recovers afterwards")
def out_of_descriptors(server, files, clients=60, spare=20):
    file = files.get(65_537)
    fetch_checked(server.port, file)
    before = descriptors(server)
    with connect(server) as served:
        served.ask("/" + file.name)
        keeps = served.read_checked(Checker(file)).keeps_alive
        with descriptors_limited(server, spare) as limits:
            crowd = _gather(server, file, clients)
            _await_shortage(server, limits)
            with Watch(server, file.path) as watch:
                burnt = cpu_in_one_second(server)
            status = None
            if keeps:
                served.ask("/" + file.name)
                status = _answered_or_refused(served, file)
            for connection in crowd:
                connection.close()
            fetch_checked(server.port, file)  # who waits in the backlog, once there is room
    assert watch.awake() < SPINS, (f"it spins: awake at {100 * watch.awake():.0f} % of the looks "
                                   f"in a second with nothing to do, {burnt:.2f} s of CPU")
    with Swarm([Download(server.port, file) for _ in range(2 * clients)],
               patience=common.PATIENCE_S) as swarm:
        swarm.run()
    after = descriptors(server, at_most=before)
    assert after <= before, f"{after - before} descriptors are left of the shortage"
    said = "" if status is None else f", who was inside got {status or 'no answer'}"
    return f"{clients} clients, {spare} descriptors, {burnt:.2f} s of CPU in 1 s{said}"


@scenario("dev-shm", "with a full /dev/shm no wrong byte is sent, and nothing ends",
          wrapper=in_mount_namespace("mount -t tmpfs -o size=64k none /dev/shm\n"
                                     "head -c 65536 /dev/zero > /dev/shm/full"), requires=("root",))
def full_dev_shm(server, files, size=5 * MIB + 1):
    """In a mount namespace of its own. Later the space is given back, and every answer is whole."""
    several = [files.get(size, copy) for copy in range(4)]
    make_cold(*(file.path for file in several))
    with Swarm([Download(server.port, file, may_end_early=True) for file in several],
               patience=common.PATIENCE_S) as swarm:
        swarm.run()
        whole = sum(not download.ended_early for download in swarm.all)
    os.unlink(f"/proc/{server.process.pid}/root/dev/shm/full")
    make_cold(*(file.path for file in several))
    with Swarm([Download(server.port, file) for file in several],
               patience=common.PATIENCE_S) as swarm:
        swarm.run()
    return f"{whole} of {len(several)} answers whole while it was full, all of them afterwards"


# Everything up to fs.aio-max-nr, in small contexts so that nothing is left over; says how many it
# got, and gives them back when its standard input ends. Needs nothing but Python and libaio's
# system calls, and dies with its parent.
_HOLDER = r"""
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def setup(count):
    context = ctypes.c_ulong(0)
    return libc.syscall(206, ctypes.c_uint(count), ctypes.byref(context)) == 0
size, held = 1 << 16, 0
while size:
    if setup(size): held += 1
    else: size //= 2
print(held, flush=True)
sys.stdin.read()
"""


class AioContextsUsedUp:
    def __enter__(self):
        if os.uname().machine != "x86_64":
            raise NotApplicable("io_setup's number is x86-64's")
        self._process = subprocess.Popen([sys.executable, "-c", _HOLDER], stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE)
        assert int(self._process.stdout.readline()) > 0
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@scenario("aio-max-nr", "started while others hold all AIO contexts, it serves all the same",
          around=AioContextsUsedUp, alone=True)
def no_aio_contexts(server, files, size=5 * MIB + 1):
    several = [files.get(size, copy) for copy in range(4)]
    make_cold(*(file.path for file in several))
    with Swarm([Download(server.port, file) for file in several],
               patience=common.PATIENCE_S) as swarm:
        swarm.run()
        return f"{len(several)} cold files, {figure_of_bytes(swarm.received)}"
