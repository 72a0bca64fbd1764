"""--workers: several processes behind one port. One that dies takes nobody else's transfer with it
and is replaced; signals reach all of them, once."""

import os
import re
import select
import signal
import threading

import pytest

from client import ClosedEarly, Connection, fetch, fetch_checked
from data import Checker
from matrix import PUBLISHED, SOUND, flags
from metrics import Metrics
from requirements import requires
from swarm import Download, Swarm
from tcp_sockets import tcp_sockets
from test_signals import connection_rest, paused_transfer, wait_refused

MIB = 1 << 20
LARGE = 4 * MIB + 1  # does not fit into the queues of a client that pauses
N = 3


def workers_of(server):
    """The process ids of the workers, by number: what each says of itself, and who is there."""
    pid = server.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return sorted(int(child) for child in children.read().split())


def owner_of(connection):
    """Which worker serves this connection: it says so in its metrics."""
    connection.ask("/metrics")
    metrics = Metrics(connection.read_answer().body.decode())
    (labels, _), = metrics.all("pollux_connections")
    return labels["worker"]


def one_connection_each(server, count=N):
    """A connection to each worker. The kernel deals them out by their ports' hash."""
    found = {}
    for _ in range(1000):
        connection = Connection(server.port)
        number = owner_of(connection)
        if number in found:
            connection.close()
        else:
            found[number] = connection
            if len(found) == count:
                return found
    raise AssertionError(f"of {count} workers only {sorted(found)} answer")


def pid_of(server, connection):
    """The worker that holds the other end of a connection: by the inode of its socket."""
    host, port = connection.socket.getsockname()
    assert host == "127.0.0.1"
    end, = (found for found in tcp_sockets(server.port) if found.peer_port == port)
    for pid in workers_of(server):
        if f"socket:[{end.inode}]" in socket_links(pid):
            return pid
    raise AssertionError("no worker has this connection")


def socket_links(pid):
    links = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            links.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except FileNotFoundError:
            pass
    return links


@pytest.mark.quick
@pytest.mark.parametrize("way", SOUND + [PUBLISHED], ids="-".join)
def test_every_worker_serves(pollux, files, way):
    backend = "linux-aio-sendfile"
    server = pollux(files.root, workers=N, chunk="64K", **flags(backend, way))
    assert len(workers_of(server)) == N
    file = files.get(5 * MIB + 1)
    each = one_connection_each(server)
    assert sorted(each) == ["0", "1", "2"]
    for connection in each.values():
        with connection:
            connection.ask("/" + file.name)
            connection.read_checked(Checker(file))
            connection.ask("/metrics")
            metrics = Metrics(connection.read_answer().body.decode())
            assert metrics.sum("pollux_reads_completed_total") > 0
            if way != PUBLISHED:
                assert metrics.sum("pollux_timeout_rescues_total") == 0


def test_one_worker_is_no_worker(pollux, files):
    server = pollux(files.root, workers=1)
    assert workers_of(server) == []
    assert 'worker="' not in fetch(server.port, "/metrics").body.decode()


@pytest.mark.quick
@pytest.mark.parametrize("backend", ["auto", "linux-aio-write"])
def test_a_killed_worker_takes_nobody_elses_transfer_with_it(pollux, files, backend):
    server = pollux(files.root, workers=N, backend=backend)
    file = files.get(LARGE)
    before = workers_of(server)
    running = [paused_transfer(server, file) for _ in range(12)]
    owners = [pid_of(server, connection) for connection, _ in running]
    victim = owners[0]
    os.kill(victim, signal.SIGKILL)
    for (connection, checker), owner in zip(running, owners):
        with connection:
            if owner == victim:
                with pytest.raises(ClosedEarly):
                    for _ in connection.pieces(checker.length - checker.received):
                        pass
                continue
            connection.read_rest(checker)
    # Another one takes its place, and its socket with whoever waits there.
    for _ in range(20):
        fetch_checked(server.port, file, offset=4095, length=70_001)
    for connection in one_connection_each(server).values():
        connection.close()
    after = workers_of(server)
    assert len(after) == N and victim not in after
    assert set(before) - {victim} <= set(after), "others were replaced too"
    assert f"(process {victim}) was ended by SIGKILL" in server.stderr()


def test_clients_of_a_dead_worker_wait_for_the_next(pollux, files):
    """Each worker is killed while requests come in: those whose connection it had not taken yet
    are answered by its successor."""
    server = pollux(files.root, workers=2)
    file = files.get(4097)
    for victim in workers_of(server):
        os.kill(victim, signal.SIGKILL)
        lost = 0
        for _ in range(50):
            try:
                fetch_checked(server.port, file)
            except ClosedEarly:
                lost += 1  # it had been accepted
        assert lost <= 1


@pytest.mark.quick
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("whole_group", [False, True], ids=["supervisor", "group"])
def test_a_first_signal_drains_all_workers(pollux, files, number, whole_group):
    """An init system and a terminal send it to every process of the group."""
    server = pollux(files.root, workers=N)
    file = files.get(LARGE)
    running = [paused_transfer(server, file) for _ in range(6)]
    idle = one_connection_each(server)
    if whole_group:
        os.killpg(server.process.pid, number)
    else:
        server.signal(number)
    wait_refused(server.port)
    for connection in idle.values():
        with connection:
            assert connection.ended(10)
    for connection, checker in running:
        with connection:
            connection.read_rest(checker)
    assert server.wait() == 0


def test_a_second_signal_stops_all_workers_at_once(pollux, files):
    server = pollux(files.root, workers=N, drain_timeout="10m")
    running = [paused_transfer(server, files.get(LARGE)) for _ in range(6)]
    server.signal(signal.SIGTERM)
    wait_refused(server.port)
    assert len(workers_of(server)) > 0
    server.signal(signal.SIGTERM)
    assert server.wait(20) == 0
    for connection, checker in running:
        with connection:
            assert len(connection_rest(connection)) < checker.length - checker.received


def test_a_signal_to_one_worker_does_not_stop_it(pollux, files):
    server = pollux(files.root, workers=2)
    for pid in workers_of(server):
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGUSR1)
    each = one_connection_each(server, 2)
    for connection in each.values():
        with connection:
            assert owner_of(connection) in ("0", "1")


@pytest.mark.quick
def test_workers_outlive_nobody(pollux, files):
    """Without a supervisor they finish what they have and end."""
    server = pollux(files.root, workers=2)
    server.stop_statuses = (-signal.SIGKILL,)
    connection, checker = paused_transfer(server, files.get(LARGE))
    pids = workers_of(server)
    pidfds = [os.pidfd_open(pid) for pid in pids]
    server.process.kill()
    server.process.wait()
    wait_refused(server.port)
    with connection:
        connection.read_rest(checker)
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 20)[0], "a worker without a supervisor goes on"
        os.close(pidfd)


@pytest.mark.quick
def test_a_supervisor_that_dies_during_a_drain_cuts_no_transfer(pollux, files):
    server = pollux(files.root, workers=2)
    server.stop_statuses = (-signal.SIGKILL,)
    connection, checker = paused_transfer(server, files.get(LARGE))
    pidfd = os.pidfd_open(pid_of(server, connection))
    server.signal(signal.SIGTERM)
    wait_refused(server.port)
    server.process.kill()
    server.process.wait()
    with connection:
        connection.read_rest(checker)
    assert select.select([pidfd], [], [], 20)[0], "a worker without a supervisor goes on"
    os.close(pidfd)


@pytest.mark.quick
def test_hangup_reopens_the_log_in_each_worker(pollux, files, own_files):
    log = os.path.join(own_files.root, "log")
    server = pollux(files.root, workers=N, access_log=log)
    each = one_connection_each(server)
    os.rename(log, log + ".1")
    server.signal(signal.SIGHUP)

    def answered_by():
        for number, connection in each.items():
            connection.ask(f"/missing?by={number}")
            assert connection.read_answer().status == 404
        with open(log, encoding="ascii") as new:
            return set(re.findall(r"/missing\?by=(\d)", new.read()))

    while not os.path.exists(log):
        assert server.alive()
    while answered_by() != set(each):
        assert server.alive()
    for connection in each.values():
        connection.close()


@pytest.mark.parametrize("to", ["file", "pipe"])
def test_lines_of_several_workers_are_never_torn(pollux, files, own_files, to):
    log = os.path.join(own_files.root, "log")
    server = pollux(files.root, workers=N, access_log=log if to == "file" else "-")
    count = 300

    def ask(number):
        with Connection(server.port) as connection:
            for i in range(count):
                connection.ask(f"/missing?{number}.{i}." + "x" * (i * 7 % 900))
                assert connection.read_answer().status == 404

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server.stop()
    if to == "file":
        with open(log, encoding="ascii") as file:
            lines = file.read().splitlines()
    else:
        lines = server.output[1:]
    line = re.compile(r'127\.0\.0\.1 - - \[[^\]]+\] "GET /missing\?(\d+)\.(\d+)\.x* HTTP/1\.1" '
                      r'404 \d+ "-" "-"')
    seen = [tuple(map(int, line.fullmatch(text).groups())) for text in lines]
    assert sorted(seen) == [(number, i) for number in range(12) for i in range(count)]


@requires("root")
def test_replaced_workers_are_the_same_user(pollux, own_files):
    file = own_files.new(4097)
    log = os.path.join(own_files.root, "log")
    server = pollux(own_files.root, workers=2, user="nobody", access_log=log)
    for victim in workers_of(server):
        os.kill(victim, signal.SIGKILL)
    for _ in range(4):
        fetch_checked(server.port, file)
    for connection in one_connection_each(server, 2).values():
        connection.close()
    for pid in [server.process.pid, *workers_of(server)]:
        with open(f"/proc/{pid}/status", encoding="ascii") as status:
            text = status.read()
        assert re.search(r"^Uid:(\s+65534){4}$", text, re.MULTILINE)
        assert re.search(r"^CapEff:\s+0+$", text, re.MULTILINE)
    server.stop()
    with open(log, encoding="ascii") as lines:
        assert f"GET /{file.name} " in lines.read()


@pytest.mark.quick
@pytest.mark.parametrize("theirs,ours", [(2, 2), (1, 2), (2, 1)])
def test_a_port_that_another_pollux_serves_is_not_shared_with_it(pollux, files, tmp_path, theirs,
                                                                 ours):
    """The kernel would: sockets of one user with SO_REUSEPORT may all listen there."""
    from test_command_line import assert_one_line_and_2, run
    server = pollux(files.root, workers=theirs)
    result = run(tmp_path, "--listen", f"127.0.0.1:{server.port}", "--workers", ours)
    assert_one_line_and_2(result, f"--listen 127.0.0.1:{server.port}: bind: EADDRINUSE")
    fetch_checked(server.port, files.get(4097))


@pytest.mark.quick
def test_workers_take_over_a_port_whose_old_connections_are_still_there(pollux, files):
    server = pollux(files.root, workers=2)
    for connection in one_connection_each(server, 2).values():
        connection.close()
    server.stop()
    successor = pollux(files.root, workers=2, listen=f"127.0.0.1:{server.port}")
    fetch_checked(successor.port, files.get(4097))


@pytest.mark.quick
def test_what_cannot_be_served_is_said_once(tmp_path):
    from test_command_line import assert_one_line_and_2, run
    missing = tmp_path / "none"
    assert_one_line_and_2(run(missing, "--listen", "127.0.0.1:0", "--workers", "4"), "none")
    assert_one_line_and_2(run(tmp_path, "--workers", "0"), "--workers")
    assert_one_line_and_2(run(tmp_path, "--workers", "257"), "--workers")


@pytest.mark.parametrize("way", SOUND, ids="-".join)
def test_downloads_of_many_by_all_workers(pollux, files, way):
    server = pollux(files.root, workers=N, chunk="64K", **flags("auto", way))
    several = [files.get(5 * MIB + 1, copy) for copy in range(3)]
    with Swarm([Download(server.port, several[i % 3]) for i in range(9)]) as swarm:
        swarm.run()
    for connection in one_connection_each(server).values():
        with connection:
            connection.ask("/metrics")
            metrics = Metrics(connection.read_answer().body.decode())
            assert metrics.sum("pollux_stale_completions_total") == 0
            assert metrics.at_least("pollux_completion_to_dispatch_seconds", 0.9,
                                    worker=owner_of(connection)) == 0
