"""Clients that go away, and files that change, in the middle of a transfer."""

import os

import pytest

import gauges
from client import Connection, fetch, fetch_checked
from matrix import QUICK, SOUND, every
from swarm import Download, Swarm
from torture.transfers import begin, replaced, truncated

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


@pytest.mark.parametrize("way", every(ways=WAYS, quick=QUICK))
@pytest.mark.parametrize("left", [0, 16 * MIB])
def test_a_truncated_file_is_never_padded(pollux, own_files, files, way, left):
    server = pollux(own_files.root, chunk="64K", **way)
    file, _ = truncated(server, own_files, 32 * MIB + 1, left)
    bystander = own_files.new(MIB + 1)
    fetch_checked(server.port, bystander)
    answer = fetch(server.port, "/" + file.name, range=(0, 0))
    assert answer.status == (206 if left else 416)
    gauges.wait_idle(server)


@pytest.mark.parametrize("way", every(backends=["linux-aio-sendfile", "linux-aio-write", "writev"],
                                      ways=WAYS))
def test_a_file_truncated_within_a_block_is_never_padded(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    # Chunks that were read before the cut may go further than it, never to the end.
    truncated(server, own_files, 32 * MIB + 1, 16 * MIB + 1234)
    fetch_checked(server.port, own_files.new(MIB + 1))


@pytest.mark.parametrize("way", every(ways=WAYS, quick=QUICK))
def test_a_replaced_file_is_sent_to_its_end_never_mixed(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    replaced(server, own_files, 8 * MIB + 1)


@pytest.mark.parametrize("way", every(ways=[SOUND[0]]))
def test_a_removed_file_is_sent_to_its_end(pollux, own_files, way):
    server = pollux(own_files.root, chunk="64K", **way)
    file = own_files.new(8 * MIB + 1)
    connection, checker = begin(server, file)
    os.unlink(file.path)
    connection.read_rest(checker)
    connection.close()
    assert fetch(server.port, "/" + file.name).status == 404
