"""Clients that go away, and files that change, in the middle of a transfer."""

import os

import pytest

import gauges
from client import Connection, fetch, fetch_checked
from data import Checker
from matrix import QUICK, SOUND, every
from swarm import Download, Swarm

CHUNK = 64 * 1024
MIB = 1 << 20
WAYS = [SOUND[0], SOUND[2]]


@pytest.mark.parametrize("way", every(ways=WAYS, quick=QUICK))
def test_resets_harm_nobody_else_and_give_the_chunks_back(pollux, files, way):
    server = pollux(files.root, chunk="64K", buffer_budget="1M", **way)
    file = files.get((8 << 20) + 1)
    with Swarm() as swarm:
        for number in range(32):
            leaves = number % 4 != 0
            swarm.add(Download(server.port, file, receive_buffer=16384 if leaves else None,
                               reset_after=number * 40000 if leaves else None))
        swarm.run()
        for download in swarm.all[::4]:
            assert download.received == file.size
    gauges.wait_idle(server)
    fetch_checked(server.port, file)


@pytest.mark.parametrize("way", every(ways=WAYS))
def test_a_reset_before_the_first_byte_of_a_cold_read(pollux, files, way):
    """The read is in flight when its connection goes; its buffer must outlive it."""
    from cache import make_cold
    server = pollux(files.root, chunk="64K", buffer_budget="1M", **way)
    file = files.get((8 << 20) + 1)
    for _ in range(20):
        make_cold(file.path)
        connections = [Connection(server.port) for _ in range(8)]
        for connection in connections:
            connection.ask("/" + file.name)
        for connection in connections:
            connection.reset()
        fetch_checked(server.port, file, offset=100001, length=100001)
    gauges.wait_idle(server)


def begin(server, file, some=MIB):
    """A transfer of `file` that has delivered some bytes and is then left alone; its window is
    small, so that the server is far from done."""
    connection = Connection(server.port, receive_buffer=16384)
    connection.ask("/" + file.name)
    head = connection.read_head()
    assert head.status == 200 and head.length == file.size
    checker = Checker(file)
    for piece in connection.pieces(some):
        checker.update(piece)
    return connection, checker


def rest_of(connection, checker):
    """Everything that still comes before the server closes; all of it must be right."""
    connection.socket.settimeout(30)
    try:
        while checker.received < checker.length:
            data = connection.socket.recv(1 << 16)
            if not data:
                break
            checker.update(data)
    except ConnectionResetError:
        pass
    connection.close()


# Truncated on a boundary that no folio crosses: the kernel zeroes a cut folio in place, in socket
# queues too, which no sender from the page cache can prevent.
@pytest.mark.parametrize("way", every(ways=WAYS, quick=QUICK))
@pytest.mark.parametrize("left", [0, 16 * MIB])
def test_a_truncated_file_is_never_padded(pollux, own_files, files, way, left):
    server = pollux(own_files.root, chunk="64K", **way)
    file = own_files.new(32 * MIB + 1)
    connection, checker = begin(server, file)
    os.truncate(file.path, left)
    rest_of(connection, checker)
    assert checker.received < checker.length, "bytes came that the file no longer has"
    bystander = own_files.new(MIB + 1)
    fetch_checked(server.port, bystander)
    answer = fetch(server.port, "/" + file.name, range=(0, 0))
    assert answer.status == (206 if left else 416)
    gauges.wait_idle(server)


@pytest.mark.parametrize("way", every(backends=["linux-aio-sendfile", "linux-aio-write", "writev"],
                                      ways=WAYS))
def test_a_file_truncated_within_a_block_is_never_padded(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    file = own_files.new(32 * MIB + 1)
    connection, checker = begin(server, file)
    os.truncate(file.path, 16 * MIB + 1234)
    rest_of(connection, checker)
    # Chunks that were read before the cut may go further than it, never to the end.
    assert checker.received < checker.length
    fetch_checked(server.port, own_files.new(MIB + 1))


@pytest.mark.parametrize("way", every(ways=WAYS, quick=QUICK))
def test_a_replaced_file_is_sent_to_its_end_never_mixed(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    old = own_files.new(8 * MIB + 1, "file")
    connection, checker = begin(server, old)
    new = own_files.new(8 * MIB + 1, "file.new")
    os.rename(new.path, old.path)
    # Both at once, so that reads shared under a wrong key would meet.
    with Swarm([Download(server.port, new, target="/file") for _ in range(3)]) as swarm:
        swarm.run(until=lambda swarm: swarm.received > 4 * MIB)
        connection.read_rest(checker)
        swarm.run()
    connection.close()


@pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
def test_a_removed_file_is_sent_to_its_end(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    file = own_files.new(8 * MIB + 1)
    connection, checker = begin(server, file)
    os.unlink(file.path)
    connection.read_rest(checker)
    connection.close()
    assert fetch(server.port, "/" + file.name).status == 404
