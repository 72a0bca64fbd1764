"""Resources that run out: descriptors, AIO contexts, shared memory, direct I/O."""

import os
import re
import resource
import select
import time

import pytest

import gauges
import servers
from cache import make_cold
from client import Connection, fetch, fetch_checked
from data import Checker
from matrix import AIO_BACKENDS, BACKENDS, SOUND, every, flags
from metrics import Metrics
from requirements import requires
from swarm import Download, Swarm
from tcp_sockets import CLOSE_WAIT, tcp_states
from torture.shortages import AioContextsUsedUp, cpu_in_one_second, in_mount_namespace

MIB = 1 << 20


def descriptors_up_to(server, count):
    while len(server.descriptors()) < count:
        assert server.alive()


def metrics_over(connection):
    """A scrape on a connection that is established already: a new one might have to wait."""
    connection.ask("/metrics")
    return Metrics(connection.read_answer().body.decode())


def as_many_as_are_let_in(server, served, crowd_size):
    """More connections than the server takes at once; returns when it has taken those it takes."""
    crowd = [Connection(server.port) for _ in range(crowd_size)]
    most = int(re.search(r"at most (\d+) connections at once", server.stderr())[1])
    assert most < crowd_size
    while metrics_over(served).value("pollux_connections") < most:
        assert server.alive()
    return crowd, most


@pytest.mark.quick
@pytest.mark.parametrize("way", SOUND, ids="-".join)
@pytest.mark.parametrize("backend", ["auto", "linux-aio-sendfile"])
def test_idle_connections_cannot_take_the_descriptors_of_others(pollux, files, way, backend):
    limit = 100
    server = pollux(files.root, limits={resource.RLIMIT_NOFILE: (limit, limit)},
                    **flags(backend, way))
    with Connection(server.port) as served:
        crowd, most = as_many_as_are_let_in(server, served, 2 * limit)
        assert most >= limit // 4
        burnt = cpu_in_one_second(server)
        assert burnt < (0.2 if not servers.sanitizer() else 0.5), f"{burnt:.2f} s of CPU in 1 s"
        # Everybody who is in asks for a file of their own, cold, all at once: more files than
        # there are descriptors for.
        inside = [served, *crowd[:most - 1]]
        several = [files.get(200_000, copy) for copy in range(len(inside))]
        make_cold(*(file.path for file in several))
        for connection, file in zip(inside, several):
            connection.ask("/" + file.name)
        for connection, file in zip(inside, several):
            head = connection.read_head()
            assert head.status == 200
            connection.read_checked(Checker(file), head)
        for connection in crowd:
            connection.close()
        # Who waited in the backlog is let in.
        fetch_checked(server.port, several[0])
        metrics = metrics_over(served)
        assert metrics.value("pollux_accept_shortages_total") == 0
        assert metrics.value("pollux_opens_waiting") == 0
    assert "EMFILE" not in server.stderr()
    gauges.wait_idle(server)


def answered_in_turn(crowd, served, file):
    """Connections of `crowd`, in the order in which they are let in: each is yielded when it was
    answered, while `served` asks for one hot file again and again."""
    for connection in crowd:
        connection.ask("/metrics")
    for connection in crowd:
        deadline = time.monotonic() + 5
        while not select.select([connection], [], [], 0.01)[0]:
            served.ask("/" + file.name)
            served.read_checked(Checker(file))
            assert time.monotonic() < deadline, "a file that is only kept open keeps a client out"
        connection.read_answer()
        yield connection


@pytest.mark.quick
def test_files_that_are_only_kept_open_keep_nobody_out(pollux, files):
    limit = 100
    server = pollux(files.root, limits={resource.RLIMIT_NOFILE: (limit, limit)})
    file = files.get(3000)
    with Connection(server.port) as served:
        crowd, most = as_many_as_are_let_in(server, served, limit)
        # `served` is one of those who are in. Each who leaves makes room for exactly one.
        inside, backlog = crowd[:most - 1], crowd[most - 1:][:8]
        served.ask("/" + file.name)
        served.read_checked(Checker(file))
        inside.pop().close()
        for connection in answered_in_turn(backlog, served, file):
            connection.ask("/" + file.name)
            connection.read_checked(Checker(file))
            inside.pop().close()
        for connection in crowd:
            connection.close()
    gauges.wait_idle(server)


@pytest.mark.quick
@pytest.mark.parametrize("way", SOUND, ids="-".join)
def test_out_of_descriptors_it_waits_without_spinning_and_recovers(pollux, files, way):
    """The limit is lowered behind the server's back, as a shortage of the whole system would."""
    server = pollux(files.root, limits={resource.RLIMIT_NOFILE: (200, 200)}, **flags("auto", way))
    file = files.get(65537)
    served = Connection(server.port)
    served.ask("/" + file.name)
    served.read_checked(Checker(file))
    limit = len(server.descriptors()) + 20
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = [Connection(server.port) for _ in range(60)]
    descriptors_up_to(server, limit)
    # One second of shortage: a loop that spins burns all of it.
    burnt = cpu_in_one_second(server)
    assert burnt < (0.2 if not servers.sanitizer() else 0.5), f"{burnt:.2f} s of CPU in 1 s"
    # Those who are in get answers, files or an honest 503 when none can be opened.
    served.ask("/" + file.name)
    answer = served.read_answer()
    assert answer.status in (200, 503)
    if answer.status == 200:
        file.check(answer.body)
    for connection in crowd:
        connection.close()
    # A newcomer waits in the backlog at most until the next try.
    fetch_checked(server.port, file)
    served.close()
    metrics = gauges.wait_idle(server)
    assert metrics.value("pollux_accept_shortages_total") >= 1


@pytest.mark.quick
def test_out_of_descriptors_nothing_is_left_half_closed(pollux, files):
    limit = 80
    server = pollux(files.root, limits={resource.RLIMIT_NOFILE: (limit, limit)})
    with Connection(server.port) as served:
        crowd, _ = as_many_as_are_let_in(server, served, 2 * limit)
    for connection in crowd:
        connection.close()
    gauges.wait_idle(server)
    # A connection is in this state until the server has read its end: the one that asked whether
    # all is idle may still be.
    deadline = time.monotonic() + 10
    while CLOSE_WAIT in tcp_states(server.port):
        assert time.monotonic() < deadline, "CLOSE_WAIT: the peer closed and the server never did"


@pytest.mark.alone
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="io_setup's number is x86-64's")
@pytest.mark.parametrize("backend", AIO_BACKENDS)
def test_without_aio_contexts_it_names_the_sysctl_and_serves(pollux, files, backend):
    file = files.get(5 * MIB + 1)
    make_cold(file.path)
    with AioContextsUsedUp():
        server = pollux(files.root, backend=backend, chunk="64K")
        fetch_checked(server.port, file)
    assert "aio-max-nr" in server.stderr()
    fetch_checked(server.port, file, offset=4097, length=70_001)
    metrics = server.metrics()
    assert metrics.value("pollux_reads_submitted_total") == 0


@requires("root")
@pytest.mark.quick
@pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
def test_a_file_system_without_direct_io(pollux, own_files, way):
    """ramfs refuses O_DIRECT (open: EINVAL). The files are served all the same."""
    file = own_files.new(5 * MIB + 1)
    mount = os.path.join(own_files.root, "mount")
    os.mkdir(mount)
    server = pollux(mount, chunk="64K", wrapper=in_mount_namespace(
        f"mount -t ramfs none {mount}; cp {file.path} {mount}/"), **way)
    for _ in range(2):
        fetch_checked(server.port, file)
    fetch_checked(server.port, file, offset=65535, length=131_075)


@requires("root")
@pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
def test_files_on_tmpfs(pollux, own_files, way):
    file = own_files.new(5 * MIB + 1)
    mount = os.path.join(own_files.root, "mount")
    os.mkdir(mount)
    server = pollux(mount, chunk="64K", wrapper=in_mount_namespace(
        f"mount -t tmpfs none {mount}; cp {file.path} {mount}/"), **way)
    for _ in range(2):
        fetch_checked(server.port, file)
    fetch_checked(server.port, file, offset=65535, length=131_075)


@requires("root")
@pytest.mark.quick
@pytest.mark.parametrize("retire", ["punch", "fresh"])
def test_a_full_dev_shm(pollux, own_files, retire):
    """Chunks on a tmpfs that holds three of them: a read into a page that cannot be had comes back
    as -EFAULT (or a store would be SIGBUS). No wrong byte, no crash, and the next request works."""
    shm = os.path.join(own_files.root, "shm")
    os.mkdir(shm)
    several = [own_files.new(4 * MIB + 1) for _ in range(4)]
    make_cold(*(file.path for file in several))
    server = pollux(own_files.root, backend="linux-aio-sendfile", retire=retire, chunk="64K",
                    shm_dir=shm, wrapper=in_mount_namespace(
                        f"mount -t tmpfs -o size=192k none {shm}"))
    with Swarm([Download(server.port, file, may_end_early=True) for file in several]) as swarm:
        swarm.run()
    assert server.alive()
    for file in several:
        with Swarm([Download(server.port, file, may_end_early=True)]) as swarm:
            swarm.run()
    # Told once, with what to do.
    assert server.stderr().count("--shm-dir") == 1
    gauges.wait_idle(server)
    assert fetch(server.port, "/missing").status == 404


@requires("root")
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_small_dev_shm_of_a_container_is_enough(pollux, own_files, backend):
    """64 MB of /dev/shm, Docker's default, and a budget far beyond it: nothing is cut short,
    since chunks are memfds unless told otherwise."""
    several = [own_files.new(8 * MIB + 1) for _ in range(4)]
    make_cold(*(file.path for file in several))
    server = pollux(own_files.root, backend=backend, wrapper=in_mount_namespace(
        "mount -t tmpfs -o size=1m none /dev/shm"))
    with Swarm([Download(server.port, file) for file in several * 2]) as swarm:
        swarm.run()


@pytest.mark.quick
@pytest.mark.parametrize("backend", AIO_BACKENDS)
def test_one_iocb_and_two_chunks_are_enough(pollux, files, backend):
    """The smallest tables there are: everything queues, nothing is refused or sent wrongly."""
    server = pollux(files.root, backend=backend, chunk="4K", buffer_budget="8K", aio_depth=1)
    several = [files.get(5 * MIB + 1, copy) for copy in range(4)]
    make_cold(*(file.path for file in several))
    with Swarm() as swarm:
        for number in range(16):
            swarm.add(Download(server.port, several[number % 4], offset=number * 300_001,
                               length=300_001))
        swarm.run()
    metrics = gauges.wait_idle(server)
    assert metrics.value("pollux_chunk_bytes_max") <= 8192
    gauges.no_stalls(metrics)


@requires("root")
@pytest.mark.quick
@pytest.mark.skipif(bool(servers.sanitizer()), reason="a sanitizer has threads of its own")
def test_without_a_single_thread_every_byte_is_served(pollux, own_files):
    """RLIMIT_NPROC 0 of a user who is not root: neither the helper nor a worker can be made. What
    stood in line for the helper is answered all the same, though a batch that fails gives its slot
    back without any completion: six cold files and one iocb."""
    several = [own_files.new(5 * MIB + 1) for _ in range(6)]
    make_cold(*(file.path for file in several))
    server = pollux(own_files.root, user="nobody", coordination="masked",
                    backend="linux-aio-sendfile", aio_depth=1,
                    limits={resource.RLIMIT_NPROC: (0, 0)})
    with Swarm([Download(server.port, file) for file in several]) as swarm:
        swarm.run()
    metrics = gauges.wait_idle(server)
    assert metrics.value("pollux_reads_submitted_total") == 0
    assert metrics.value("pollux_worker_inline_runs_total") > 0
    assert fetch(server.port, "/missing").status == 404
