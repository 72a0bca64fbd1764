"""Signals from outside: none is mistaken for a completion, none does harm; SIGTERM drains."""

import os
import signal

import pytest

import gauges
from cache import make_cold
from client import Connection, fetch, fetch_checked
from data import Checker
from matrix import PUBLISHED, QUICK, SOUND, every, flags
from swarm import Download, Swarm
from torture.clients import Storm

MIB = 1 << 20


@pytest.mark.parametrize("way", every(quick=QUICK))
def test_a_storm_of_foreign_signals_during_cold_transfers(pollux, files, way):
    server = pollux(files.root, chunk="64K", **way)
    several = [files.get(5 * MIB + 1, copy) for copy in range(4)]
    with Storm(server, [signal.SIGUSR1, signal.SIGALRM]) as storm:
        for _ in range(2):
            make_cold(*(file.path for file in several))
            with Swarm([Download(server.port, file) for file in several * 2]) as swarm:
                swarm.run()
    assert storm.sent >= 1000
    assert server.alive()
    gauges.no_stalls(server.metrics())


def test_published_survives_the_storm_with_the_right_bytes(pollux, files):
    server = pollux(files.root, chunk="64K", **flags("linux-aio-sendfile", PUBLISHED))
    with Storm(server, [signal.SIGUSR1]):
        for copy in range(2):
            file = files.get(4 * 65536 + 1, copy)
            make_cold(file.path)
            fetch_checked(server.port, file)


def paused_transfer(server, file):
    """A transfer that has begun and cannot end until its client reads on."""
    connection = Connection(server.port, receive_buffer=16384)
    connection.ask("/" + file.name)
    head = connection.read_head()
    assert head.status == 200
    checker = Checker(file)
    for piece in connection.pieces(10000):
        checker.update(piece)
    return connection, checker


def wait_refused(port):
    """Until the server has taken notice of the signal: it listens no more. Each try is an event of
    its own; a connection that is still accepted is dropped."""
    while True:
        try:
            Connection(port, timeout=10).close()
        except ConnectionError:
            return


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("way", every(ways=[SOUND[0], SOUND[2]], quick=QUICK))
def test_a_first_signal_drains(pollux, files, way, number):
    server = pollux(files.root, **way)
    file = files.get(16 * MIB + 1)
    running = [paused_transfer(server, file) for _ in range(4)]
    idle = Connection(server.port)
    idle.ask("/" + files.get(1).name)
    assert idle.read_answer().status == 200
    server.signal(number)
    wait_refused(server.port)
    assert idle.ended(10), "an idle connection keeps the server from ending"
    idle.close()
    for connection, checker in running:
        with connection:
            connection.read_rest(checker)
    assert server.wait() == 0


@pytest.mark.parametrize("way", every(ways=[SOUND[0], SOUND[2]], quick=QUICK))
def test_a_second_signal_stops_at_once(pollux, files, way):
    server = pollux(files.root, drain_timeout="10m", **way)
    running = [paused_transfer(server, files.get(16 * MIB + 1)) for _ in range(4)]
    server.signal(signal.SIGTERM)
    wait_refused(server.port)
    assert server.alive(), "the first signal ended running transfers"
    server.signal(signal.SIGTERM)
    server.wait(20)
    for connection, checker in running:
        with connection:
            left = checker.length - checker.received
            assert len(connection_rest(connection)) < left
    server.check_sanitizers()


def connection_rest(connection):
    try:
        return connection.read_to_end()
    except ConnectionError:
        return b""


@pytest.mark.quick
def test_the_drain_deadline_ends_what_does_not_end(pollux, files):
    server = pollux(files.root, drain_timeout="1s")
    connection, _ = paused_transfer(server, files.get(16 * MIB + 1))
    server.signal(signal.SIGTERM)
    server.wait(20)
    connection.close()
    server.check_sanitizers()


@pytest.mark.quick
def test_idle_servers_end_at_once(pollux, files):
    for way in SOUND + [PUBLISHED]:
        server = pollux(files.root, **flags("auto", way))
        server.stop(timeout=20)


@pytest.mark.quick
@pytest.mark.parametrize("coordination", ["eventfd", "masked"])
def test_hangup_reopens_the_access_log(pollux, files, own_files, coordination):
    log = os.path.join(own_files.root, "log")
    server = pollux(files.root, access_log=log, coordination=coordination)
    file = files.get(1)
    assert fetch(server.port, f"/{file.name}?before").status == 200
    os.rename(log, log + ".1")
    server.signal(signal.SIGHUP)
    while not os.path.exists(log):
        assert fetch(server.port, f"/{file.name}?between").status == 200
    assert fetch(server.port, f"/{file.name}?after").status == 200
    server.stop()
    with open(log + ".1", encoding="ascii") as old, open(log, encoding="ascii") as new:
        before, after = old.read(), new.read()
    assert f"/{file.name}?before" in before and "?after" not in before
    assert f"/{file.name}?after" in after and "?before" not in after


@pytest.mark.quick
def test_broken_pipes_are_survived(pollux, files):
    """SIGPIPE would end a process that does not ignore it."""
    server = pollux(files.root)
    for _ in range(20):
        connection = Connection(server.port, receive_buffer=4096)
        connection.ask("/" + files.get(16 * MIB + 1).name)
        connection.read_head()
        connection.reset()
    gauges.wait_idle(server)
