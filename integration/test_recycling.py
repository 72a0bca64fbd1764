"""A reader that reads late, while the chunks that carried its bytes are used again.

sendfile() hands page references to the socket; they lie there until the peer reads. The client
asks for more than all chunks together hold and reads nothing until everything is in its receive
queue (SO_RCVLOWAT tells): by then each chunk was read into again many times. Whether bytes are
wrong is a question of that order, not of timing.
"""

import pytest

from client import Connection
from data import Checker, WrongBytes, first_difference
from matrix import every
from swarm import Download, Swarm
from torture.transfers import LATE_BYTES, LateReader, late_readers, queued_then_read

CHUNK = 64 * 1024
BUDGET = 4 * CHUNK
SIZE = LATE_BYTES  # beyond what auto leaves to the page cache


@pytest.mark.quick
@pytest.mark.parametrize("retire", ["punch", "fresh"])
@pytest.mark.parametrize("coordination", ["eventfd", "masked"])
def test_pages_in_socket_queues_are_never_overwritten(pollux, files, coordination, retire):
    server = pollux(files.root, backend="linux-aio-sendfile", coordination=coordination,
                    retire=retire, chunk="64K", buffer_budget=BUDGET)
    for late in range(1, 4):
        several = [files.get(SIZE, copy) for copy in range(late)]
        readers = [LateReader(server, file) for file in several]
        for file, body in zip(several, queued_then_read(readers)):
            file.check(body)


def test_reuse_is_caught(pollux, files):
    """The specimen: with --retire reuse the late reader gets later chunks' bytes for earlier ones.
    Only the last chunks, which nothing followed, can be right."""
    server = pollux(files.root, backend="linux-aio-sendfile", retire="reuse", chunk="64K",
                    buffer_budget=BUDGET)
    file = files.get(SIZE)
    [body] = queued_then_read([LateReader(server, file)])
    with pytest.raises(WrongBytes, match="of file"):
        file.check(body)
    wrong = [number for number in range(SIZE // CHUNK)
             if body[number * CHUNK:(number + 1) * CHUNK]
             != file.bytes(number * CHUNK, CHUNK)]
    # Each of the first 68 chunks' memory was filled again at least once before anything was read.
    assert len(wrong) >= SIZE // CHUNK - BUDGET // CHUNK
    assert first_difference(body, file.bytes(0, SIZE)) < CHUNK


@pytest.mark.parametrize("way", every(ways=[("eventfd", "epoll")]))
def test_late_readers_beside_fast_ones(pollux, files, way):
    late_readers(pollux(files.root, chunk="64K", buffer_budget=BUDGET, **way), files)


@pytest.mark.parametrize("way", every(ways=[("eventfd", "epoll"), ("masked", "epoll")]))
def test_readers_whose_window_is_shut_hold_no_more_than_their_share(pollux, files, way):
    """More stalled readers than chunks: the one that reads is still served, and the stalled ones
    get their bytes in the end."""
    server = pollux(files.root, chunk="64K", buffer_budget=BUDGET, **way)
    big = files.get((8 << 20) + 1)
    stalled = []
    for _ in range(16):
        connection = Connection(server.port, receive_buffer=4096)
        connection.ask("/" + big.name)
        stalled.append(connection)
    with Swarm([Download(server.port, files.get(SIZE))]) as swarm:
        swarm.run()
    for connection in stalled[::4]:
        with connection:
            connection.read_checked(Checker(big))
    for connection in stalled:
        connection.close()


