"""Files on a disk that fails, by a file system that does it on purpose (pollux-faultfs).

Goal: short, failed, late and endless reads reach every backend the way a disk sends them, through
the kernel, and no wrong byte reaches a client; where the promised length cannot be met the
connection closes; the next request is served. Method: rules by path and offset; a row each.
"""

import os
import re
import signal
import subprocess
import sys

import pytest

import gauges
import servers
from client import ClosedEarly, Connection, fetch, fetch_checked
from data import Checker
from faultfs import FaultFs
from matrix import BACKENDS, SOUND, every
from requirements import requires
from servers.usage import still_there
from swarm import Download, Swarm

pytestmark = requires("fuse")
MIB = 1 << 20
ALL = pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
# Those whose reads do not stop the loop.
ASIDE = pytest.mark.parametrize("way", every(
    ("linux-aio-sendfile", "linux-aio-write", "threads-sendfile", "auto"), [SOUND[0], SOUND[2]]))


def serve(pollux, fs, way, **flags):
    return pollux(fs.root, chunk="64K", wrapper=fs.wrapper, **way, **flags)


def received_until_the_end(port, file):
    """What comes of a file before its connection closes, checked."""
    with Connection(port) as connection:
        connection.ask("/" + file.name)
        checker = Checker(file)
        head = connection.read_head()
        assert head.status == 200 and head.length == file.size
        with pytest.raises(ClosedEarly):
            connection.read_rest(checker)
        return checker.received


@pytest.mark.parametrize("way", every(("writev", "linux-aio-sendfile", "linux-aio-write"),
                                      [SOUND[0]]))
def test_short_reads(pollux, own_files, way):
    """Every second read brings 5000 bytes at most: no multiple of anything."""
    big, small = own_files.new(5 * MIB + 1), own_files.new(3000)
    with FaultFs(own_files.root, "*:short=5000:every=2") as fs:
        server = serve(pollux, fs, way)
        for file in (big, small, big):
            fetch_checked(server.port, file)
        fetch_checked(server.port, big, offset=65_537, length=1_000_003)
        fs.wait_struck()
        gauges.wait_idle(server)
        server.stop()


@pytest.mark.parametrize("way", every(("linux-sendfile", "threads-sendfile", "auto"), [SOUND[0]]))
def test_short_reads_of_the_page_cache(pollux, own_files, way):
    """sendfile() reads through the page cache, which takes a short answer for the file's new end
    (fuse_short_read of the kernel): cut there, or complete, and never padded."""
    big, small = own_files.new(5 * MIB + 1), own_files.new(300_000)
    with FaultFs(own_files.root, f"{big.name}:short=5000:every=2:last=40") as fs:
        server = serve(pollux, fs, way)
        with Swarm([Download(server.port, big, may_end_early=True)]) as swarm:
            swarm.run()
        fs.wait_struck()
        fetch_checked(server.port, small)
        fs.clear()
        with Swarm([Download(server.port, big, may_end_early=True)]) as swarm:
            swarm.run()
        gauges.wait_idle(server)
        server.stop()


@ALL
def test_a_bad_block(pollux, own_files, way):
    """EIO from 3 MiB on: the connection closes before it, no unread byte is sent in its place, and
    what lies elsewhere is served."""
    big, small = own_files.new(5 * MIB + 1), own_files.new(3000)
    bad = 3 * MIB + 4096
    with FaultFs(own_files.root, f"{big.name}:EIO:from={bad}:to={bad + 4096}") as fs:
        server = serve(pollux, fs, way)
        assert received_until_the_end(server.port, big) <= bad
        fs.wait_struck()
        fetch_checked(server.port, small)
        fetch_checked(server.port, big, offset=0, length=2 * MIB)
        fetch_checked(server.port, big, offset=4 * MIB, length=MIB)
        assert "EIO" in server.stderr()
        gauges.wait_idle(server)
        server.stop()


@ALL
def test_late_reads(pollux, own_files, way):
    big = own_files.new(2 * MIB + 1)
    with FaultFs(own_files.root, "*:delay=20:every=3") as fs:
        server = serve(pollux, fs, way)
        with Swarm([Download(server.port, big) for _ in range(3)]) as swarm:
            swarm.run()
        fs.wait_struck()
        gauges.wait_idle(server)
        server.stop()


@ALL
def test_a_file_that_becomes_shorter_at_a_read(pollux, own_files, way):
    """The promised length cannot be met: closed, never padded. The next request gets the new one."""
    big = own_files.new(5 * MIB + 1)
    left = 4 * MIB + 100
    with FaultFs(own_files.root, f"{big.name}:truncate={left}:first=3") as fs:
        server = serve(pollux, fs, way)
        assert received_until_the_end(server.port, big) <= left
        fs.wait_struck()
        answer = fetch(server.port, "/" + big.name)
        assert answer.status == 200 and len(answer.body) == left
        big.check(answer.body)
        gauges.wait_idle(server)
        server.stop()


@ASIDE
def test_a_read_that_hangs_stops_nobody_else(pollux, own_files, way):
    big, other = own_files.new(5 * MIB + 1), own_files.new(5 * MIB + 1)
    with FaultFs(own_files.root, f"{big.name}:hold:first=2:last=2") as fs:
        server = serve(pollux, fs, way)
        with Connection(server.port) as stuck:
            stuck.ask("/" + big.name)
            fs.wait_struck()
            for _ in range(3):
                fetch_checked(server.port, other)
            fs.release()
            stuck.read_checked(Checker(big))
        gauges.wait_idle(server)
        server.stop()


@ASIDE
def test_who_leaves_while_a_read_hangs_takes_no_place_from_others(pollux, own_files, way):
    """The read outlives its connection, and its bytes reach nobody who comes after."""
    big, other = own_files.new(5 * MIB + 1), own_files.new(5 * MIB + 1)
    with FaultFs(own_files.root, f"{big.name}:hold:first=2:last=2") as fs:
        server = serve(pollux, fs, way)
        stuck = Connection(server.port)
        stuck.ask("/" + big.name)
        fs.wait_struck()
        stuck.reset()
        gauges.wait_until(server, lambda seen: seen.value("pollux_connections") == 1, "it is gone")
        with Swarm([Download(server.port, other) for _ in range(4)]) as swarm:
            fs.release()
            swarm.run()
        fetch_checked(server.port, big)
        gauges.wait_idle(server)
        server.stop()


@pytest.mark.parametrize("way", every(("writev", "linux-sendfile"), [SOUND[0]]))
def test_a_read_that_hangs_on_the_loop_ends_when_it_is_released(pollux, own_files, way):
    big, other = own_files.new(5 * MIB + 1), own_files.new(300_000)
    with FaultFs(own_files.root, f"{big.name}:hold:first=2:last=2") as fs:
        server = serve(pollux, fs, way)
        with Connection(server.port) as stuck, Connection(server.port) as behind:
            stuck.ask("/" + big.name)
            fs.wait_struck()
            behind.ask("/" + other.name)
            fs.release()
            stuck.read_checked(Checker(big))
            behind.read_checked(Checker(other))
        gauges.wait_idle(server)
        server.stop()


@ASIDE
def test_a_read_that_never_ends_and_the_end_of_the_server(pollux, own_files, way):
    """The drain's deadline passes, the server says so and stops. What keeps its process is the
    kernel, which cannot take the read back; when that fails at last, it ends as if nothing were."""
    big = own_files.new(5 * MIB + 1)
    with FaultFs(own_files.root, f"{big.name}:hold:first=2") as fs:
        server = serve(pollux, fs, way, drain_timeout="50ms")
        with Connection(server.port) as stuck:
            stuck.ask("/" + big.name)
            fs.wait_struck()
            server.signal(signal.SIGTERM)
            checker = Checker(big)
            head = stuck.read_head()
            assert head.length == big.size
            with pytest.raises(ClosedEarly):  # the deadline's cut, while the read is held
                stuck.read_rest(checker)
        assert re.search("--drain-timeout is over: 1 connections are cut; [1-9][0-9]* reads are under "
                         "way, and the process stays until the disk", server.stderr())
        fs.abort()
        assert server.wait() == 0
        server.check_sanitizers()


@pytest.mark.parametrize("rule,complaint", [
    ("x", "'x' is no rule"), ("x:EWHAT", "'EWHAT' is none of"), ("x:short=0", "'short=0' is none"),
    ("x:hold:first=0", "'first=0' is none of"), ("x:EIO:when=3", "'when=3' is none of"),
    ("x:EIO:from=8:to=8", "ends before it begins"), ("x:delay=-1", "'delay=-1' is none of"),
])
def test_a_rule_that_cannot_be_read_is_named(tmp_path, rule, complaint):
    done = subprocess.run([os.path.join(servers.build_folder(), "pollux-faultfs"), tmp_path,
                           tmp_path, "--rule", rule], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("pollux-faultfs: ")
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_the_file_system_ends_with_its_standard_input(own_files, tmp_path):
    program = os.path.join(servers.build_folder(), "pollux-faultfs")
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", program,
                           own_files.root, tmp_path], input="what\nrule x\nrule *:hold\nrelease\n",
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and done.stdout == "pollux-faultfs: serving\n"
    assert [line.partition(": ")[2] for line in done.stderr.splitlines()] == [
        "'what' is none of rule, clear, release", "'x' is no rule: GLOB:FAULT expected"]


_KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import servers
from client import Connection
from faultfs import FaultFs
fs = FaultFs({root!r}, "*:hold").__enter__()
server = servers.PolluxServer(fs.root, backend={backend!r}, wrapper=fs.wrapper).start()
stuck = Connection(server.port)
stuck.ask({target!r})
fs.wait_struck()
print(*server.pids(), fs._process.pid, fs.root, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_killed_run_leaves_nothing_though_a_read_hangs(own_files, backend):
    """Not even SIGKILL ends a process whose read is held: the file system has to go, and does."""
    file = own_files.new(5 * MIB + 1)
    script = _KILLED.format(here=os.path.dirname(os.path.abspath(__file__)), root=own_files.root,
                            backend=backend, target="/" + file.name)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                          text=True) as process:
        *pids, root = process.stdout.readline().split()
        assert process.wait() == -signal.SIGKILL
    assert not still_there(map(int, pids), within=10)
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        assert root not in mounts.read()


# In a mount namespace of its own, where the mount would be left.
_BY_HAND = """
import os, subprocess, sys, time
program, folder, point = sys.argv[1:]
with subprocess.Popen([program, folder, point], stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE) as process:
    assert process.stdout.readline() == b"pollux-faultfs: serving\\n"
    assert os.path.ismount(point)
    process.kill()
deadline = time.monotonic() + 20
while point in open("/proc/self/mountinfo").read():
    assert time.monotonic() < deadline, "a dead mount is left"
print(os.listdir(point))
"""


def test_a_killed_file_system_leaves_no_dead_mount(own_files, tmp_path):
    own_files.new(1)
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, "-c",
                           _BY_HAND, os.path.join(servers.build_folder(), "pollux-faultfs"),
                           own_files.root, tmp_path], capture_output=True, text=True, timeout=60,
                          check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
