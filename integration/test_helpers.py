"""The suite's own tools: an oracle that cannot fail proves nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

import servers
from cache import cached_pages, make_cold, make_warm
from client import ClosedEarly, Connection, Head, fetch, fetch_checked
from data import Checker, PatternFile, WrongBytes, pattern
from metrics import Metrics
from requirements import requires
from servers.usage import still_there
from swarm import Download, Swarm, wait_queued

PEERS = [pytest.param(spec, marks=requires(spec.partition("-")[0]))
         for spec in ("nginx", "nginx-aio", "lighttpd")]


def test_wrong_bytes_are_located_and_explained(tmp_path):
    file = PatternFile(tmp_path / "f", 7, 100_000)
    good = bytearray(file.bytes(0, 100_000))
    file.check(good)
    for received, offset, words in [
        (pattern(7, 4096, 65536), 0, "offset 0 of file 7 holds byte 4096 of file 7; 6\\d+ of"),
        (pattern(9, 0, 50), 0, "of file 7 holds byte [0-9] of file 9"),
        (pattern(7, 0, 1000) + pattern(9, 5001, 90), 0, "offset 1000 .* byte 5001 of file 9"),
        (pattern(7, 16, 100) + bytes(500), 16, "offset 116 .* holds 500 zeros"),
        (pattern(7, 8, 64) + b"unread buffer contents", 8, "offset 72 .* no file's pattern"),
    ]:
        with pytest.raises(WrongBytes, match=words):
            file.check(received, offset)


@pytest.mark.parametrize("at", [0, 1, 4095, 65536, 99_999])
def test_a_single_flipped_bit_is_found(tmp_path, at):
    file = PatternFile(tmp_path / "f", 3, 100_000)
    received = bytearray(file.bytes(0, 100_000))
    received[at] ^= 1
    checker = Checker(file)
    with pytest.raises(WrongBytes, match=f"offset {at} "):
        for start in range(0, len(received), 777):
            checker.update(received[start:start + 777])


def test_missing_and_surplus_bytes_are_found(tmp_path):
    file = PatternFile(tmp_path / "f", 3, 1000)
    checker = Checker(file, 10, 100)
    checker.update(file.bytes(10, 99))
    with pytest.raises(WrongBytes, match="99 of 100"):
        checker.finish()
    checker.update(file.bytes(109, 1))
    assert checker.finish() == file.sha256(10, 100)
    with pytest.raises(WrongBytes):
        checker.update(b"x")


def test_cold_is_cold_and_warm_is_warm(files):
    file = files.get(1_000_001)
    make_warm(file.path)
    assert cached_pages(file.path) >= file.size // 4096
    make_cold(file.path)
    assert cached_pages(file.path) == 0


def test_metrics_are_read_back():
    metrics = Metrics('# HELP a b\na 1\nb{x="y",z="w\\"q"} 2.5\nb{x="z"} 3\n'
                      'h_bucket{le="0.5"} 4\nh_bucket{le="1"} 9\nh_bucket{le="+Inf"} 10\n'
                      'h_sum 7\nh_count 10\n')
    assert metrics.value("a") == 1 and metrics.value("b", x="y") == 2.5
    assert metrics.sum("b") == 5.5 and metrics.count("h") == 10
    assert metrics.at_least("h", 0.9) == 1 and metrics.below("h", 0.9) == 4
    assert metrics.quantile("h", 0.5) == 1
    with pytest.raises(KeyError):
        metrics.value("b")


def test_heads_are_read_strictly():
    head = Head(b"HTTP/1.1 206 Partial Content\r\nA: 1\r\na: 2\r\nContent-Length: 5")
    assert (head.status, head["A"], head.length, head.keeps_alive) == (206, "1, 2", 5, True)
    with pytest.raises(ValueError, match="not a field line: 'A : 1'"):
        Head(b"HTTP/1.1 200 OK\r\nA : 1")
    for garbage in ("SSH-2.0-OpenSSH_9.2", "HTTP/1.1 OK", "200 OK", ""):
        with pytest.raises(ValueError, match=f"no status line: '{garbage}'"):
            Head(garbage.encode())


@pytest.mark.parametrize("spec", PEERS)
def test_peers_serve_and_stop(spec, files):
    file, empty = files.get(1_000_001), files.get(0)
    with servers.make_server(spec, files.root) as server:
        fetch_checked(server.port, file)
        fetch_checked(server.port, file, offset=4097, length=70_001)
        assert fetch(server.port, "/" + empty.name).body == b""
        with Swarm([Download(server.port, file) for _ in range(20)]) as swarm:
            swarm.run()
        assert server.cpu_seconds() > 0 and server.rss() > 0 and server.descriptors()
        pids = server.pids()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_any_command_line_is_a_server(files):
    file = files.get(1_000_001)
    line = f"{sys.executable} -m http.server --bind 127.0.0.1 --directory {{root}} {{port}}"
    with servers.make_server(line, files.root) as server:
        fetch_checked(server.port, file)
        with Connection(server.port) as connection:
            connection.ask("/" + file.name)
            wait_queued(connection, 50_000)
            assert connection.queued() >= 50_000


def test_a_server_that_does_not_start_is_reported_with_its_last_words(files):
    class Broken(servers.CommandServer):
        """Its name is in the report."""

    with pytest.raises(servers.ServerError, match="(?s)did not start.*these last words"):
        Broken("sh -c 'echo these last words >&2; exit 3' {port}", files.root).start()


def test_a_shutdown_that_hangs_is_an_error(files):
    script = ("import signal, socket, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
              "s = socket.create_server((chr(49)+chr(50)+chr(55)+chr(46)+chr(48)+chr(46)+chr(48)"
              "+chr(46)+chr(49), int(sys.argv[1]))); signal.pause()")
    server = servers.CommandServer(f"{sys.executable} -c '{script}' {{port}}", files.root).start()
    pid = server.process.pid
    with pytest.raises(servers.ServerError, match="still runs"):
        server.stop(timeout=0.2)
    assert not os.path.exists(f"/proc/{pid}")


def test_an_answer_that_ends_early_is_an_error(files):
    script = ("import socket, sys; "
              "s = socket.create_server((str(), int(sys.argv[1]))); "
              "c = s.accept(); c = s.accept()[0]; c.recv(1000); "
              'c.send(bytes(map(ord, \\"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nab\\"))); '
              "c.close(); s.accept()")
    line = f'{sys.executable} -c "{script}" {{port}}'.replace("\\r\\n", "\\\\r\\\\n")
    with servers.CommandServer(line, files.root) as server:
        with pytest.raises(ClosedEarly):
            fetch(server.port, "/")


_KILLED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import servers
server = servers.make_server({spec!r}, {root!r}).start()
print(*server.pids(), server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


_PYTHONS = f"{sys.executable} -m http.server --bind 127.0.0.1 --directory"


@pytest.mark.parametrize("line", [
    f"{_PYTHONS} {{root}} {{port}}", f"{_PYTHONS} '{{root}}' {{port}}",
    f'{_PYTHONS} "{{root}}" {{port}}', f"A=1 B='2 3' {_PYTHONS} {{root}} {{port}}",
    f"sh -c '{_PYTHONS} \"$1\" $2' sh {{root}} {{port}}"])
def test_command_lines_may_have_quotes_and_variables_and_folders_anything(tmp_path, line):
    root = tmp_path / "a folder's \"name\" & $HOME `x` \\ {port}"
    root.mkdir()
    file = PatternFile(root / "file", 1, 1000)
    with servers.make_server(line, root) as server:
        fetch_checked(server.port, file)


@pytest.mark.parametrize("spec", PEERS)
def test_peers_serve_folders_with_spaces(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("POLLUX_SCRATCH", str(tmp_path / "a folder"))
    file = PatternFile(tmp_path / "file", 1, 1000)
    with servers.make_server(spec, tmp_path) as server:
        fetch_checked(server.port, file)


# A server that goes into the background, and there into a session of its own.
_DAEMON = """
import os, signal, sys
gone, said = os.pipe()
if os.fork():
    os.read(gone, 1)
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with open(sys.argv[1] + "/daemon", "w") as file:
    file.write(str(os.getpid()))
os.write(said, b"!")
signal.pause()
"""


def test_a_server_that_goes_into_the_background_is_ended_and_told_so(tmp_path):
    (tmp_path / "daemon.py").write_text(_DAEMON)
    server = servers.CommandServer(f"{sys.executable} {tmp_path}/daemon.py {{root}} {{port}}",
                                   tmp_path)
    with pytest.raises(servers.ServerError, match="(?s)did not start.*in the background"):
        server.start()
    assert not still_there([int((tmp_path / "daemon").read_text())], within=10)


@pytest.mark.parametrize("spec", PEERS[:1] + (["pollux"] if servers.available("pollux") else []) + [
    pytest.param(f"sh -c 'setsid sleep 1000 & {_PYTHONS} {{root}} {{port}}'", id="daemon")])
def test_a_killed_run_leaves_no_process_and_no_folder(spec, files):
    """The warden's case. The folder goes with the last of them."""
    script = _KILLED.format(here=os.path.dirname(os.path.abspath(__file__)), spec=spec,
                            root=files.root)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE,
                          text=True) as process:
        *pids, folder = process.stdout.readline().split()
        assert process.wait() == -signal.SIGKILL
    assert not still_there(map(int, pids), within=10)
    deadline = time.monotonic() + 10
    while os.path.exists(folder) and time.monotonic() < deadline:
        os.sched_yield()
    assert not os.path.exists(folder)
